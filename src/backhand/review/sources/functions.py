"""A backward pass written as a function: its body as statements, its parameters as values.

``backward(dy, x, h)`` takes values of the forward pass by their names, and perhaps the gradient of
the output. What it returns (a dict, a tuple in the order of the forward pass's inputs, or nothing)
is brought back to names that start with ``d``.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import inspect
import linecache
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...capture.inputs import flatten
from ...errors import InputError, LocatedError, Location
from ..handwritten import Handwritten, Statement
from .effects import Function, effects
from .script import is_blank, statement_text

# What people call the gradient of a function's output.
_UPSTREAM = frozenset(
    {"g", "grad", "grad_out", "grad_output", "output_grad", "gradient", "cotangent", "upstream"}
    | {"upstream_grad", "up", "dout", "d_out", "dy", "dz", "doutput", "d_output"}
)
_KINDS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Written:
    """A function's text: its definition, the source that it stands in, and its file."""

    node: Function
    source: str
    file: str


@dataclass(frozen=True)
class Body:
    """The statements of a function, and gradients that go by other names than ``d…``."""

    statements: tuple[Statement, ...]
    gradients: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # inputs for which it returns None


def written(function: Callable[..., Any]) -> Written | None:
    """The text of a function, if Python can still find it."""
    target = inspect.unwrap(function)
    code = getattr(getattr(target, "__func__", target), "__code__", None)
    if code is None:
        return None
    lines = linecache.getlines(code.co_filename)
    source = "".join(lines)
    node = _definition(source, code.co_name, code.co_firstlineno)
    if node is not None:
        return Written(node, source, code.co_filename)
    try:
        found, start = inspect.getsourcelines(target)
        text = textwrap.dedent("".join(found))
        node = _definition(text, code.co_name, None)
    except (OSError, TypeError, IndentationError, SyntaxError):
        return None
    if node is None:
        return None
    ast.increment_lineno(node, start - 1)
    return Written(node, "\n" * (start - 1) + text, code.co_filename)


def _definition(source: str, name: str, line: int | None) -> Function | None:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, _KINDS) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if line is None or line in (first, node.lineno):
                return node
    return None


def from_function(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Sequence[Any],
    file: str,
) -> Handwritten:
    """Review a function ``backward`` against a forward pass."""
    text = written(backward)
    name = getattr(backward, "__name__", "backward")
    if text is None:
        raise InputError(
            f"the source of {name} cannot be found: write it in a file or a notebook cell"
        )
    shown = file or text.file
    known = value_names(forward, inputs)
    fixed, upstream = _parameters(backward, text, known, forward, shown)
    functions = helpers(backward)
    body = body_of(text, shown, input_names(forward, inputs), known, functions)
    body = with_doubts(body, forward, inputs, text.node.name)
    if not body.statements:
        raise LocatedError(
            f"{name} has no line to review", _at(shown, text.node), "write dX = … lines in it"
        )
    _needs_upstream(forward, inputs, upstream, text, shown)
    return Handwritten(
        file=shown,
        source=text.source,
        forward=forward,
        inputs=tuple(inputs),
        statements=body.statements,
        scope={**surroundings(backward), **fixed},
        gradients=body.gradients,
        upstream=upstream,
        notes=body.notes,
    )


def value_names(forward: Callable[..., Any], inputs: Sequence[Any]) -> list[str]:
    """The names of a forward pass's values, as far as its text tells: inputs come first."""
    names = input_names(forward, inputs)
    called = forward.forward if isinstance(forward, torch.nn.Module) else forward
    text = written(called)
    if text is not None:
        functions = helpers(called)
        for part in text.node.body:
            names += [n for n in effects(part, functions).writes if n not in names]
    return names


def input_names(forward: Callable[..., Any], inputs: Sequence[Any]) -> list[str]:
    """The names of a forward pass's inputs; a module's parameters stand after the arguments."""
    return [leaf.name for leaf in flatten(forward, tuple(inputs)).leaves]


def helpers(function: Callable[..., Any]) -> dict[str, Function]:
    """The functions beside this one, by name, as text."""
    out: dict[str, Function] = {}
    for name, value in surroundings(function).items():
        if inspect.isfunction(value) and value is not function:
            code = value.__code__
            own = getattr(inspect.unwrap(function), "__code__", None)
            if own is not None and code.co_filename == own.co_filename:
                text = written(value)
                if text is not None:
                    out[name] = text.node
    return out


def surroundings(function: Callable[..., Any]) -> dict[str, Any]:
    """What a function's text can see: its module's names, and those of functions around it."""
    target = inspect.unwrap(function)
    target = getattr(target, "__func__", target)
    out = dict(getattr(target, "__globals__", {}))
    code = getattr(target, "__code__", None)
    cells = getattr(target, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        try:
            out[name] = cell.cell_contents
        except ValueError:
            continue
    return out


def _parameters(
    backward: Callable[..., Any],
    text: Written,
    known: Sequence[str],
    forward: Callable[..., Any],
    file: str,
) -> tuple[dict[str, Any], str | None]:
    """Parameters that keep their default values, and the one that is the output's gradient."""
    fixed: dict[str, Any] = {}
    upstream: str | None = None
    result = _returned(forward)
    for name, p in inspect.signature(backward).parameters.items():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise LocatedError(
                f"{text.node.name} takes {_star(p)}{name}, which tells nothing about the values it "
                "needs",
                _at(file, text.node),
                "name them as the forward pass does",
            )
        if name in known:
            continue
        if p.default is not p.empty:
            fixed[name] = p.default
        elif upstream is None and (name in _UPSTREAM or name == f"d{result}"):
            upstream = name
        else:
            close = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(known[:12])}"
            raise LocatedError(
                f"{text.node.name} takes {name}, which is no value of the forward pass",
                _at(file, text.node),
                hint + (" (its output's gradient may be called upstream)" if not close else ""),
            )
    return fixed, upstream


def _star(parameter: inspect.Parameter) -> str:
    return "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"


def _returned(forward: Callable[..., Any]) -> str:
    """The name of what a forward pass returns."""
    called = forward.forward if isinstance(forward, torch.nn.Module) else forward
    text = written(called)
    if text is not None:
        for node in reversed(text.node.body):
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Name):
                return node.value.id
    return "out"


def _needs_upstream(
    forward: Callable[..., Any],
    inputs: Sequence[Any],
    upstream: str | None,
    text: Written,
    file: str,
) -> None:
    """A gradient is of one number: what returns more of them needs an upstream."""
    if upstream is not None:
        return
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            result = forward(*(_copy(x) for x in inputs))
        except Exception:
            return  # capture says it better, with the forward pass's line
    if isinstance(result, torch.Tensor) and result.dim() > 0:
        said = list(result.shape)
        raise LocatedError(
            f"the forward pass returns a tensor of shape {said}, not a loss, and "
            f"{text.node.name} takes no gradient of it",
            _at(file, text.node),
            f"give {text.node.name} a parameter upstream, of that shape, or return a loss",
        )


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def body_of(
    text: Written,
    file: str,
    inputs: Sequence[str],
    known: Collection[str],
    functions: Mapping[str, Function] | None = None,
) -> Body:
    """The statements of a function's body; what it returns becomes names that start with ``d``."""
    lines: list[ast.stmt] = []
    back: ast.Return | None = None
    for node in _without_docstring(text.node.body):
        if isinstance(node, ast.Return):
            back = node
            break
        lines.extend(_asked_for(node))
    for node in lines:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Return) and not _in_function(node, inner):
                raise LocatedError(
                    f"{text.node.name} returns from inside a block, so that its lines cannot be "
                    "judged one by one",
                    _at(file, inner, text.source),
                    "return once, at the end",
                )
    lines, back = _from_container(_without_placeholders(lines), back)
    statements = [_statement(node, text.source, functions or {}) for node in lines]
    gradients: dict[str, str] = {}
    notes: list[str] = []
    left_out: list[str] = []
    if back is not None and back.value is not None:
        bound = {n for s in statements for n in s.writes}
        extra = _results(back, inputs, bound, known, gradients, notes, left_out, text)
        statements += [_statement(node, text.source, functions or {}) for node in extra]
    return Body(tuple(statements), gradients, tuple(notes), tuple(left_out))


def with_doubts(body: Body, forward: Callable[..., Any], inputs: Sequence[Any], name: str) -> Body:
    """The body with a note on each input that has a gradient and gets none."""
    leaves = {leaf.name: leaf.value for leaf in flatten(forward, tuple(inputs)).leaves}
    notes = [
        f"{name} returns None for {of}, which has a gradient"
        for of in body.left_out
        if isinstance(leaves.get(of), torch.Tensor) and leaves[of].is_floating_point()
    ]
    return replace(body, notes=(*body.notes, *notes))


def _without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    first = body[0] if body else None
    value = first.value if isinstance(first, ast.Expr) else None
    documented = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return body[1:] if documented else body


def _asked_for(node: ast.stmt) -> Iterable[ast.stmt]:
    """Every gradient is asked for: ``if ctx.needs_input_grad[0]:`` is always true."""
    if isinstance(node, ast.If):
        tested = {n.attr for n in ast.walk(node.test) if isinstance(n, ast.Attribute)}
        negated = any(isinstance(n, ast.Not) for n in ast.walk(node.test))
        if "needs_input_grad" in tested and not negated:
            for part in node.body:
                yield from _asked_for(part)
            return
    yield node


def _in_function(outer: ast.stmt, inner: ast.AST) -> bool:
    return any(
        isinstance(n, (*_KINDS, ast.Lambda)) and inner in set(ast.walk(n)) for n in ast.walk(outer)
    )


def _without_placeholders(lines: Sequence[ast.stmt]) -> list[ast.stmt]:
    """``dx = dw = None`` above the lines that compute them is no gradient."""
    out: list[ast.stmt] = []
    for i, node in enumerate(lines):
        if isinstance(node, ast.Assign) and _all_none(node.value):
            later = {n for rest in lines[i + 1 :] for n in effects(rest).writes}
            if set(effects(node).writes) <= later:
                continue
        if isinstance(node, ast.Pass):
            continue
        out.append(node)
    return out


class _Entries(ast.NodeTransformer):
    """``grads["x"]`` as the name ``dx``."""

    def __init__(self, container: str) -> None:
        self.container = container

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == self.container:
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if isinstance(key, str) and key.isidentifier():
                return ast.copy_location(ast.Name(f"d{key.removeprefix('d')}", node.ctx), node)
        return node


def _from_container(
    lines: list[ast.stmt], back: ast.Return | None
) -> tuple[list[ast.stmt], ast.Return | None]:
    """A returned name that was bound to a dict or a tuple: what is in it counts."""
    if back is None or not isinstance(back.value, ast.Name):
        return lines, back
    name = back.value.id
    for i, node in reversed(list(enumerate(lines))):
        if not isinstance(node, ast.Assign) or name not in effects(node).binds:
            continue
        value = node.value
        empty = isinstance(value, ast.Dict) and not value.keys
        if empty or ast.unparse(value) == "dict()":
            rest = [_Entries(name).visit(part) for part in lines[i + 1 :]]
            return [*lines[:i], *rest], None
        if isinstance(value, (ast.Dict, ast.Tuple, ast.List)):
            made = ast.copy_location(ast.Return(value), node)
            return [*lines[:i], *lines[i + 1 :]], made
        break
    return lines, back


def _all_none(node: ast.expr) -> bool:
    if isinstance(node, (ast.Tuple, ast.List)):
        return all(map(_all_none, node.elts))
    return isinstance(node, ast.Constant) and node.value is None


def _statement(node: ast.stmt, source: str, functions: Mapping[str, Function]) -> Statement:
    found = effects(node, functions)
    return Statement(
        line=node.lineno,
        end_line=node.end_lineno or node.lineno,
        text=statement_text(source, node),
        node=node,
        writes=found.writes,
        reads=tuple(n for n in found.reads if n not in vars(builtins)),
        blank=is_blank(node),
    )


def _results(
    back: ast.Return,
    inputs: Sequence[str],
    bound: Collection[str],
    known: Collection[str],
    gradients: dict[str, str],
    notes: list[str],
    left_out: list[str],
    text: Written,
) -> list[ast.stmt]:
    """What is returned, as assignments where it is no plain ``d…`` name of its own input."""
    assert back.value is not None
    pairs: list[tuple[str, ast.expr]] = []
    value = back.value
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                name = key.value
                of = name if name in known or f"d{name}" in bound or name[:1] != "d" else name[1:]
                pairs.append((of, item))
    elif isinstance(value, ast.Call) and ast.unparse(value.func) == "dict":
        for keyword in value.keywords:
            if keyword.arg is not None:
                name = keyword.arg
                pairs.append((name if name in known else name.removeprefix("d"), keyword.value))
    else:
        items = list(value.elts) if isinstance(value, (ast.Tuple, ast.List)) else [value]
        if len(items) != len(inputs) and len(items) > 1:
            notes.append(
                f"{text.node.name} returns {len(items)} gradients for {len(inputs)} inputs "
                f"({', '.join(inputs)}): one for each is expected, None where there is none"
            )
        pairs = list(zip(inputs, items, strict=False))
    made: list[ast.stmt] = []
    for of, item in pairs:
        if _all_none(item):
            left_out.append(of)
            continue
        if isinstance(item, ast.Name):
            if item.id == f"d{of}":
                if item.id not in bound:
                    gradients[item.id] = of  # promised, and never written
                continue
            own = item.id[:1] == "d" and item.id[1:] in known
            if item.id in bound and not own and item.id not in gradients:
                gradients[item.id] = of
                continue
        node = ast.Assign([ast.Name(f"d{of}", ast.Store())], item)
        ast.copy_location(node, item)
        ast.copy_location(node.targets[0], item)
        made.append(ast.fix_missing_locations(node))
    return made


def _at(file: str, node: ast.stmt | ast.AST, source: str = "") -> Location:
    line = getattr(node, "lineno", 1)
    shown = (
        (ast.get_source_segment(source, node) or "").split("\n")[0]
        if source
        else f"def {node.name}(…)"
        if isinstance(node, _KINDS)
        else ""
    )
    return Location(file, line, shown)
