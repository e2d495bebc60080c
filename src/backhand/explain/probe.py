"""An operator asked what it is, by running it: torch refuses, or coefficients are found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, TypeAlias

import numpy as np
import torch

from ..program.invoke import invoke
from ..program.ops import Op
from . import cells as c
from .cells import Cell

# What torch raises at sizes, indices or numbers that an operator does not take.
REFUSALS = (RuntimeError, IndexError, TypeError, ValueError)
MOST_PROBES = 700

Cells: TypeAlias = "np.ndarray[Any, Any]"
# One of some operands' elements each: (operand, element).
Units: TypeAlias = tuple[tuple[int, int], ...]


class Refused(Exception):
    """Torch does not run an operator on these arguments, or it gives something of another kind."""


def run(op: Op, args: tuple[Any, ...]) -> Any:
    """What torch gives for an operator of the table; ``Refused`` where it takes no such arguments.

    The one place where an error is an answer: everything around it is ours, and has to be right.
    """
    try:
        with torch.no_grad():
            return invoke(op, args)
    except REFUSALS as error:
        raise Refused(op.name) from error


@dataclass(frozen=True)
class Spelled:
    """A tensor and its cells. ``opaque``: the cells are letters that no formula explains."""

    tensor: torch.Tensor
    cells: Cells
    opaque: bool = False


def tensors_in(arg: Any) -> Iterator[Spelled]:
    if isinstance(arg, Spelled):
        yield arg
    elif isinstance(arg, tuple):
        for item in arg:
            yield from tensors_in(item)


def fill(arg: Any, instead: Mapping[int, torch.Tensor] | None = None) -> Any:
    """The argument as torch takes it, some tensors replaced (by the identity of theirs)."""
    if isinstance(arg, Spelled):
        return (instead or {}).get(id(arg), arg.tensor)
    if isinstance(arg, tuple):
        return tuple(fill(a, instead) for a in arg)
    return arg


class Probe:
    """An operator run on unit vectors, to find the coefficients that it has."""

    def __init__(self, op: Op, args: tuple[Any, ...], which: int, shape: torch.Size) -> None:
        self.op = op
        self.args = args
        self.which = which
        self.shape = shape
        seen: dict[int, Spelled] = {}
        for s in tensors_in(args):
            if s.tensor.is_floating_point():
                seen.setdefault(id(s), s)
        self.operands = list(seen.values())
        self.known: dict[Units, torch.Tensor] = {}

    def _run(self, instead: Mapping[int, torch.Tensor]) -> torch.Tensor:
        result = run(self.op, tuple(fill(a, instead) for a in self.args))
        found = result[self.which] if isinstance(result, (tuple, list)) else result
        if found.shape != self.shape:  # the numbers decide how much there is
            raise Refused(self.op.name)
        return torch.as_tensor(found, dtype=torch.float64)

    def _at(self, units: Units) -> torch.Tensor:
        """The operands zero but for a one at these (operand, element) places."""
        found = self.known.get(units)
        if found is None:
            instead = {id(s): _zeros(s) for s in self.operands}
            for k, element in units:
                instead[id(self.operands[k])].view(-1)[element] = 1
            found = self.known[units] = self._run(instead)
        return found

    def multilinear(self) -> Cells | None:
        """The output as sums of products, if it is linear in each operand by itself."""
        sizes = [s.tensor.numel() for s in self.operands]
        subsets = [u for k in range(len(sizes) + 1) for u in combinations(range(len(sizes)), k)]
        if sum(math.prod(sizes[k] for k in u) for u in subsets) > MOST_PROBES:
            return None
        try:
            if not self._straight():
                return None
            coefficients = self._coefficients(subsets, sizes)
            if coefficients is None or not self._fits(coefficients):
                return None
        except Refused:
            return None
        return self._cells(coefficients)

    def _straight(self) -> bool:
        """Whether the output moves in a straight line with each operand: a few runs say no."""
        rng = torch.Generator().manual_seed(0)
        for s in self.operands:
            step = torch.randn(tuple(s.tensor.shape), generator=rng, dtype=torch.float64)
            left, middle, right = (self._run({id(s): s.tensor + 2 * t * step}) for t in (-1, 0, 1))
            if not torch.allclose(left + right, 2 * middle, rtol=1e-9, atol=1e-9):
                return False
        return True

    def _coefficients(
        self, subsets: Sequence[tuple[int, ...]], sizes: Sequence[int]
    ) -> dict[Units, torch.Tensor] | None:
        out: dict[Units, torch.Tensor] = {}
        for subset in subsets:
            for elements in product(*(range(sizes[k]) for k in subset)):
                units = tuple(zip(subset, elements, strict=True))
                found = torch.zeros((), dtype=torch.float64)
                for k in range(len(units) + 1):
                    for some in combinations(units, k):
                        found = found + (-1) ** (len(units) - k) * self._at(some)
                if not bool(torch.isfinite(found).all()):
                    return None
                found = torch.round(found, decimals=12)
                if bool((found != 0).any()):
                    out[units] = found
        return out

    def _fits(self, coefficients: Mapping[Units, torch.Tensor]) -> bool:
        """Whether the operator gives the same at points that it was not asked about."""
        rng = torch.Generator().manual_seed(len(coefficients))
        for spread in (1.0, 3.0):
            point = [
                spread * torch.randn(s.tensor.shape, generator=rng, dtype=torch.float64)
                for s in self.operands
            ]
            theirs = self._run({id(s): p for s, p in zip(self.operands, point, strict=True)})
            ours = torch.zeros_like(theirs)
            for units, coefficient in coefficients.items():
                factor = math.prod(point[k].reshape(-1)[e].item() for k, e in units)
                ours = ours + coefficient * factor
            if not torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9):
                return False
        return True

    def _cells(
        self, coefficients: Mapping[Units, torch.Tensor]
    ) -> Cells:
        flat = [s.cells.ravel() for s in self.operands]
        terms: list[list[Cell]] = [[] for _ in range(math.prod(self.shape))]
        for units, coefficient in coefficients.items():
            factor = c.product(*(flat[k][e] for k, e in units)) if units else c.ONE
            for place, value in enumerate(coefficient.reshape(-1).tolist()):
                if value:
                    terms[place].append(c.scaled(factor, value))
        out = np.empty(tuple(self.shape), dtype=object)
        for index, found in zip(np.ndindex(*self.shape), terms, strict=True):
            out[index] = c.total(*found)
        return out

    def linear(self, carrying: Sequence[int]) -> Cells | None:
        """Linear in these operands where the others have the values that they have."""
        try:
            operands = [self.operands[k] for k in carrying if k < len(self.operands)]
            zeros = {id(s): _zeros(s) for s in operands}
            if bool((self._run(zeros).abs() > 1e-12).any()):
                return None
            coefficients: dict[Units, torch.Tensor] = {}
            for k, s in zip(carrying, operands, strict=True):
                for element in range(s.tensor.numel()):
                    one = _zeros(s)
                    one.view(-1)[element] = 1
                    coefficients[((k, element),)] = self._run({**zeros, id(s): one})
        except Refused:
            return None
        return self._cells(coefficients)


def _zeros(s: Spelled) -> torch.Tensor:
    """Zeros of its shape whose elements lie in order: a flat view reaches them."""
    return torch.zeros(tuple(s.tensor.shape), dtype=s.tensor.dtype)


__all__ = ["Cells", "Probe", "Refused", "Spelled", "fill", "run", "tensors_in"]
