"""Gradients that are there as values: a dict of them, or a notebook's namespace.

Values have no lines. A notebook's history has: what was typed there is judged in its place.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...capture.inputs import called_by
from ...errors import InputError
from ..handwritten import Handwritten, Statement
from .cells import Cell, Source, python_cell
from .functions import input_names, value_names
from .script import build, statement_of
from .slicing import Line, backward_lines, is_gradient, lines_of, slice_source

# What a notebook keeps for itself.
_HISTORY = ("In", "_ih")
_NO_LINE = "no line of the cell writes a gradient: write dx = … for a value x"
_KEPT = frozenset({*_HISTORY, "Out", "_oh", "_dh", "_i", "_ii", "_iii", "_", "__", "___"})


def from_namespace(
    forward: Callable[..., Any], space: Mapping[str, Any], inputs: Sequence[Any]
) -> Handwritten:
    """Review the gradients that a dict or a namespace holds."""
    given = tuple(inputs) or inputs_from(forward, space)
    known = value_names(forward, given)
    values, odd = _gradients(space, known)
    if not values:
        has = f" (it has {', '.join(list(odd)[:6])})" if odd else ""
        raise InputError(
            f"there is no gradient in it{has}: names are d and the name of a value, such as "
            f"d{known[0] if known else 'x'}"
        )
    scope = {n: v for n, v in space.items() if n not in _KEPT}
    statements = [statement_of(line) for line in _typed(space, known, set(values))]
    typed = {n for s in statements for n in s.writes}
    for name, value in (values | odd).items():
        if name not in typed:
            hidden = f"value_of_{name}"
            scope[hidden] = value
            statements.append(_value_statement(name, hidden))
    return Handwritten(
        file="the namespace" if "__name__" in space else "the gradients",
        source="\n".join(s.text for s in statements),
        forward=forward,
        inputs=given,
        statements=tuple(statements),
        scope={n: v for n, v in scope.items() if n not in values},
    )


def inputs_from(forward: Callable[..., Any], space: Mapping[str, Any]) -> tuple[Any, ...]:
    """The inputs of a forward pass, by their names."""
    names = [
        p.name
        for p in inspect.signature(called_by(forward)).parameters.values()
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    missing = [n for n in names if n not in space]
    if missing or not names:
        raise InputError(
            f"give the inputs of the forward pass: there is no {missing[0]} to take them from"
            if missing
            else "give the inputs of the forward pass"
        )
    return tuple(space[n] for n in names)


def _gradients(
    space: Mapping[str, Any], known: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Gradients by the names they are to have, and tensors that are nobody's gradient."""
    named = {n: v for n, v in space.items() if isinstance(n, str) and _is_value(v)}
    values = {n: v for n, v in named.items() if is_gradient(n, known)}
    if "__name__" in space:
        return values, {}
    if not values:  # {"x": …}: by the values that they are gradients of
        return {f"d{n}": v for n, v in named.items() if n in known}, {
            f"d{n}": v for n, v in named.items() if n not in known
        }
    return values, {n: v for n, v in named.items() if n not in values}


def _is_value(value: Any) -> bool:
    return value is None or isinstance(value, (torch.Tensor, int, float))


def _value_statement(name: str, hidden: str) -> Statement:
    text = f"{name} = {hidden}"
    return Statement(0, 0, text, ast.parse(text).body[0], (name,), (hidden,))


def _typed(space: Mapping[str, Any], known: Sequence[str], wanted: set[str]) -> list[Line]:
    """The lines of a notebook's history that gave the gradients their present values."""
    cells = history(space)
    # forward values are given, with the inputs
    lines = [line for line in lines_of(cells) if not set(line.effects.binds) & set(known)]
    found, _ = backward_lines(_present(lines), set(known), "")
    return [x for x in found if not _only_other(x, known, wanted)]


def _present(lines: Sequence[Line]) -> list[Line]:
    """Without lines of earlier cells whose gradients are bound anew in a later one."""
    closed: dict[str, Cell] = {}
    kept: list[Line] = []
    for line in reversed(lines):
        own = {n for n in line.effects.writes if n[:1] == "d"}
        if own and all(n in closed and closed[n] is not line.cell for n in own):
            continue
        kept.append(line)
        for name in own & (set(line.effects.binds) - set(line.effects.reads)):
            closed.setdefault(name, line.cell)
    return kept[::-1]


def _only_other(line: Line, known: Sequence[str], wanted: set[str]) -> bool:
    own = {n for n in line.effects.writes if is_gradient(n, known)}
    return bool(own) and not own & wanted


def history(space: Mapping[str, Any]) -> list[Cell]:
    """What was typed in a notebook, in the order in which it ran; repeated cells count once."""
    typed: list[Any] = next((space[n] for n in _HISTORY if isinstance(space.get(n), list)), [])
    last = {source: i for i, source in enumerate(typed) if isinstance(source, str)}
    cells: list[Cell] = []
    for source, number in sorted(last.items(), key=lambda item: item[1]):
        try:
            cell = python_cell(_as_typed(source), f"In [{number}]", f"<In [{number}]>")
        except InputError:
            continue  # it failed when it ran, too
        if cell is not None:
            cells.append(cell)
    return cells


def _as_typed(source: str) -> str:
    """History keeps a cell command as ``get_ipython().run_cell_magic(…)``: that undone."""
    if "run_cell_magic(" in source:
        try:
            (node,) = ast.parse(source).body
            call = node.value if isinstance(node, ast.Expr) else None
            if isinstance(call, ast.Call):
                name, line, body = map(ast.literal_eval, call.args)
                return f"%%{name} {line}\n{body}"
        except (SyntaxError, ValueError):
            pass
    return source


def from_cell(
    source: str, space: Mapping[str, Any], forward: str = ""
) -> tuple[Handwritten, tuple[str, ...]]:
    """The lines of one cell in a notebook's namespace, and the gradients that it writes itself.

    ``forward`` names the function that they go back through; without it the forward pass is what
    was typed above, up to the loss.
    """
    typed = history(space)
    here = python_cell(source, "this cell", "<this cell>")
    if here is None or not here.body:
        raise InputError("the cell is empty: write lines such as dx = … in it")
    before = [c for c in typed if c.source.strip() != source.strip() and not _same(c, here)]
    if forward:
        handwritten, lines = _against(forward, before, here, space)
    else:
        handwritten, lines = _against_history(before, here, space)
    only = [n for line in lines for n in line.effects.writes if n[:1] == "d"]
    if not only:
        raise InputError(_NO_LINE)
    return handwritten, tuple(dict.fromkeys(only))


def _same(cell: Cell, here: Cell) -> bool:
    """Whether a cell of the history is this one, its first line aside."""
    return [ast.dump(n) for n in cell.body] == [ast.dump(n) for n in here.body]


def _against(
    name: str, before: Sequence[Cell], here: Cell, space: Mapping[str, Any]
) -> tuple[Handwritten, list[Line]]:
    function = space.get(name)
    if not callable(function):
        raise InputError(f"there is no function {name} in this notebook")
    inputs = inputs_from(function, space)
    known = set(value_names(function, inputs))
    kept, notes = backward_lines(lines_of([here]), known, "")
    if not kept:
        raise InputError(_NO_LINE)
    taken = {*_KEPT, *input_names(function, inputs)}
    scope = {n: v for n, v in space.items() if n not in taken}
    made = Handwritten(
        file="this cell",
        source=here.source,
        forward=function,
        inputs=inputs,
        statements=tuple(map(statement_of, kept)),
        scope=scope,
        notes=tuple(notes),
    )
    return made, kept


def _against_history(
    before: Iterable[Cell], here: Cell, space: Mapping[str, Any]
) -> tuple[Handwritten, list[Line]]:
    cells = (*before, here)
    source = Source("this notebook", here.source, cells)
    sliced = slice_source(source, last=True)
    backward = tuple(_present(sliced.backward))
    sliced = replace(sliced, backward=backward)
    given = {n: v for n, v in space.items() if n not in _KEPT and not n.startswith("__")}
    own = [line for line in sliced.backward if line.cell is here]
    return build(source, sliced, given), own
