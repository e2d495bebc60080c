"""Factors of a product that is being spelled."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..algebra.expr import Power
from ..program.build import Var, op


@dataclass(frozen=True)
class Part:
    """One factor of a product: the variable, its power, how much of the frame it spans, its rank
    among the blocks."""

    var: Var
    power: Power
    span: int
    order: int


def whole(var: Var) -> Part:
    """A sum as the last factor of a product."""
    return Part(var, Fraction(1), 1 << 20, 1 << 30)


def raised_to(var: Var, q: Power) -> Var:
    if q == 1:
        return var
    if q.denominator == 1:
        return op.pow(var, int(q))
    if q == Fraction(1, 2):
        return op.sqrt(var)
    if q == Fraction(-1, 2):
        return op.rsqrt(var)
    return op.pow(var, float(q))


def rank(part: Part) -> tuple[int, int]:
    return part.span, part.order
