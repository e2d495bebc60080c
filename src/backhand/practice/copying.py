"""The source of anybody's forward pass, so that a worksheet can stand alone.

A function is copied with what it needs of its file. A module, or a function that needs other files,
is written out as the straight line of statements that was captured from it.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import inspect
import linecache
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..api import Backprop
from ..capture.target import Target
from ..emit.layout import WIDTH, broken
from ..emit.listing import names_in
from ..errors import InputError, first_line
from ..review.sources.cells import Cell
from ..review.sources.effects import Function, effects
from ..review.sources.slicing import Line, functions_of, is_main, needed_lines
from .worksheet import signature

Import = ast.Import | ast.ImportFrom


def heads_of(target: Target, bp: Backprop) -> Iterator[str]:
    """Imports, ``forward`` and ``example_inputs`` of a target, as the head of a worksheet.

    The function's own text comes first, if it can be had; what was captured stands for all others.
    """
    copied = _copied(target, bp)
    if copied is not None:
        yield copied
    yield _with_inputs(_captured(bp), [leaf.value for leaf in bp.leaves])


def _with_inputs(head: str, arguments: Sequence[Any]) -> str:
    return f"{head}\n\n\n{_inputs_text(arguments)}"


def _copied(target: Target, bp: Backprop) -> str | None:
    """The function's own text with all it needs of its file; ``None`` where that cannot be had."""
    function = target.forward
    if not inspect.isfunction(function) or function.__closure__:
        return None
    text = "".join(linecache.getlines(function.__code__.co_filename))
    try:
        cell = Cell("", function.__code__.co_filename, text, tuple(ast.parse(text).body))
    except SyntaxError:
        return None
    found = functions_of([cell]).get(function.__name__)
    first = function.__code__.co_firstlineno
    if not isinstance(found, ast.FunctionDef) or first != _start(found):
        return None
    # the function that made the inputs, unless it stands elsewhere or was given sizes
    own = target.maker is not None and function.__globals__.get("example_inputs") is target.maker
    arguments = () if own else _arguments(target)
    if arguments is None or any(not _literal(v) for v in arguments):
        return None
    needed = _needed(cell, [function.__name__, *(["example_inputs"] if own else [])])
    copied = _joined(needed) if needed is not None else None
    copied = _renamed(copied, function.__name__) if copied is not None else None
    copied = _result_named(copied, bp) if copied is not None else None
    if copied is None or _bound_twice(copied, bp):
        return None
    return copied if own else _with_inputs(copied, arguments)


def _needed(cell: Cell, wanted: Sequence[str]) -> list[Line] | None:
    """What a file's top level does for some names, in its order; ``None`` if that is not all."""
    functions = functions_of([cell])
    lines = [Line(n, cell, effects(n, functions)) for n in cell.body if not is_main(n)]
    kept = needed_lines(lines, wanted)
    if any(_annotated(lines[i].node) for i in kept):
        kept |= {i for i, line in enumerate(lines) if _future(line.node)}
    found = [lines[i] for i in sorted(kept) if not _star(lines[i].node)]
    written = {name for line in found for name in line.effects.writes}
    known = written | set(dir(builtins))
    # bound by a star, by the loader (``__file__``), or not at all
    if any(name not in known for name in wanted):
        return None
    if any(name not in known for line in found for name in line.effects.reads):
        return None
    imports = [n for line in found for n in ast.walk(line.node) if isinstance(n, Import)]
    return found if all(map(_installed, imports)) else None


def _star(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def _annotated(node: ast.stmt) -> bool:
    return any(
        getattr(n, "annotation", None) is not None or getattr(n, "returns", None) is not None
        for n in ast.walk(node)
    )


def _future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _joined(lines: Sequence[Line]) -> str:
    """The statements as one text, imports first."""
    imports = [line for line in lines if isinstance(line.node, Import)]
    head = [_segment(line) for line in sorted(imports, key=lambda x: not _future(x.node))]
    if not any("torch" in line.effects.binds for line in lines):
        head.append("import torch")
    out = ["\n".join(head)]
    before: ast.stmt | None = None
    for line in lines:
        if isinstance(line.node, Import):
            continue
        block = any(isinstance(n, Function | ast.ClassDef) for n in (before, line.node))
        out.append("\n\n\n" if block else "\n\n" if before is None else "\n")
        out.append(_segment(line))
        before = line.node
    return "".join(out)


def _segment(line: Line) -> str:
    """A statement's text, its decorators and the comment lines right above it included."""
    node = line.node
    if any(_share(node, other) for other in line.cell.body if other is not node):
        return line.text
    lines = line.cell.source.split("\n")
    start = _start(node)
    while start > 1 and lines[start - 2].startswith("# ") and "fmt:" not in lines[start - 2]:
        start -= 1
    return "\n".join(lines[start - 1 : node.end_lineno])


def _share(a: ast.stmt, b: ast.stmt) -> bool:
    """Whether two statements have a line in common: ``a = 1; b = 2``."""
    return a.lineno <= (b.end_lineno or 0) and b.lineno <= (a.end_lineno or 0)


def _start(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, Function | ast.ClassDef) else []
    return min([node.lineno, *(d.lineno for d in decorators)])


def _renamed(text: str, name: str) -> str | None:
    """The text with a function called ``forward``, as worksheets have it."""
    if name == "forward":
        return text
    if "forward" in names_in([text]) or any(
        isinstance(n, ast.Name) and n.id == name for n in ast.walk(ast.parse(text))
    ):
        return None  # it calls itself, or something else has that name
    return re.sub(rf"^def {re.escape(name)}\b", "def forward", text, count=1, flags=re.M)


def _result_named(text: str, bp: Backprop) -> str | None:
    """The text with a name for what ``forward`` returns, which its backward pass begins from.

    ``return (d * d).mean()`` becomes ``loss = (d * d).mean()`` and ``return loss``.
    """
    name = bp.derived("plain").upstream_of[0]
    tree = ast.parse(text)
    unnamed = [n for n in _returns(_forward(tree)) if not isinstance(n.value, ast.Name)]
    taken = {getattr(n, part, None) for n in ast.walk(tree) for part in ("id", "arg", "name")}
    lines = text.split("\n")
    for node in reversed(unnamed):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        indent = lines[first][: node.col_offset]
        rest = lines[last].encode()[node.end_col_offset :].decode().strip()
        several = isinstance(node.value, (ast.Tuple, ast.List, ast.Dict))
        shares_line = bool(indent.strip()) or rest[:1] not in ("", "#")
        if node.value is None or several or shares_line or name in taken:
            return None
        lines[first] = f"{indent}{name} ={lines[first][node.col_offset + len('return') :]}"
        lines.insert(last + 1, f"{indent}return {name}")
    return "\n".join(lines)


def _forward(tree: ast.Module) -> ast.FunctionDef:
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "forward"]
    return found[-1]


def _returns(function: ast.FunctionDef) -> list[ast.Return]:
    """The returns of a function, in order, those of functions inside it left out."""
    inner = [n for n in ast.walk(function) if isinstance(n, Function) and n is not function]
    others = {id(n) for f in inner for n in ast.walk(f)}
    found = [n for n in ast.walk(function) if isinstance(n, ast.Return) and id(n) not in others]
    return sorted(found, key=lambda n: n.lineno)


def _bound_twice(text: str, bp: Backprop) -> bool:
    """Whether a name stands for two values: a parameter can be only one of them."""
    written = names_in([ast.unparse(_forward(ast.parse(text)))])
    values = [v.name for v in bp.captured.program.values() if v.var is not None]
    return any(v not in written and _stem(v) in written for v in values)


def _stem(name: str) -> str:
    stem, _, turn = name.rpartition("_")
    return stem if turn.isdecimal() else ""


def _installed(node: Import) -> bool:
    """Whether an import finds the same from anywhere: Python's own modules, and packages."""
    if isinstance(node, ast.ImportFrom):
        return not node.level and _is_installed(node.module or "")
    return all(_is_installed(alias.name) for alias in node.names)


def _is_installed(module: str) -> bool:
    name = module.partition(".")[0]
    if name in sys.stdlib_module_names or name == "torch":
        return True
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a module without one: made by hand
        spec = None
    found = [spec.origin, *(spec.submodule_search_locations or ())] if spec is not None else []
    return any({"site-packages", "dist-packages"} & set(Path(f).parts) for f in found if f)


def _captured(bp: Backprop) -> str:
    """The captured program as a function ``forward`` of its tensors."""
    text = bp.emit("torch")
    tree = ast.parse(text)
    pieces: list[str] = ["import math\n\nimport torch" if "math." in text else "import torch"]
    for node in tree.body:
        if isinstance(node, ast.Assign):
            pieces.append(ast.get_source_segment(text, node) or "")
        elif isinstance(node, ast.FunctionDef) and node.name == "forward":
            returned = node.body[-1]
            assert isinstance(returned, ast.Return) and isinstance(returned.value, ast.Tuple)
            last = node.body[-3] if len(node.body) > 2 else node
            lines = text.splitlines()[node.lineno : (last.end_lineno or 0)]
            out = ast.unparse(returned.value.elts[0])
            head = signature("forward", [a.arg for a in node.args.args])
            pieces.append("\n".join([*head, *lines, f"    return {out}"]))
    return "\n\n\n".join(pieces)


def _arguments(target: Target) -> Sequence[Any] | None:
    """The call's arguments by position, where the function takes them so."""
    bound = inspect.signature(target.forward).bind(*target.args, **target.kwargs)
    return None if bound.kwargs else bound.args


def _literal(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return True
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _inputs_text(values: Sequence[Any]) -> str:
    """``example_inputs``: tensors of the same shapes and in the same range as those given."""
    made = [_tensor_text(v) if isinstance(v, torch.Tensor) else repr(v) for v in values]
    lines: list[str] = []
    for text in made:
        lines += ["    " + line for line in broken(f"{text},", WIDTH - 8)]
    drawn = any("generator=g" in text for text in made)
    head = ["    g = torch.Generator().manual_seed(0)"] if drawn else []
    body = [*head, "    return (", *(f"    {line}" for line in lines), "    )"]
    return "\n".join(["def example_inputs():", *body])


def _tensor_text(value: torch.Tensor) -> str:
    tensor = value.detach()
    shape, dtype = list(tensor.shape), str(tensor.dtype)
    if not tensor.dtype.is_floating_point:
        if tensor.numel() <= 32 or tensor.dtype == torch.bool:
            if tensor.numel() <= 256:
                return f"torch.tensor({tensor.tolist()}, dtype={dtype})"
            return f"torch.rand({shape}, generator=g) < {tensor.float().mean().item():.3f}"
        first, last = int(tensor.min()), int(tensor.max())
        return f"torch.randint({first}, {last + 1}, {shape}, generator=g, dtype={dtype})"
    if not tensor.numel() or not bool(torch.isfinite(tensor).all()):
        raise InputError(
            f"an example input of shape {shape} is empty or not finite: give others with --inputs"
        )
    low, high = tensor.min().item(), tensor.max().item()
    if low == high:
        # a parameter that starts at zero or one hides mistakes
        low, high = low - 0.5, high + 0.5
        if tensor.numel() == 1:
            return f"torch.tensor({tensor.tolist()}, dtype={dtype})"
    wide = math.nextafter(high, math.inf) - low
    sign = "-" if low < 0 else "+"
    return f"torch.rand({shape}, generator=g, dtype={dtype}) * {wide:.6g} {sign} {abs(low):.6g}"


def checked_call(forward: Callable[..., Any], inputs: Sequence[Any]) -> None:
    """Run a worksheet's forward pass once; raises ``InputError`` where its inputs do not fit."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            out = forward(*inputs)
    except Exception as error:
        raise InputError(
            f"on inputs of the same shapes and range the forward pass fails: {first_line(error)}\n"
            "  write example_inputs() beside it, or name a function with --inputs"
        ) from None
    if isinstance(out, torch.Tensor) and not bool(torch.isfinite(out).all()):
        raise InputError(
            "on inputs of the same shapes and range the result is not finite: write "
            "example_inputs() beside the forward pass, or name a function with --inputs"
        )
