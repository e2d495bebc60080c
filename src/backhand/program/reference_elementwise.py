"""Elementwise operators in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .reference import Array, Reference, numpy_dtype


def scalarwise(function: Callable[..., float]) -> Reference:
    """A function of Python numbers applied to every element (and combination of elements)."""

    def apply(*args: Any) -> Array:
        arrays = np.broadcast_arrays(*args)
        flat = [
            function(*map(float, items)) for items in zip(*(a.ravel() for a in arrays), strict=True)
        ]
        return np.array(flat, dtype=np.float64).reshape(arrays[0].shape)

    return apply


def _lgamma(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    return math.lgamma(x)


def _zeta(s: float, q: float) -> float:
    """Hurwitz' zeta: the first terms, then Euler-Maclaurin."""
    if s == 1:
        return math.inf
    if s < 1 or (q <= 0 and q != math.floor(q)):
        return math.nan
    if q <= 0:
        return math.inf
    n = 30
    total: float = math.fsum((q + k) ** -s for k in range(n))
    a = q + n
    total += a ** (1 - s) / (s - 1) + a**-s / 2.0
    term, bernoulli = s * a ** (-s - 1), (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)
    for k, b in enumerate(bernoulli, 1):
        total += b * term / math.factorial(2 * k)
        term *= (s + 2 * k - 1) * (s + 2 * k) / a**2
    return total


def _digamma(x: float) -> float:
    if x == 0:
        return -math.copysign(math.inf, x)
    if x < 0:
        if x == math.floor(x):
            return math.nan
        return _digamma(1 - x) - math.pi / math.tan(math.pi * x)
    shift = 0.0
    while x < 12:
        shift -= 1 / x
        x += 1
    series = ((-1) ** k * c / x ** (2 * k) for k, c in
              enumerate((1 / 12, 1 / 120, 1 / 252, 1 / 240, 1 / 132, 691 / 32760, 1 / 12), 1))
    return shift + math.log(x) - 1 / (2 * x) + math.fsum(series)


def polygamma(n: int, x: Array) -> Array:
    if n == 0:
        return np.asarray(scalarwise(_digamma)(x))
    sign = (-1) ** (n + 1)
    return np.asarray(sign * math.factorial(n) * scalarwise(_zeta)(n + 1.0, x))


def _erfinv(y: float) -> float:
    if abs(y) >= 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    low, high = -6.0, 6.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < y else (low, middle)
    x = (low + high) / 2
    for _ in range(3):
        x -= (math.erf(x) - y) * math.sqrt(math.pi) / 2 * math.exp(x * x)
    return x


def _bessel(order: int) -> Callable[[float], float]:
    """The modified Bessel function of the first kind, by its power series."""

    def series(x: float) -> float:
        term = (x / 2) ** order / math.factorial(order)
        total, k = term, 1
        while abs(term) > 1e-18 * abs(total):
            term *= (x / 2) ** 2 / (k * (k + order))
            total, k = total + term, k + 1
        return total

    return series


def _igamma(a: float, x: float) -> float:
    if x == 0:
        return 0.0
    term = total = 1 / a
    k = 1
    while term > 1e-18 * total:
        term *= x / (a + k)
        total, k = total + term, k + 1
    return total * math.exp(a * math.log(x) - x - math.lgamma(a))


def _log_ndtr(x: float) -> float:
    return math.log(math.erfc(-x / math.sqrt(2)) / 2)


erf = scalarwise(math.erf)
erfc = scalarwise(math.erfc)
i0, i1 = scalarwise(_bessel(0)), scalarwise(_bessel(1))


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def softplus(x: Array, beta: float = 1, threshold: float = 20) -> Array:
    return np.where(x * beta > threshold, x, np.log1p(np.exp(x * beta)) / beta)


def _gelu(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return np.asarray(0.5 * x * (1 + np.tanh(inner)))
    return np.asarray(x * 0.5 * (1 + erf(x / math.sqrt(2))))


def _elu(x: Array, alpha: float, scale: float, input_scale: float) -> Array:
    return np.where(x > 0, scale * x, scale * alpha * np.expm1(x * input_scale))


def _glu(x: Array, dim: int) -> Array:
    a, b = np.split(x, 2, axis=dim)
    return np.asarray(a * sigmoid(b))


def _logit(x: Array, eps: float | None) -> Array:
    z = x if eps is None else np.clip(x, eps, 1 - eps)
    return np.asarray(np.log(z / (1 - z)))


def _clamp(x: Array, low: Any, high: Any) -> Array:
    out = x if low is None else np.maximum(x, low)
    return np.asarray(out if high is None else np.minimum(out, high))


def _nan_to_num(x: Array, nan: Any, posinf: Any, neginf: Any) -> Array:
    limits = np.finfo(x.dtype)
    out = np.where(np.isnan(x), 0.0 if nan is None else nan, x)
    out = np.where(x == np.inf, limits.max if posinf is None else posinf, out)
    return np.where(x == -np.inf, limits.min if neginf is None else neginf, out)


def _times_log(x: Any, log: Any, other: Any) -> Array:
    return np.where(np.isnan(other), np.nan, np.where(np.equal(x, 0), 0.0, x * log))


def _div_mode(x: Any, other: Any, mode: str) -> Array:
    return np.asarray(np.floor_divide(x, other) if mode == "floor" else np.trunc(x / other))


def _sinc(x: Array) -> Array:
    return np.where(x == 0, 1.0, np.sin(np.pi * x) / (np.pi * x))


def _angle(x: Array) -> Array:
    return np.where(np.isnan(x), np.nan, np.where(x < 0, np.pi, 0.0))


def _entr(x: Array) -> Array:
    return np.where(x > 0, -x * np.log(x), np.where(x == 0, 0.0, np.where(x < 0, -np.inf, x)))


def _mvlgamma(x: Array, p: int) -> Array:
    lgamma = scalarwise(_lgamma)
    total = sum(lgamma(x - j / 2) for j in range(p))
    return np.asarray(total + p * (p - 1) / 4 * math.log(math.pi))


def _pow(x: Any, e: Any) -> Any:
    if isinstance(x, (int, float)) and isinstance(e, (int, float)):
        return x**e
    return np.power(np.asarray(x, dtype=_wide(x, e)), e)


def _wide(x: Any, e: Any) -> Any:
    """Integers to the power of a float, or a number to the power of a tensor, are floats."""
    if isinstance(e, np.ndarray) and not isinstance(x, np.ndarray):
        return np.result_type(e.dtype, np.float32) if e.dtype.kind == "i" else e.dtype
    if isinstance(e, float) and np.asarray(x).dtype.kind in "iu":
        return np.float64
    return np.asarray(x).dtype


def _logical(function: Any) -> Reference:
    return lambda x, other: function(np.asarray(x) != 0, np.asarray(other) != 0)


REFERENCES: dict[str, Reference] = {
    "neg": lambda x: -x,
    "add": lambda x, other: x + other,
    "sub": lambda x, other: x - other,
    "add_alpha": lambda x, other, alpha: x + alpha * other,
    "sub_alpha": lambda x, other, alpha: x - alpha * other,
    "rsub_alpha": lambda x, other, alpha: other - alpha * x,
    "mul": lambda x, other: x * other,
    "div": lambda x, other: np.true_divide(x, other),
    "pow": _pow,
    "remainder": np.remainder,
    "fmod": np.fmod,
    "div_mode": _div_mode,
    "floor_divide": np.floor_divide,
    "abs": np.abs,
    "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)),
    "sgn": lambda x: np.where(np.isnan(x), 0, np.sign(x)),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": lambda x: x * x,
    "reciprocal": lambda x: np.true_divide(1, x),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": erf,
    "erfc": erfc,
    "erfinv": scalarwise(_erfinv),
    "lgamma": scalarwise(_lgamma),
    "digamma": scalarwise(_digamma),
    "polygamma": polygamma,
    "mvlgamma": _mvlgamma,
    "i0": i0,
    "special_i0e": lambda x: i0(x) * np.exp(-np.abs(x)),
    "special_i1": i1,
    "special_i1e": lambda x: i1(x) * np.exp(-np.abs(x)),
    "special_erfcx": lambda x: np.exp(x * x) * erfc(x),
    "special_ndtri": lambda x: math.sqrt(2) * scalarwise(_erfinv)(2 * x - 1),
    "special_log_ndtr": scalarwise(_log_ndtr),
    "special_entr": _entr,
    "special_xlog1py": lambda x, other: _times_log(x, np.log1p(other), other),
    "special_zeta": scalarwise(_zeta),
    "igamma": scalarwise(_igamma),
    "igammac": lambda a, x: 1 - scalarwise(_igamma)(a, x),
    "sinc": _sinc,
    "logit": _logit,
    "hypot": np.hypot,
    "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2,
    "xlogy": lambda x, other: _times_log(x, np.log(other), other),
    "deg2rad": np.deg2rad,
    "rad2deg": np.rad2deg,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "trunc": np.trunc,
    "frac": lambda x: x - np.trunc(x),
    "lerp": lambda x, end, weight: x + weight * (end - x),
    "addcmul": lambda x, a, b, value: x + value * a * b,
    "addcdiv": lambda x, a, b, value: x + value * (a / b),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "clamp": _clamp,
    "clamp_min": lambda x, low: _clamp(x, low, None),
    "clamp_max": lambda x, high: _clamp(x, None, high),
    "where": np.where,
    "nan_to_num": _nan_to_num,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * sigmoid(x),
    "gelu": _gelu,
    "softplus": softplus,
    "elu": _elu,
    "celu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x / alpha)),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "hardtanh": lambda x, low, high: np.clip(x, low, high),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardshrink": lambda x, lambd: np.where(np.abs(x) <= lambd, 0, x),
    "softshrink": lambda x, lambd: np.where(
        np.abs(x) <= lambd, 0, np.where(x > 0, x - lambd, x + lambd)
    ),
    "threshold": lambda x, threshold, value: np.where(x <= threshold, value, x),
    "logsigmoid": lambda x: -softplus(-x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "prelu": lambda x, weight: np.where(x > 0, x, weight * x),
    "glu": _glu,
    "identity": lambda x: x,
    "clone": lambda x: x,
    "contiguous": lambda x: x,
    "stop_gradient": lambda x: x,
    "to": lambda x, dtype: x.astype(numpy_dtype(dtype)),
    "stored": lambda x, dtype: x.astype(numpy_dtype(dtype)),
    "copy": lambda x, src: np.broadcast_to(src, x.shape),
    "fill": lambda x, value: np.broadcast_to(value, x.shape),
    "masked_fill": lambda x, mask, value: np.where(mask, value, x),
    "tril": np.tril,
    "triu": np.triu,
    "copysign": np.copysign,
    "nextafter": np.nextafter,
    "heaviside": np.heaviside,
    "ldexp": lambda x, other: x * np.power(2.0, other),
    "frexp": np.frexp,
    "angle": _angle,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "isposinf": np.isposinf,
    "isneginf": np.isneginf,
    "signbit": np.signbit,
    "logical_and": _logical(np.logical_and),
    "logical_or": _logical(np.logical_or),
    "logical_xor": _logical(np.logical_xor),
    "logical_not": np.logical_not,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "bitwise_not": np.invert,
}
