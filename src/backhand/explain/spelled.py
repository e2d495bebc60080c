"""Running a program in letters: every cell of every value as an expression, beside its number.

The numbers are torch's own. Of an operator that is arithmetic the cells are that arithmetic; of one
that moves elements, what was moved; of one that is linear in each operand, sums of products with
the coefficients that it has. Which of these an operator is, is asked of the operator itself, by
running it: there is no list. What is none of them is a function of a cell, or gets letters of its
own. Every expression is evaluated and compared with torch's number before it is believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..program.ir import Node, Value
from ..program.ops import Op, get_op
from ..program.sizes import Scalar, Size, number_value
from . import cells as c
from .cells import Cell, Letter
from .probe import Cells, Probe, Refused, Spelled, fill, run, tensors_in

CLOSE = 1e-7

Spelling = Callable[..., Cell]


@dataclass
class Space:
    """Values by name while a program runs; ``at`` has the number of every letter."""

    sizes: Mapping[str, int]
    values: dict[str, Spelled] = field(default_factory=dict)
    at: dict[Letter, float] = field(default_factory=dict)
    spare: Iterator[str] = field(default_factory=lambda: iter("vuqrstpz"))
    seed: int = 0

    def give(self, name: str, tensor: torch.Tensor, letter: str, opaque: bool = False) -> Spelled:
        """A value whose cells are letters (of numbers that are no floats: those numbers)."""
        if tensor.is_floating_point():
            cells = lettered(letter, tuple(tensor.shape))
            flat = tensor.reshape(-1).tolist()
            for one, value in zip(cells.ravel(), flat, strict=True):
                self.at[next(one.letters())] = value
        else:
            cells = constants(tensor)
        self.values[name] = Spelled(tensor, cells, opaque)
        return self.values[name]

    def run(self, nodes: Iterable[Node]) -> None:
        """Run nodes; the values that they read and nobody makes must have been given."""
        for node in nodes:
            op = get_op(node.op)
            args = tuple(self._bound(a) for a in node.args)
            tensors = tuple(tensors_in(args))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                result = run(op, tuple(fill(a) for a in args))
            results = tuple(result) if isinstance(result, (tuple, list)) else (result,)
            found = self._cells(op, args, tensors, results) if not op.random else None
            for i, (value, tensor) in enumerate(zip(node.outs, results, strict=True)):
                if value.dtype == "none":
                    continue
                cells = None if found is None else found[i]
                if not tensor.is_floating_point():
                    self.values[value.name] = Spelled(tensor, constants(tensor))
                elif cells is not None and self._true(cells, tensor):
                    self.values[value.name] = Spelled(tensor, cells)
                else:
                    self.give(value.name, tensor, next(self.spare, "k"), opaque=True)

    def _true(self, cells: Cells, tensor: torch.Tensor) -> bool:
        for one, value in zip(cells.ravel(), tensor.reshape(-1).tolist(), strict=True):
            try:
                ours = c.evaluate(one, self.at)
            except (ArithmeticError, ValueError, Refused):  # as of the logarithm of -1
                return False
            if isinstance(ours, complex) or not math.isclose(
                ours, value, rel_tol=CLOSE, abs_tol=CLOSE
            ):
                return False
        return True

    def _bound(self, arg: Any) -> Any:
        if isinstance(arg, Value):
            return None if arg.dtype == "none" else self.values[arg.name]
        if isinstance(arg, tuple):
            return tuple(map(self._bound, arg))
        if isinstance(arg, (Size, Scalar)):
            return number_value(arg, self.sizes)
        if isinstance(arg, str) and arg.startswith(("float", "bfloat")):
            return "float64"
        return arg

    def _cells(
        self,
        op: Op,
        args: tuple[Any, ...],
        tensors: tuple[Spelled, ...],
        results: tuple[Any, ...],
    ) -> list[Cells | None]:
        floats = [t for t in tensors if t.tensor.is_floating_point()]
        out: list[Cells | None] = []
        for i, result in enumerate(results):
            if not isinstance(result, torch.Tensor) or not result.is_floating_point():
                out.append(None)
            elif not floats:
                out.append(constants(result))
            else:
                out.append(self._of_output(op, args, floats, result, i))
        return out

    def _of_output(
        self, op: Op, args: tuple[Any, ...], floats: list[Spelled], result: torch.Tensor, which: int
    ) -> Cells | None:
        spelling = ELEMENTWISE.get(op.name)
        if spelling is not None:
            return _elementwise(spelling, args, tuple(result.shape))
        known = [s.cells.ravel() for s in floats]
        if op.kind == "elementwise" and _pointwise(args, tuple(result.shape)):
            found = _chosen(args, result)
            return _function(op, args, result) if found is None else found
        found = _moved(floats, result)
        if found is not None:
            return found
        probe = Probe(op, args, which, result.shape)
        found = probe.multilinear()
        if found is not None:
            return found
        carrying = [i for i, cells in enumerate(known) if any(map(_carries, cells))]
        return probe.linear(carrying) if carrying else None


GRADIENT = "g"


def _carries(cell: Cell) -> bool:
    """Whether an upstream gradient is in it."""
    return any(letter.name.startswith(GRADIENT) for letter in cell.letters())


def cell(cells: Cells, index: tuple[int, ...]) -> Cell:
    """One cell."""
    found: Cell = cells[index]
    return found


def lettered(letter: str, shape: tuple[int, ...]) -> Cells:
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        out[index] = c.letter(letter, *index)
    return out


def constants(tensor: torch.Tensor) -> Cells:
    out = np.empty(tuple(tensor.shape), dtype=object)
    flat = [c.number(float(v)) for v in tensor.reshape(-1).tolist()]
    for index, one in zip(np.ndindex(*out.shape), flat, strict=True):
        out[index] = one
    return out


def _spread(arg: Any, shape: tuple[int, ...]) -> Cells | None:
    if isinstance(arg, Spelled):
        return np.broadcast_to(arg.cells, shape)
    if isinstance(arg, (int, float)) and not isinstance(arg, bool):
        return np.broadcast_to(_single(c.number(float(arg))), shape)
    return None


def _single(cell: Cell) -> Cells:
    out = np.empty((), dtype=object)
    out[()] = cell
    return out


def _elementwise(spelling: Spelling, args: Sequence[Any], shape: tuple[int, ...]) -> Cells | None:
    spread = [s for s in (_spread(a, shape) for a in args) if s is not None]
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        try:
            out[index] = spelling(*(s[index] for s in spread))
        except ArithmeticError:  # a number that is too large, or has no such power
            return None
    return out


def _pointwise(args: Sequence[Any], shape: tuple[int, ...]) -> bool:
    shapes = [tuple(s.tensor.shape) for s in tensors_in(tuple(args))]
    try:
        return tuple(np.broadcast_shapes(*shapes)) == shape
    except ValueError:
        return False


def _chosen(args: Sequence[Any], result: torch.Tensor) -> Cells | None:
    """Each element is one of the operands' at its place, or zero: a choice."""
    shape = tuple(result.shape)
    options: list[tuple[torch.Tensor, Cells]] = []
    for arg in args:
        cells = _spread(arg, shape)
        if cells is None:
            continue
        if isinstance(arg, Spelled):
            if not arg.tensor.is_floating_point():
                continue
            numbers = torch.broadcast_to(arg.tensor, shape)
        else:
            numbers = torch.full(shape, float(arg), dtype=torch.float64)
        options.append((numbers, cells))
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        value = result[index].item()
        found: list[Cell] = [
            cell(cells, index) for numbers, cells in options if numbers[index].item() == value
        ]
        if value == 0:
            found.append(c.ZERO)
        if not found:
            return None
        out[index] = found[0]
    return out


def _moved(floats: Sequence[Spelled], result: torch.Tensor) -> Cells | None:
    """Each element is an element of an operand, or zero: it was moved there."""
    where: dict[float, Cell] = {0.0: c.ZERO}
    for operand in floats:
        numbers = operand.tensor.reshape(-1).tolist()
        for value, one in zip(numbers, operand.cells.ravel(), strict=True):
            where.setdefault(value, one)
    out = np.empty(tuple(result.shape), dtype=object)
    for index, value in zip(np.ndindex(*out.shape), result.reshape(-1).tolist(), strict=True):
        if value not in where:
            return None
        out[index] = where[value]
    return out


def _function(op: Op, args: Sequence[Any], result: torch.Tensor) -> Cells | None:
    """A function of the cells at each place, by the operator's name."""
    name = NAMES.get(op.name, rf"\operatorname{{{op.name.strip('_').replace('_', ' ')}}}")

    def compute(*numbers: float) -> float:
        scalars = iter(torch.tensor(n, dtype=torch.float64) for n in numbers)

        def single(arg: Any) -> Any:
            if isinstance(arg, Spelled):
                return next(scalars).to(arg.tensor.dtype)
            return tuple(map(single, arg)) if isinstance(arg, tuple) else arg

        found = run(op, tuple(map(single, args)))
        if not isinstance(found, torch.Tensor) or found.dim():
            raise Refused(op.name)
        return float(found)

    shape = tuple(result.shape)
    spread = [np.broadcast_to(s.cells, shape) for s in tensors_in(tuple(args))]
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        out[index] = c.call(name, compute, *(cell(s, index) for s in spread))
    return out


def _quotient(a: Cell, b: Cell) -> Cell:
    return c.product(a, c.power(b, -1))


def _power(a: Cell, b: Cell) -> Cell:
    known = b.constant
    if known is not None:
        return c.power(a, known)
    base = a.constant
    if base is not None and base > 0:
        return c.call("e", math.exp, c.product(b, c.call(r"\ln", math.log, a)))
    return c.call(r"\operatorname{pow}", math.pow, a, b)


def _of(name: str, compute: Callable[[float], float]) -> Spelling:
    return lambda x: c.call(name, compute, x)


def _sigmoid(x: float) -> float:
    return float(torch.sigmoid(torch.tensor(x, dtype=torch.float64)))


# Operators that are arithmetic, by what they do to the cells at one place.
ELEMENTWISE: dict[str, Spelling] = {
    **dict.fromkeys(("identity", "clone", "contiguous", "stop_gradient"), lambda x: x),
    "to": lambda x: x,
    "stored": lambda x: x,
    "add": c.total,
    "sub": lambda x, y: c.total(x, c.scaled(y, -1)),
    "mul": c.product,
    "div": _quotient,
    "neg": lambda x: c.scaled(x, -1),
    "pow": _power,
    "square": lambda x: c.power(x, 2),
    "sqrt": lambda x: c.power(x, 0.5),
    "rsqrt": lambda x: c.power(x, -0.5),
    "reciprocal": lambda x: c.power(x, -1),
    "exp": _of("e", math.exp),
    "log": _of(r"\ln", math.log),
    "tanh": _of(r"\tanh", math.tanh),
    "sin": _of(r"\sin", math.sin),
    "cos": _of(r"\cos", math.cos),
    "sigmoid": _of(r"\sigma", _sigmoid),
}
# What functions are called in formulas, where torch's name is not the usual one.
NAMES = {
    "asin": r"\operatorname{arcsin}", "acos": r"\operatorname{arccos}",
    "atan": r"\operatorname{arctan}", "lgamma": r"\ln\Gamma", "digamma": r"\psi",
    "sinh": r"\sinh", "cosh": r"\cosh", "tan": r"\tan", "abs": r"\operatorname{abs}",
}  # fmt: skip

__all__ = ["GRADIENT", "Cells", "Refused", "Space", "Spelled", "cell", "constants", "lettered"]
