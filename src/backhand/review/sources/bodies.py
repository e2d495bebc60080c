"""The body of a function as statements, and what it returns as names that start with ``d``."""

from __future__ import annotations

import ast
import copy
import inspect
import linecache
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch

from ...capture.inputs import flatten
from ...errors import LocatedError, Location
from ..handwritten import Statement
from .effects import Function, effects
from .script import statement


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
    linecache.checkcache(code.co_filename)  # it may have been edited since
    lines = linecache.getlines(code.co_filename)
    source = "".join(lines)
    node = _definitions(source).get((code.co_name, code.co_firstlineno))
    if node is not None:
        return Written(node, source, code.co_filename)
    try:
        found, start = inspect.getsourcelines(target)
        text = textwrap.dedent("".join(found))
        tree = ast.parse(text)
    except (OSError, TypeError, ValueError, SyntaxError):
        return None
    node = next((n for n in _functions(tree) if n.name == code.co_name), None)
    if node is None:
        return None
    ast.increment_lineno(node, start - 1)
    return Written(node, "\n" * (start - 1) + text, code.co_filename)


@lru_cache(16)
def _definitions(source: str) -> Mapping[tuple[str, int], Function]:
    """The functions of a source by name and line, that of the first decorator or of ``def``.

    The nodes are everybody's: whoever changes one changes a copy.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    found: dict[tuple[str, int], Function] = {}
    for node in _functions(tree):
        for line in (min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.lineno):
            found.setdefault((node.name, line), node)
    return found


def _functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


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
                    located(file, inner, text.source),
                    "return once, at the end",
                )
    lines, back = _from_container(_without_placeholders(lines), back, known)
    statements = [statement(node, text.source, effects(node, functions)) for node in lines]
    gradients: dict[str, str] = {}
    notes: list[str] = []
    left_out: list[str] = []
    if back is not None and back.value is not None:
        bound = {n for s in statements for n in s.writes}
        extra = _results(back, inputs, bound, known, gradients, notes, left_out, text)
        statements += [statement(node, text.source, effects(node, functions)) for node in extra]
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
        isinstance(n, Function | ast.Lambda) and inner in set(ast.walk(n)) for n in ast.walk(outer)
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

    def __init__(self, container: str, known: Collection[str]) -> None:
        self.container = container
        self.known = known

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == self.container:
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if isinstance(key, str) and key.isidentifier():
                name = f"d{_value_of(key, self.known)}"
                return ast.copy_location(ast.Name(name, node.ctx), node)
        return node


def _value_of(key: str, known: Collection[str], bound: Collection[str] = ()) -> str:
    """Whose gradient a dict's entry is: of the value called so, or of that after the ``d``."""
    return key if key in known or f"d{key}" in bound else key.removeprefix("d")


def _from_container(
    lines: list[ast.stmt], back: ast.Return | None, known: Collection[str]
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
            entries = _Entries(name, known)
            rest = [entries.visit(copy.deepcopy(part)) for part in lines[i + 1 :]]
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
                pairs.append((_value_of(key.value, known, bound), item))
    elif isinstance(value, ast.Call) and ast.unparse(value.func) == "dict":
        for keyword in value.keywords:
            if keyword.arg is not None:
                pairs.append((_value_of(keyword.arg, known, bound), keyword.value))
    else:
        items = list(value.elts) if isinstance(value, (ast.Tuple, ast.List)) else [value]
        if len(items) != len(inputs) and len(items) > 1:
            notes.append(
                f"{text.node.name} returns {len(items)} gradients for {len(inputs)} inputs "
                f"({', '.join(inputs)}): one for each is expected, None where there is none"
            )
        pairs = list(zip(inputs, items, strict=False))
    made: list[tuple[str, ast.expr]] = []
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
        made.append((f"d{of}", item))
    return _assignments(made, back)


def _assignments(made: Sequence[tuple[str, ast.expr]], back: ast.Return) -> list[ast.stmt]:
    """What is returned under each name; where one reads what another writes, all at once."""
    names = [name for name, _ in made]
    mixed = any(
        isinstance(n, ast.Name) and n.id in names and n.id != name
        for name, item in made
        for n in ast.walk(item)
    )
    out: list[ast.stmt] = []
    if mixed and len(made) > 1:
        targets = ast.Tuple([ast.Name(n, ast.Store()) for n in names], ast.Store())
        values = ast.Tuple([item for _, item in made], ast.Load())
        out = [ast.copy_location(ast.Assign([targets], values), back)]
    else:
        out = [
            ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], item), item)
            for name, item in made
        ]
    return [ast.fix_missing_locations(node) for node in out]


def located(file: str, node: ast.stmt | ast.AST, source: str = "") -> Location:
    line = getattr(node, "lineno", 1)
    shown = (
        (ast.get_source_segment(source, node) or "").split("\n")[0]
        if source
        else f"def {node.name}(…)"
        if isinstance(node, Function)
        else ""
    )
    return Location(file, line, shown)
