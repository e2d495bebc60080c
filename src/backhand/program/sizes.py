"""Sizes and scalars: exact integer expressions over named sizes, and float arithmetic on them.

A dimension is an ``int`` or a ``Size``. A ``Size`` wraps a sympy expression over positive integer
symbols, so that two ways of computing the same size compare equal. A ``Scalar`` is a float computed
from sizes (``1/n``); it is kept as the tree the author wrote, because float arithmetic must not be
reordered.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import sympy


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbolic size: its name, an input that tells its value, and the example's value.

    ``axis`` is the axis of ``input`` to read; ``None`` when the input itself is the integer.
    ``named`` says that the author's code or annotation gave the name.
    """

    name: str
    input: str
    axis: int | None
    hint: int
    named: bool

    @property
    def accessor(self) -> str:
        return self.input if self.axis is None else f"{self.input}.shape[{self.axis}]"


def symbol(name: str) -> sympy.Symbol:
    """The sympy symbol that stands for the size ``name``."""
    return sympy.Symbol(name, integer=True, positive=True)


@lru_cache(maxsize=1 << 12)
def _names(expr: sympy.Expr) -> tuple[str, ...]:
    return tuple(sorted(s.name for s in expr.free_symbols))


@lru_cache(maxsize=1 << 14)
def _evaluated(expr: sympy.Expr, names: tuple[str, ...], values: tuple[int, ...]) -> int:
    known = dict(zip(names, values, strict=True))
    return int(expr.subs({s: known[s.name] for s in expr.free_symbols}))


@dataclass(frozen=True, slots=True)
class Size:
    """A symbolic dimension; arithmetic gives back an ``int`` as soon as the value is known."""

    expr: sympy.Expr

    @staticmethod
    def of(expr: Any) -> Dim:
        expr = sympy.sympify(expr)
        return int(expr) if expr.is_Integer else Size(expr)

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        names = _names(self.expr)
        return _evaluated(self.expr, names, tuple(int(sizes[name]) for name in names))

    def names(self) -> set[str]:
        return {s.name for s in self.expr.free_symbols}

    def text(self, names: Mapping[str, str] | None = None) -> str:
        return size_text(self.expr, names or {})[0]

    def _with(self, other: Any, fn: Callable[[Any, Any], Any], swap: bool = False) -> Dim:
        rhs = other.expr if isinstance(other, Size) else sympy.Integer(other)
        return Size.of(fn(rhs, self.expr) if swap else fn(self.expr, rhs))

    def __add__(self, other: Any) -> Dim:
        return self._with(other, operator.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Dim:
        return self._with(other, operator.sub)

    def __rsub__(self, other: Any) -> Dim:
        return self._with(other, operator.sub, swap=True)

    def __mul__(self, other: Any) -> Dim:
        return self._with(other, operator.mul)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Dim:
        return self._with(other, lambda a, b: sympy.floor(a / b))

    def __str__(self) -> str:
        return self.text()


Dim: TypeAlias = int | Size

# Binding strengths of Python's operators, as used by every printer of this package.
ATOM, POWER, UNARY, PRODUCT, SUM = 100, 90, 80, 70, 60


def wrap(piece: tuple[str, int], at_least: int) -> str:
    """Parenthesise a printed piece if it binds more loosely than its place needs."""
    text, strength = piece
    return text if strength >= at_least else f"({text})"


def size_text(expr: sympy.Expr, names: Mapping[str, str]) -> tuple[str, int]:
    """Python source of a size expression, with its binding strength."""
    if expr.is_Integer:
        value = int(expr)
        return str(value), ATOM if value >= 0 else UNARY
    if expr.is_Symbol:
        text = names.get(expr.name, expr.name)
        return text, ATOM
    if expr.is_Add:
        terms = sorted(expr.args, key=lambda t: (t.is_number, bool(t.could_extract_minus_sign())))
        out = wrap(size_text(terms[0], names), SUM)
        for term in terms[1:]:
            if term.could_extract_minus_sign():
                out += f" - {wrap(size_text(-term, names), PRODUCT)}"
            else:
                out += f" + {wrap(size_text(term, names), PRODUCT)}"
        return out, SUM
    if expr.is_Mul:
        numerator, denominator = expr.as_numer_denom()
        if denominator != 1:
            top, bottom = size_text(numerator, names), size_text(denominator, names)
            return f"{wrap(top, PRODUCT)}//{wrap(bottom, POWER)}", PRODUCT
        if expr.could_extract_minus_sign():
            return f"-{wrap(size_text(-expr, names), PRODUCT)}", UNARY
        return "*".join(wrap(size_text(a, names), UNARY) for a in expr.args), PRODUCT
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        base = wrap(size_text(expr.base, names), ATOM)
        return f"{base}**{expr.exp}", POWER
    kind = type(expr).__name__
    if kind == "floor":
        top, bottom = (size_text(part, names) for part in expr.args[0].as_numer_denom())
        return f"{wrap(top, PRODUCT)}//{wrap(bottom, POWER)}", PRODUCT
    if kind in ("FloorDiv", "CleanDiv"):
        top, bottom = (size_text(part, names) for part in expr.args)
        return f"{wrap(top, PRODUCT)}//{wrap(bottom, POWER)}", PRODUCT
    if kind in ("FloatTrueDiv", "IntTrueDiv"):
        top, bottom = (size_text(part, names) for part in expr.args)
        return f"{wrap(top, PRODUCT)}/{wrap(bottom, POWER)}", PRODUCT
    if kind == "FloatPow":
        bottom, exponent = (size_text(part, names) for part in expr.args)
        return f"{wrap(bottom, ATOM)}**{wrap(exponent, UNARY)}", POWER
    if kind == "ToFloat":
        return f"float({size_text(expr.args[0], names)[0]})", ATOM
    if expr.is_Float:
        return number_text(float(expr), names)
    if kind in ("Mod", "PythonMod"):
        top, bottom = (size_text(part, names) for part in expr.args)
        return f"{wrap(top, PRODUCT)} % {wrap(bottom, POWER)}", PRODUCT
    if kind in ("Max", "Min"):
        inner = ", ".join(sorted(size_text(a, names)[0] for a in expr.args))
        return f"{kind.lower()}({inner})", ATOM
    raise ValueError(f"a size that has no Python spelling: {expr}")


_INFIX: dict[str, tuple[str, int, Callable[[Any, Any], Any]]] = {
    "add": (" + ", SUM, operator.add),
    "sub": (" - ", SUM, operator.sub),
    "mul": ("*", PRODUCT, operator.mul),
    "div": ("/", PRODUCT, operator.truediv),
    "pow": ("**", POWER, operator.pow),
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A float computed from sizes, as the author wrote it: ``Scalar("div", (1, n))`` is ``1/n``."""

    op: str
    args: tuple[Number, ...]

    def evaluate(self, sizes: Mapping[str, int]) -> float:
        values = [number_value(a, sizes) for a in self.args]
        if self.op == "neg":
            return float(-values[0])
        if self.op == "float":
            return float(values[0])
        if self.op == "sqrt":
            return math.sqrt(values[0])
        return float(_INFIX[self.op][2](*values))

    def names(self) -> set[str]:
        return set().union(*(a.names() for a in self.args if isinstance(a, (Size, Scalar))))

    def text(self, names: Mapping[str, str] | None = None) -> str:
        return number_text(self, names or {})[0]

    def __str__(self) -> str:
        return self.text()


Number: TypeAlias = int | float | Size | Scalar


def number_value(number: Number, sizes: Mapping[str, int]) -> Any:
    """The value of a number at the given sizes."""
    return number.evaluate(sizes) if isinstance(number, (Size, Scalar)) else number


def number_text(number: Number, names: Mapping[str, str]) -> tuple[str, int]:
    """Python source of a number, with its binding strength."""
    if isinstance(number, Size):
        return size_text(number.expr, names)
    if isinstance(number, Scalar):
        args = [number_text(a, names) for a in number.args]
        if number.op == "neg":
            return f"-{wrap(args[0], UNARY)}", UNARY
        if number.op in ("float", "sqrt"):
            call = "float" if number.op == "float" else "math.sqrt"
            return f"{call}({args[0][0]})", ATOM
        sign, strength, _ = _INFIX[number.op]
        left = ATOM if number.op == "pow" else strength
        return f"{wrap(args[0], left)}{sign}{wrap(args[1], strength + 1)}", strength
    if isinstance(number, float) and not math.isfinite(number):
        return f'float("{number}")', ATOM
    text = re.sub(r"e([+-])0+", r"e\1", repr(number))
    return text, UNARY if text.startswith("-") else ATOM


def product(dims: tuple[Dim, ...]) -> Dim:
    """The number of elements of a shape."""
    out: Dim = 1
    for d in dims:
        out = out * d
    return out
