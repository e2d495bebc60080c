"""Coefficients: exact numbers and rational functions of sizes, kept in one form.

A float of the program is taken at its decimal value, so that ``0.044715`` is that number and not
the nearest binary fraction.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

import sympy

from ..errors import ProgramError
from ..program.sizes import Scalar, Size

# sympy ships no annotations: to a type checker its expressions are anything.
Coefficient: TypeAlias = Any
ONE: Coefficient = sympy.Integer(1)
ZERO: Coefficient = sympy.Integer(0)


@lru_cache(maxsize=1 << 14)
def number(value: Any) -> Coefficient:
    """A number of the program as a coefficient; ``ProgramError`` for infinities and NaN."""
    if isinstance(value, bool):
        return sympy.Integer(int(value))
    if isinstance(value, int):
        return sympy.Integer(value)
    if isinstance(value, float):
        try:
            return sympy.Rational(Fraction(repr(value)))
        except ValueError:
            raise ProgramError(f"{value} is no coefficient") from None
    if isinstance(value, Size):
        return value.expr
    if isinstance(value, Scalar):
        return _scalar(value)
    if isinstance(value, sympy.Expr):
        return value
    raise ProgramError(f"{value!r} is no coefficient")


def _scalar(value: Scalar) -> Coefficient:
    args = [number(a) for a in value.args]
    if value.op == "neg":
        return times(sympy.Integer(-1), args[0])
    if value.op == "float":
        return args[0]
    if value.op == "sqrt":
        return sympy.sqrt(args[0])
    if value.op == "add":
        return plus(args[0], args[1])
    if value.op == "sub":
        return plus(args[0], times(sympy.Integer(-1), args[1]))
    if value.op == "mul":
        return times(args[0], args[1])
    if value.op == "div":
        return times(args[0], args[1] ** -1)
    return args[0] ** args[1]


@lru_cache(maxsize=1 << 16)
def plus(a: Coefficient, b: Coefficient) -> Coefficient:
    return tidy(a + b)


@lru_cache(maxsize=1 << 16)
def times(a: Coefficient, b: Coefficient) -> Coefficient:
    return tidy(a * b)


@lru_cache(maxsize=1 << 14)
def power(a: Coefficient, q: Fraction) -> Coefficient:
    return tidy(a ** sympy.Rational(q))


@lru_cache(maxsize=1 << 14)
def tidy(a: Coefficient) -> Coefficient:
    """One form for equal rational functions; a zero is recognised as zero.

    ``ProgramError`` for what is no number: a mean of nothing divides by zero.
    """
    if a.is_finite is False or a is sympy.nan:
        raise ProgramError(f"{a} is no coefficient")
    return a if a.is_Rational or a.is_Symbol else sympy.factor(sympy.cancel(a))


def negative(a: Coefficient) -> bool:
    """Whether the coefficient is written with a minus sign in front."""
    return bool(a.could_extract_minus_sign())


@lru_cache(maxsize=1 << 16)
def key(a: Coefficient) -> str:
    return str(a)
