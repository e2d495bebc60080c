"""Real numbers of fifty digits, as elements of NumPy's object arrays.

NumPy's ufuncs call the operators and the methods of an object array's elements (``np.exp`` calls
``exp``), so that functions written for floats work on ``Real`` too. A ``Real`` never turns into a
float by itself, and a float that was computed never turns into a ``Real`` by itself: code that
would lose the digits on its way fails instead.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from mpmath import MPContext

from ..errors import ProgramError
from .reference import Array

# A context of its own: the digits of mpmath's global one belong to whoever imports it.
MP = MPContext()
MP.dps = 50
# From this power of two on a number counts as infinite inside exp, sin and their like: their work
# or their result would fill the memory. float64 ends at 1024.
LARGEST = 4096
# The shortest decimal of a float that somebody wrote down has no more digits than these.
WRITTEN = 12


class Real:
    """A real number of fifty digits, an infinity, or NaN; zero has no sign.

    Arithmetic follows IEEE 754 where the reals give no answer: 1/0 is infinite, log(-1) is NaN.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Real({MP.nstr(self.value, 20)})"

    def __neg__(self) -> Real:
        return Real(-self.value)

    def __abs__(self) -> Real:
        return Real(abs(self.value))

    def __bool__(self) -> bool:
        return bool(self.value != 0)

    def conjugate(self) -> Real:
        """The number itself; ``np.var`` asks for it."""
        return self

    # Made below, from functions of two mpmath numbers.
    __add__: Any
    __radd__: Any
    __sub__: Any
    __rsub__: Any
    __mul__: Any
    __rmul__: Any
    __truediv__: Any
    __rtruediv__: Any
    __pow__: Any
    __rpow__: Any

    __lt__: Any
    __le__: Any
    __gt__: Any
    __ge__: Any
    __eq__: Any
    __ne__: Any

    def __hash__(self) -> int:
        return hash(self.value)

    # What NumPy's ufuncs call, under NumPy's names; made below.
    exp: Any
    exp2: Any
    expm1: Any
    log: Any
    log2: Any
    log10: Any
    log1p: Any
    sqrt: Any
    sin: Any
    cos: Any
    tan: Any
    arcsin: Any
    arccos: Any
    arctan: Any
    sinh: Any
    cosh: Any
    tanh: Any
    arcsinh: Any
    arccosh: Any
    arctanh: Any


def mpf_of(x: Any) -> Any:
    """An mpmath number from a ``Real``, an integer, or a float that somebody wrote down."""
    if isinstance(x, Real):
        return x.value
    if isinstance(x, (int, np.integer, np.bool_)):
        return MP.mpf(int(x))
    if isinstance(x, (float, np.floating)):
        text = float.__repr__(float(x))
        if sum(c.isdigit() for c in text.partition("e")[0].strip("-0.")) > WRITTEN:
            raise ProgramError(f"{text} was computed with floats: its other digits are lost")
        return decimal(float(x)).value
    return None


def decimal(x: float) -> Real:
    """The number that a float literal says: 0.1 is a tenth. Infinities and NaN stay."""
    if x != x or x in (float("inf"), float("-inf")):
        return Real(MP.mpf(x))
    exact = Fraction(float.__repr__(float(x)))
    return Real(MP.mpf(exact.numerator) / exact.denominator)


def real(x: Any) -> Real:
    """``x`` as a ``Real``; ``ProgramError`` for what is no number, or a float that was computed."""
    # assigning to one element of an object array may leave a 0-d array there
    value = mpf_of(x[()] if isinstance(x, np.ndarray) and x.ndim == 0 else x)
    if value is None:
        raise ProgramError(f"{x!r} is no number")
    return x if isinstance(x, Real) else Real(value)


def divide(a: Any, b: Any) -> Any:
    if b != 0:
        return a / b
    return MP.nan if a != a or a == 0 else MP.sign(a) * MP.inf


def power(a: Any, b: Any) -> Any:
    """``a ** b`` with the answers of C's ``pow`` at zeros and infinities."""
    b = bounded(b, LARGEST)
    if b == 0 or a == 1:
        return MP.one
    if a != a or b != b:
        return MP.nan
    whole = MP.isint(b)
    if MP.isinf(b):
        return MP.one if abs(a) == 1 else MP.inf if (abs(a) > 1) == (b > 0) else MP.zero
    if a == 0 or MP.isinf(a):
        odd = whole and int(b) % 2 == 1
        return (-MP.one if a < 0 and odd else 1) * (MP.inf if (a == 0) == (b < 0) else MP.zero)
    return MP.nan if a < 0 and not whole else MP.power(a, int(b) if whole else b)


def bounded(x: Any, largest: int) -> Any:
    """``x``, or an infinity where its size is beyond all use."""
    return MP.sign(x) * MP.inf if MP.isfinite(x) and MP.mag(x) > largest else x


def function(of: Callable[[Any], Any], largest: int | None = None) -> Callable[[Any], Real]:
    """A function of mpmath numbers as one of ``Real``: where it has no real value, NaN.

    From the power of two ``largest`` on its argument counts as infinite.
    """

    def apply(x: Any) -> Real:
        value = of(mpf_of(x) if largest is None else bounded(mpf_of(x), largest))
        return Real(value if isinstance(value, MP.mpf) else MP.nan)

    return apply


def _method(of: Callable[[Any, Any], Any], wrap: Callable[[Any], Any]) -> Any:
    def apply(self: Real, other: Any) -> Any:
        b = mpf_of(other)
        return NotImplemented if b is None else wrap(of(self.value, b))

    return apply


def _swapped(of: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: of(b, a)


for _name, _of in {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": divide,
    "pow": power,
}.items():
    setattr(Real, f"__{_name}__", _method(_of, Real))
    setattr(Real, f"__r{_name}__", _method(_swapped(_of), Real))

for _of in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
    setattr(Real, f"__{_of.__name__}__", _method(_of, bool))

for _name, _unary in {
    "exp": MP.exp,
    "exp2": lambda x: MP.exp(x * MP.ln2),
    "expm1": MP.expm1,
    "sin": MP.sin,
    "cos": MP.cos,
    "tan": MP.tan,
    "sinh": MP.sinh,
    "cosh": MP.cosh,
    "tanh": MP.tanh,
}.items():
    setattr(Real, _name, function(_unary, LARGEST))

for _name, _unary in {
    "log": MP.ln,
    "log2": lambda x: MP.ln(x) / MP.ln2,
    "log10": MP.log10,
    "log1p": MP.log1p,
    "sqrt": MP.sqrt,
    "arcsin": MP.asin,
    "arccos": MP.acos,
    "arctan": MP.atan,
    "arcsinh": MP.asinh,
    "arccosh": MP.acosh,
    "arctanh": MP.atanh,
}.items():
    setattr(Real, _name, function(_unary))

PI = Real(+MP.pi)


def each(of: Callable[..., Any]) -> Callable[..., Array]:
    """A function of numbers applied to every element (and combination of elements)."""

    def apply(*args: Any) -> Array:
        arrays = np.broadcast_arrays(*(np.asarray(a) for a in args))
        out = np.empty(arrays[0].size, dtype=object)
        out[:] = [of(*items) for items in zip(*(a.ravel() for a in arrays), strict=True)]
        return out.reshape(arrays[0].shape)

    return apply


def reals(array: Any) -> Array:
    """An object array of ``Real``, from numbers as NumPy functions leave them in object arrays."""
    return each(real)(array)


def real_array(array: Any) -> Array:
    """Every element of a float (or integer) array as the ``Real`` of exactly its value."""
    given = np.asarray(array)
    if given.dtype == object:
        return reals(given)
    wide = given.astype(np.float64) if given.dtype.kind == "f" else given
    flat = np.empty(wide.size, dtype=object)
    flat[:] = [Real(MP.mpf(x)) for x in wide.ravel().tolist()]
    return flat.reshape(wide.shape)


def floats(array: Array) -> Array:
    """The nearest float64 of every element."""
    values = [float(mpf_of(x)) for x in np.asarray(array).ravel()]
    return np.array(values, dtype=np.float64).reshape(np.shape(array))
