"""The tiny case as blocks: little matrices of letters, and of numbers on request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..program.ops import get_op
from .blocks import Block, Equation, Formula, Matrix, Role, Section, Span, code, math, para, spans
from .cells import number_tex, tex
from .notation import texname
from .source import Reading
from .spelled import Cells, cell
from .tiny import Tiny, at

WIDEST = 8  # columns of a little matrix
DECIMALS = 3


def written_out(reading: Reading, tiny: Tiny | None, numbers: bool) -> list[Block]:
    """The section with the tiny case; a sentence where there is none."""
    if tiny is None:
        why = spans("the sizes in this code are numbers, too large for little matrices.")
        if reading.empty is not None:
            why = spans(code(reading.source.name(reading.empty)), " has no elements.")
        return [para("A tiny case is not written out: ", *why)]
    blocks: list[Block] = [_letters(tiny), *_integers(tiny)]
    blocks += _forward(tiny)
    blocks += _broadcast(reading, tiny)
    blocks += _backward(reading, tiny)
    if numbers:
        blocks += _numbers(tiny)
    shape = " × ".join(map(str, tiny.target.cells.shape))
    which = f" of {shape}" if shape else ", a single number"
    title = spans("Written out, for ", code(tiny.target.name), which)
    return [Section(title, tuple(blocks))]


def _letters(tiny: Tiny) -> Block:
    parts: list[str | Span] = []
    for tensor in (*tiny.operands, *tiny.outputs, *tiny.upstreams):
        parts += [", " if parts else "With ", math(tensor.letter), " for ", code(tensor.name)]
    found = (", ", math(f"d{tiny.target.letter}"), " for ", code(tiny.name))
    return para(*parts, *found, ":")


def _integers(tiny: Tiny) -> list[Block]:
    parts: list[Matrix | str] = []
    for name, tensor in tiny.integers:
        grid = tensor.reshape(-1, tensor.shape[-1]) if tensor.dim() else tensor.reshape(1, 1)
        rows = tuple(tuple(str(int(v)) for v in row) for row in grid.tolist())
        parts += [f"{texname(name)} =", Matrix(rows)]
    return [Equation(tuple(parts))] if parts else []


def _forward(tiny: Tiny) -> list[Block]:
    out: list[Block] = []
    for tensor, formula in zip(tiny.outputs, tiny.formulas, strict=True):
        if formula is not None:
            out += shown(f"{tensor.letter} =", formula, "value", tensor.letter)
    return out


def _broadcast(reading: Reading, tiny: Tiny) -> list[Block]:
    x = tiny.target
    nodes = {id(use.node): use.node for use in reading.uses}
    elementwise = [n for n in nodes.values() if get_op(n.op).kind == "elementwise"]
    if not elementwise or tiny.piece.shape == x.cells.shape or x.cells.size > 12:
        return []
    try:
        spread = np.broadcast_to(x.cells, tiny.piece.shape)
    except ValueError:
        return []
    if max(matrix_shape(spread)) > WIDEST:
        return []
    return [
        para(code(x.name), " is stretched before it takes part:"),
        Equation((matrix(x.cells), r"\to", matrix(spread))),
    ]


def _backward(reading: Reading, tiny: Tiny) -> list[Block]:
    out: list[Block] = []
    moved = {id(move.node) for move in tiny.moved if not move.chosen}
    # of a copy the local gradient is 1 everywhere, which says nothing
    local = None if moved.issuperset(map(id, reading.path)) else tiny.local
    x, d = tiny.target.letter, rf"d{tiny.target.letter}"
    stretched = tiny.piece.shape != tiny.gradient.shape
    if local is not None:
        head = rf"\frac{{\partial y}}{{\partial {x}}} ="
        out.append(para("The local gradient, cell by cell:"))
        out += shown(head, local, "value", r"\partial")
    if stretched:
        out.append(para("Times the upstream:"))
        out += shown("", tiny.piece, "gradient", d)
        out.append(para("Summed over what was stretched:"))
    elif local is not None:
        out.append(para("Times the upstream:"))
    else:
        out.append(para("What comes back to each cell:"))
    out += shown(f"{d} =", tiny.gradient, "gradient", d)
    return out


def _numbers(tiny: Tiny) -> list[Block]:
    found = torch.tensor(at(tiny, tiny.gradient))
    operands = [(tensor.letter, tensor.numbers) for tensor in tiny.operands]
    outputs = [(tensor.letter, tensor.numbers) for tensor in tiny.outputs]
    upstreams = [(tensor.letter, tensor.numbers) for tensor in tiny.upstreams]
    lines = (
        _numbered(operands, "value"),
        _numbered(outputs, "value"),
        _numbered(upstreams, "gradient"),
        _numbered([(f"d{tiny.target.letter}", found)], "gradient"),
    )
    return [Section(spans("With numbers"), tuple(line for line in lines if line.parts))]


def _numbered(tensors: Sequence[tuple[str, torch.Tensor]], role: Role) -> Equation:
    parts: list[Matrix | str] = []
    for letter, numbers in tensors:
        rounded = [number_tex(round(v, DECIMALS) + 0.0) for v in numbers.reshape(-1).tolist()]
        if not numbers.dim():
            parts += [f"{letter} = {rounded[0]}"]
            continue
        columns = numbers.shape[-1]
        rows = (rounded[k : k + columns] for k in range(0, len(rounded), columns))
        parts += [f"{letter} =", Matrix(tuple(map(tuple, rows)), role)]
    return Equation(tuple(parts))


def matrix_shape(cells: Cells) -> tuple[int, int]:
    if cells.ndim == 0:
        return 1, 1
    last = cells.shape[-1]
    return cells.size // last, last


def matrix(cells: Cells, role: Role = "value") -> Matrix:
    """Cells as a little matrix; the axes before the last one run down the rows."""
    grid = cells.reshape(matrix_shape(cells))
    rows = tuple(tuple(tex(c) for c in row) for row in grid.tolist())
    return Matrix(rows, role)


def shown(head: str, cells: Cells, role: Role, letter: str) -> list[Block]:
    """A matrix with what it is in front of it; cell by cell where it would be too wide."""
    if cells.ndim == 0:
        return [Formula(f"{head} {tex(cell(cells, ()))}".strip())]
    rows, columns = matrix_shape(cells)
    if columns <= WIDEST and rows <= 2 * WIDEST:
        found = matrix(cells, role)
        out: list[Block] = [Equation((head, found) if head else (found,))]
        if cells.ndim > 2:
            out.append(para("(One row after the other; the last axis runs along the rows.)"))
        return out
    every = [(i, cell(cells, i)) for i in np.ndindex(*cells.shape)][:WIDEST]
    name = letter if letter.isalpha() else "c"
    out = [Formula(f"{_letter(name, i)} = {tex(c)}") for i, c in every]
    if cells.size > len(every):
        out.append(para(f"and so on, for {cells.size} cells."))
    return out


def _letter(name: str, index: Sequence[int]) -> str:
    return f"{name}_{{{','.join(str(i + 1) for i in index)}}}"


__all__ = ["matrix", "shown", "written_out"]
