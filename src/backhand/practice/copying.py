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
from ..errors import InputError
from .worksheet import signature

Top = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom


def source_of(target: Target, bp: Backprop) -> str:
    """Imports, ``forward`` and ``example_inputs`` of a target, as the head of a worksheet."""
    copied = _copied(target, bp)
    head = copied if copied is not None else _captured(bp)
    if copied is not None and "example_inputs" in names_in([copied]):
        return head
    arguments = _arguments(target) if copied is not None else [leaf.value for leaf in bp.leaves]
    return f"{head}\n\n\n{_inputs_text(arguments)}"


def _copied(target: Target, bp: Backprop) -> str | None:
    """The function's own text with all it needs of its file; ``None`` where that cannot be had."""
    function = target.forward
    if not inspect.isfunction(function) or function.__closure__:
        return None
    text = "".join(linecache.getlines(function.__code__.co_filename))
    try:
        tops = dict(_bindings(ast.parse(text)))
    except SyntaxError:
        return None
    found = tops.get(function.__name__)
    first = function.__code__.co_firstlineno
    if not isinstance(found, ast.FunctionDef) or first != _start(found):
        return None
    wanted = [function.__name__]
    maker = tops.get("example_inputs")
    own_inputs = sys.modules[function.__module__].__dict__.get("example_inputs")
    if isinstance(maker, ast.FunctionDef) and own_inputs is not None and not target.kwargs:
        made = own_inputs()
        args = tuple(made) if isinstance(made, (tuple, list)) else (made,)
        if _alike(args, target.args):
            wanted.append("example_inputs")
    elif any(not _literal(v) for v in _arguments(target)):
        return None
    needed = _needed(wanted, tops, Path(function.__code__.co_filename).parent)
    written = names_in([ast.get_source_segment(text, found) or ""])
    values = [v.name for v in bp.captured.program.values() if v.var is not None]
    # a name that is bound twice stands for two values, and a parameter can be only one of them
    if needed is None or any(v not in written and _stem(v) in written for v in values):
        return None
    pieces = [(s, _segment(text, s)) for s in needed]
    imports = [piece for s, piece in pieces if isinstance(s, (ast.Import, ast.ImportFrom))]
    if not any(piece == "import torch" for piece in imports):
        imports.append("import torch")
    others = [piece for s, piece in pieces if not isinstance(s, (ast.Import, ast.ImportFrom))]
    own = "\n\n\n".join(["\n".join(imports), *others])
    return _renamed(own, function.__name__)


def _renamed(text: str, name: str) -> str | None:
    """The text with a function called ``forward``, as worksheets have it."""
    if name == "forward":
        return text
    if "forward" in names_in([text]) or any(
        isinstance(n, ast.Name) and n.id == name for n in ast.walk(ast.parse(text))
    ):
        return None  # it calls itself, or something else has that name
    return re.sub(rf"^def {re.escape(name)}\b", "def forward", text, count=1, flags=re.M)


def _stem(name: str) -> str:
    stem, _, turn = name.rpartition("_")
    return stem if turn.isdecimal() else ""


def _start(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def _segment(text: str, node: ast.stmt) -> str:
    """A statement's text, its decorators and the comment lines right above it included."""
    lines = text.splitlines()
    start = _start(node) if isinstance(node, ast.FunctionDef) else node.lineno
    while start > 1 and lines[start - 2].startswith("# ") and "fmt:" not in lines[start - 2]:
        start -= 1
    return "\n".join(lines[start - 1 : node.end_lineno])


def _bindings(tree: ast.Module) -> Iterator[tuple[str, Top]]:
    """The names that a file binds at its top level, each with the statement that does it."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield (alias.asname or alias.name).partition(".")[0], node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in (n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)):
                yield name.id, node


def _needed(wanted: Sequence[str], tops: dict[str, Top], folder: Path) -> list[Top] | None:
    """The top-level statements that some names need, in the file's order."""
    found: dict[int, Top] = {}
    todo = list(wanted)
    seen = set(todo)
    while todo:
        node = tops.get(todo.pop())
        if node is None:
            return None  # bound in a way that is not copied: by a loop, a condition, a star
        found[node.lineno] = node
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if _nearby(node, folder):
                return None
            continue
        for read in ast.walk(node):
            if not isinstance(read, ast.Name) or read.id in seen:
                continue
            if read.id in tops:
                seen.add(read.id)
                todo.append(read.id)
    nodes = [n for s in found.values() for n in ast.walk(s)]
    names = [n for n in nodes if isinstance(n, ast.Name)]
    known = {n.id for n in names if isinstance(n.ctx, ast.Store)} | set(tops) | set(dir(builtins))
    known |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    if any(n.id not in known for n in names):
        return None
    return [found[line] for line in sorted(found)]


def _nearby(node: ast.Import | ast.ImportFrom, folder: Path) -> bool:
    """Whether an import finds a file beside the target, which a worksheet may not lie beside."""
    if isinstance(node, ast.ImportFrom) and node.level:
        return True
    names = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
    )
    for name in names:
        top = name.partition(".")[0]
        if (folder / f"{top}.py").exists() or (folder / top).is_dir():
            return True
        if top not in sys.modules and importlib.util.find_spec(top) is None:
            return True
    return False


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


def _arguments(target: Target) -> list[Any]:
    """The call's arguments by position."""
    bound = inspect.signature(target.forward).bind(*target.args, **target.kwargs)
    return [*bound.args, *bound.kwargs.values()]


def _alike(a: Sequence[Any], b: Sequence[Any]) -> bool:
    def shapes(values: Sequence[Any]) -> list[Any]:
        return [v.shape if isinstance(v, torch.Tensor) else v for v in values]

    return shapes(a) == shapes(b)


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
        said = (str(error).strip().splitlines() or ["no message"])[0]
        raise InputError(
            f"on inputs of the same shapes and range the forward pass fails: {said}\n"
            "  write example_inputs() beside it, or name a function with --inputs"
        ) from None
    if isinstance(out, torch.Tensor) and not bool(torch.isfinite(out).all()):
        raise InputError(
            "on inputs of the same shapes and range the result is not finite: write "
            "example_inputs() beside the forward pass, or name a function with --inputs"
        )
