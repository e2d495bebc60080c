"""A statement and its part of a gradient written out cell by cell, at sizes of two and three.

The tiny case is the executed program itself, run in letters: its forward nodes and its backward
nodes, with small sizes in the place of the symbolic ones. Where the sizes are numbers in the
author's code and too large to be written out, there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, TypeAlias

import numpy as np
import torch

from ..program.invoke import dtype_of
from ..program.ir import Node, Value, cone, values_in
from ..program.loops import Extent
from ..program.ops import get_op
from ..program.sizes import Scalar, Size
from . import cells as c
from .cells import Letter
from .source import Reading
from .spelled import GRADIENT, Cells, Refused, Space, cell

LARGEST = 40  # cells of one tensor
MOST = 120  # cells of all tensors of a statement
OPERANDS = "xwbcamqrst"
# Numbers that are easily told apart; what is added makes every one of them different.
_NUMBERS = (0.5, -1.2, 2.0, 1.5, -0.8, 0.3, -1.7, 0.9, 1.1, -0.4, 2.5, -2.1, 0.7, 1.9, -1.4, 0.2)
Place: TypeAlias = tuple[int, ...]
_KINDS = ("any", "positive", "open", "above", "definite")


@dataclass(frozen=True)
class Tensor:
    """A tensor of a tiny case: what it is called, its letter, its cells and their numbers."""

    name: str
    letter: str
    cells: Cells
    numbers: torch.Tensor
    value: Value


@dataclass(frozen=True)
class Tiny:
    """The tiny case of one reading, whose gradient is called ``name``.

    ``operands`` are what the statement reads, ``outputs`` what it makes (``formulas`` in letters of
    the operands where that can be said), ``upstreams`` the gradients that arrive. ``piece`` is
    `upstream times local` at the stretched shape, ``gradient`` what is left after the sum.
    ``local`` has the local gradient, where each cell has one.
    """

    name: str
    operands: tuple[Tensor, ...]
    integers: tuple[tuple[str, torch.Tensor], ...]
    outputs: tuple[Tensor, ...]
    formulas: tuple[Cells | None, ...]
    upstreams: tuple[Tensor, ...]
    piece: Cells
    local: Cells | None
    gradient: Cells
    numbers: torch.Tensor
    moved: tuple[Move, ...]
    at: Mapping[Letter, float]
    sizes: Mapping[str, int]

    @property
    def target(self) -> Tensor:
        return self.operands[0]


@dataclass(frozen=True)
class Move:
    """A node of the statement that copies elements: which cell each result cell reads.

    ``chosen`` says that the elements' values decide which of them are copied, as in a maximum.
    """

    node: Node
    operand: Value
    result: Value
    shape: tuple[int, ...]
    reads: Mapping[Place, Place]
    result_shape: tuple[int, ...]
    chosen: bool


def tiny_case(reading: Reading) -> Tiny | None:
    """The tiny case of a reading.

    ``None`` if it is too large, if something in it has no elements, or if it runs at no such sizes.
    """
    found, key = reading.source.found, (reading.value.name, id(reading.step))
    if key not in found:
        found[key] = _tiny_case(reading)
    kept: Tiny | None = found[key]
    return kept


def _tiny_case(reading: Reading) -> Tiny | None:
    if reading.target is None or not reading.outputs or reading.empty is not None:
        return None
    integers = any(not v.floating for node in reading.step.nodes for v in node.operands())
    tried: list[dict[str, int]] = []
    for sizes in _small(reading):
        if sizes in tried:
            continue
        tried.append(sizes)
        for rows in (4, 3, 2, 1) if integers else (4,):
            for kind in _KINDS:
                try:
                    found = _Case(reading, sizes, kind, rows).run()
                except Refused:
                    continue  # torch does not take these sizes, indices or numbers
                if found is not None:
                    return found
    return None


def _small(reading: Reading) -> Iterator[dict[str, int]]:
    """Small values of the sizes: two and three in turn, then all the same, then the example's."""
    source = reading.source
    hints = source.forward.hints()
    names = list(dict.fromkeys(_sizes(reading)))
    base = {name: min(hint, 3) for name, hint in hints.items()}
    tries: list[dict[str, int]] = []
    rows = _picked_rows(reading)
    if rows is not None:
        tries.append({**base, **dict.fromkeys(names, 2), rows: 4})
    # where n - 1 takes part, n = 2 would hide it
    order = ((3, 2), (2, 3)) if _counts(reading) else ((2, 3), (3, 2))
    multiplied = set(_multiplied(reading))
    for pair in order:
        turn = cycle(pair)
        tries.append({**base, **{n: 2 if n in multiplied else next(turn) for n in names}})
    tries += [{**base, **dict.fromkeys(names, k)} for k in (2, 3, 4)]
    tries.append(dict(hints))
    for sizes in tries:
        if _fits(reading, sizes) and source.runs_at(sizes):
            yield sizes


PICKS = frozenset({"index", "embedding", "index_select"})


def _picked_rows(reading: Reading) -> str | None:
    """The size of the axis whose rows an index of the data picks, with repeats."""
    node = next((n for n in reading.path if n.op in PICKS), None)
    if node is None or not isinstance(node.args[0], Value) or not node.args[0].shape:
        return None
    if node.op == "index" and len(list(values_in(node.args[1]))) != 1:
        return None
    rows = node.args[0].shape[0]
    symbols = rows.names() if isinstance(rows, Size) else set()
    return next(iter(symbols)) if len(symbols) == 1 else None


def _counts(reading: Reading) -> bool:
    """Whether a number computed from sizes takes part."""
    return any(isinstance(a, Scalar) for node in reading.step.nodes for a in node.args)


def _dims(reading: Reading) -> Iterator[Size]:
    values = [v for node in reading.path for v in (*node.operands(), *node.outs)]
    for value in sorted(values, key=lambda v: v.name != reading.value.name):
        yield from (d for d in value.shape if isinstance(d, Size))


def _multiplied(reading: Reading) -> Iterator[str]:
    """Sizes of which an axis has a product, as after a view."""
    for dim in _dims(reading):
        if len(dim.names()) > 1:
            yield from dim.names()


def _sizes(reading: Reading) -> Iterator[str]:
    for dim in _dims(reading):
        yield from sorted(dim.names())


def _fits(reading: Reading, sizes: Mapping[str, int]) -> bool:
    nodes = (*reading.path, *reading.back)
    values = {v.name: v for node in nodes for v in (*node.operands(), *node.outs)}
    elements = Extent(sizes).elements
    counts = [elements(v) for v in values.values() if v.dtype != "none"]
    ends = sum(map(elements, (reading.value, *reading.outputs)))
    return min(counts, default=1) > 0 and max(counts, default=0) <= LARGEST and ends <= MOST


class _Case:
    def __init__(self, reading: Reading, sizes: Mapping[str, int], kind: str, rows: int) -> None:
        self.reading = reading
        self.source = reading.source
        self.sizes = sizes
        self.kind = kind
        self.rows = rows
        self._shape = Extent(sizes).shape
        self.space = Space(sizes)
        self.serial = 0
        self.integers: list[tuple[str, torch.Tensor]] = []
        self.letters = iter(OPERANDS)

    def run(self) -> Tiny | None:
        reading, space = self.reading, self.space
        back = list(reading.back)
        read = {v.name: v for node in back for v in node.operands()}
        outputs = reading.outputs
        forward = cone(reading.step.nodes, [*outputs, *(read[n] for n in read if n in self.made)])
        operands = self._given(forward, read)
        space.run(forward)
        formulas: list[Cells | None] = []
        named: list[Tensor] = []
        for value, letter in zip(outputs, ("y", "z", "v"), strict=False):
            found = space.values[value.name]
            formulas.append(None if found.opaque else found.cells)
            given = space.give(value.name, found.tensor, letter)
            name = self.source.name(value)
            named.append(Tensor(name, letter, given.cells, given.tensor, value))
        moves = tuple(self._moves(forward))
        upstreams = self._upstreams()
        for name in reading.partial:
            value = read[name]
            zeros = torch.zeros(self._shape(value), dtype=torch.float64)
            space.give(name, zeros, "o")
            space.values[name].cells[...] = c.ZERO
        space.run(back)
        target = reading.target
        assert target is not None
        done = space.values[target.name]
        if not bool(torch.isfinite(done.tensor).all()):
            return None
        if done.opaque:
            return None  # no formula in letters
        if not all(bool(torch.isfinite(t.numbers).all()) for t in named):
            return None
        cells, numbers = self._whole(done.cells, done.tensor)
        piece = self._before_sum(back, target)
        return Tiny(
            self.source.gradient_name(reading.value),
            tuple(operands), tuple(self.integers), tuple(named), tuple(formulas),
            tuple(upstreams), piece, _local(piece), cells, numbers, moves, dict(space.at),
            dict(self.sizes),
        )  # fmt: skip

    @property
    def made(self) -> set[str]:
        return {o.name for node in self.reading.step.nodes for o in node.outs}

    def _whole(self, cells: Cells, numbers: torch.Tensor) -> tuple[Cells, torch.Tensor]:
        """At the shape of the value: an addition may have been left to broadcast."""
        shape = self._shape(self.reading.value)
        return np.broadcast_to(cells, shape), torch.broadcast_to(numbers, shape)

    def _given(self, forward: Sequence[Node], read: Mapping[str, Value]) -> list[Tensor]:
        """Letters and numbers for what is read and not made; the value itself comes first."""
        needed: dict[str, Value] = {self.reading.value.name: self.reading.value}
        made = {o.name for node in forward for o in node.outs}
        for node in forward:
            needed.update((v.name, v) for v in node.operands() if v.name not in made)
        outside = self.source.values
        needed.update((n, v) for n, v in read.items() if n in outside and n not in made)
        operands: list[Tensor] = []
        for value in needed.values():
            if value.dtype == "none":
                continue
            shape = self._shape(value)
            if value.floating:
                letter = next(self.letters, "k")
                given = self.space.give(value.name, self._numbers(shape), letter)
                name = self.source.name(value)
                operands.append(Tensor(name, letter, given.cells, given.tensor, value))
            else:
                tensor = self._whole_numbers(value, shape)
                self.space.give(value.name, tensor, "")
                self.integers.append((self.source.name(value), tensor))
        return operands

    def _numbers(self, shape: tuple[int, ...], any_sign: bool = False) -> torch.Tensor:
        count = int(np.prod(shape)) if shape else 1
        out = []
        for _ in range(count):
            k = self.serial
            self.serial += 1
            turn = k // len(_NUMBERS)
            value = _NUMBERS[k % len(_NUMBERS)] + 0.03 * turn
            if not any_sign and self.kind != "any":
                value = abs(value)
            if not any_sign and self.kind == "open":
                value = value / 3
            if not any_sign and self.kind == "above":
                value = value + 1
            # too small to be seen, and enough to tell equal numbers apart
            out.append(value + (((k + 1) * 0.6180339887) % 1) * 1e-5)
        made = torch.tensor(out, dtype=torch.float64).reshape(shape)
        if not any_sign and self.kind == "definite" and len(shape) > 1 and shape[-1] == shape[-2]:
            made = made + 9 * torch.eye(shape[-1], dtype=torch.float64)
        return made

    def _whole_numbers(self, value: Value, shape: tuple[int, ...]) -> torch.Tensor:
        count = int(np.prod(shape)) if shape else 1
        pattern = (1, 0, 3, 0, 2)
        flat = torch.tensor([pattern[i % 5] % self.rows for i in range(count)])
        return flat.reshape(shape).to(dtype_of(value.dtype))

    def _upstreams(self) -> list[Tensor]:
        found = []
        names = (GRADIENT, *(f"{GRADIENT}{mark}" for mark in ("'", "''", "'''")))
        for value, letter in zip(self.reading.upstreams(), names, strict=False):
            of = self.source.of_gradient.get(value.name)
            whose = None if of is None else self.source.values[of]
            name = value.name if whose is None else self.source.gradient_name(whose)
            numbers = self._numbers(self._shape(value), any_sign=True)
            given = self.space.give(value.name, numbers, letter)
            found.append(Tensor(name, letter, given.cells, given.tensor, value))
        return found

    def _before_sum(self, back: Sequence[Node], target: Value) -> Cells:
        """What a de-broadcast sums, if the last thing done is a sum."""
        producers = {o.name: node for node in back for o in node.outs}
        node = producers.get(target.name)
        while node is not None and node.op in ("identity", "reshape", "to"):
            before = next(node.operands())
            node = producers.get(before.name)
        stretched = any(self._shape(o) != self._shape(self.reading.value) for o in self.ends)
        if node is not None and node.op == "sum" and stretched:
            inner = next(node.operands())
            if not self.space.values[inner.name].opaque:
                return self.space.values[inner.name].cells
        done = self.space.values[target.name].cells
        return np.broadcast_to(done, self._shape(self.reading.value))

    @property
    def ends(self) -> list[Value]:
        """What the nodes that read the value make, where they are elementwise."""
        nodes = {id(use.node): use.node for use in self.reading.uses}
        return [o for node in nodes.values() for o in node.outs[:1]]

    def _moves(self, forward: Sequence[Node]) -> Iterator[Move]:
        """The nodes on the way that copy elements of one operand, and compute nothing.

        An elementwise operator is none of them, even where every element of its result is one of
        its operand's: a relu lets each element through at its own place.
        """
        path = {id(node) for node in self.reading.path}
        for node in forward:
            operands = [v for v in node.operands() if v.floating]
            elementwise = get_op(node.op).kind in ("elementwise", "gradient")
            if id(node) not in path or elementwise or len({v.name for v in operands}) != 1:
                continue
            (operand, *_), result = operands, node.outs[0]
            numbers = self.space.values[operand.name].tensor
            reads = self._copied(node, operand, numbers)
            if reads is None:
                continue
            # with the order of the values turned around, a choice among them is another one
            chosen = get_op(node.op).kind == "reduction" or (
                all(v.floating for v in node.operands())
                and self._copied(node, operand, -numbers) != reads
            )
            shapes = tuple(numbers.shape), self._shape(result)
            yield Move(node, operand, result, shapes[0], reads, shapes[1], chosen)

    def _copied(
        self, node: Node, operand: Value, numbers: torch.Tensor
    ) -> dict[Place, Place] | None:
        """Which cell of an operand each cell of a node's result is, if all of them are copies."""
        space = Space(self.sizes, dict(self.space.values))
        space.give(operand.name, numbers, "x")
        space.run([node])
        found = space.values[node.outs[0].name]
        return None if found.opaque else _reads(found.cells)


def _reads(cells: Cells) -> dict[Place, Place] | None:
    """Which cell each cell is a copy of (zeros of none); ``None`` if one of them is not a copy."""
    out: dict[Place, Place] = {}
    for index in np.ndindex(*cells.shape):
        one = cell(cells, index)
        if not one.terms:
            continue
        (coefficient, factors), *more = one.terms
        if more or coefficient != 1 or len(factors) != 1 or factors[0][1] != 1:
            return None
        atom = factors[0][0]
        if not isinstance(atom, Letter) or atom.name != "x":
            return None
        out[index] = atom.index
    return out


def _local(piece: Cells) -> Cells | None:
    """The local gradient: what is left of each cell when its upstream is one."""
    out = np.empty(piece.shape, dtype=object)
    for index in np.ndindex(*piece.shape):
        one = cell(piece, index)
        upstream = {x for x in one.letters() if x.name.startswith(GRADIENT)}
        if len(upstream) > 1:
            return None
        out[index] = c.put(one, dict.fromkeys(upstream, c.ONE))
    return out


def at(tiny: Tiny, cells: Cells) -> Any:
    """The numbers of cells, at the numbers of the tiny case."""
    out = np.empty(cells.shape, dtype=float)
    for index in np.ndindex(*cells.shape):
        out[index] = c.evaluate(cell(cells, index), tiny.at)
    return out


__all__ = ["PICKS", "Move", "Tensor", "Tiny", "at", "tiny_case"]
