"""Coefficients as numbers of the program, the way people write them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import sympy

from ..algebra import coefficients as co
from ..program.sizes import Scalar, Size

LARGEST_DENOMINATOR = 1000  # of a fraction that people would write as one


class NotWorthwhile(Exception):
    """The expression has no good spelling on whole tensors; the longhand stays."""


def split(c: co.Coefficient) -> tuple[list[Any], list[Any], list[Any]]:
    """A coefficient as a sign and a number, sizes above, and numbers and sizes below the line."""
    top, bottom = sympy.fraction(sympy.together(c))
    number, top = top.as_coeff_Mul()
    below, bottom = bottom.as_coeff_Mul()
    if not (number.is_Rational and below.is_Rational):  # 1/n where there are no elements
        raise NotWorthwhile(f"the coefficient {c}")
    value = sympy.Rational(number) / sympy.Rational(below)
    lead: list[Any] = []
    under: list[Any] = []
    if value.q != 1 and abs(value.p) == 1:
        lead, under = ([-1] if value.p < 0 else []), [int(value.q)]
    elif value.q != 1 and not _decimal(value) and value.q < LARGEST_DENOMINATOR:
        lead, under = [int(value.p)], [int(value.q)]
    elif value != 1:
        lead = [numeric(value)]
    above = [] if top == 1 else [size_number(top)]
    if bottom != 1:
        product = under[0] * bottom if under else bottom
        under = [size_number(product)]
    return lead, above, under


def _decimal(value: sympy.Rational) -> bool:
    """Whether the float that is printed is the number itself."""
    return Fraction(repr(float(value))) == Fraction(int(value.p), int(value.q))


def as_number(c: co.Coefficient) -> Any:
    """A coefficient as a number of the program: ``1``, ``1e-5``, ``0.1/k``."""
    lead, above, below = split(c)
    out: Any = None
    for number in (*lead, *above):
        out = number if out is None else Scalar("mul", (out, number))
    for number in below:
        out = Scalar("div", (1 if out is None else out, number))
    return 1 if out is None else out


def size_number(expr: sympy.Expr) -> Any:
    """A product of sizes as a number of the program."""
    if expr.is_integer:
        return Size.of(expr)
    if expr.is_Pow and expr.exp == sympy.Rational(1, 2):
        return Scalar("sqrt", (Size.of(expr.base),))
    if expr.is_Pow and expr.exp.is_Rational:
        return Scalar("pow", (Size.of(expr.base), float(expr.exp)))
    if expr.is_Mul:
        first, *rest = expr.args
        return Scalar("mul", (size_number(first), size_number(sympy.Mul(*rest))))
    raise NotWorthwhile(f"the coefficient {expr}")


def numeric(c: co.Coefficient) -> Any:
    """A number as the program has it."""
    if c.is_Integer:
        return int(c)
    if c.is_Rational:
        return float(c)
    if c.is_integer:
        return Size.of(c)
    raise NotWorthwhile(f"the number {c}")
