"""Operators on arrays of ``Real``, where the NumPy reference does not work on objects.

It does not where it counts on floats (constants such as the root of two, special functions from
``math``), where NumPy itself has nothing for objects (``isfinite``), and where Python's comparisons
would lose a NaN (``maximum``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import reference_nn
from .real import MP, PI, Real, each, function, mpf_of, real, real_array, reals
from .reference import UNSUPPORTED, Array, Reference, numpy_dtype, references
from .reference_reductions import axes, vector_norm

# Arguments that choose, whose booleans are no numbers.
MASKS = frozenset({"condition", "mask"})
# Operators that have no exact version, each with the reason.
_SIGNED_ZEROS = "it tells signed zeros apart, and a real zero has no sign"
_FLOATS = "it is about the floats themselves"
_WEIGHTS = "the NumPy reference computes its weights in floats"
_SYSTEMS = "NumPy solves linear systems, and takes matrices apart, in floats"
_UNWRITTEN = "nobody has needed it"
NONE: dict[str, str] = {
    **UNSUPPORTED,
    **dict.fromkeys(("copysign", "signbit", "angle", "atan2"), _SIGNED_ZEROS),
    **dict.fromkeys(("nextafter", "frexp", "ldexp", "nan_to_num"), _FLOATS),
    **dict.fromkeys(
        ("avg_pool2d", "avg_pool3d", "avg_pool2d_backward", "avg_pool3d_backward",
         "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool2d_backward",
         "adaptive_avg_pool3d_backward", "interpolate", "upsample_linear1d_backward",
         "upsample_bilinear2d_backward", "upsample_bicubic2d_backward",
         "upsample_trilinear3d_backward", "upsample_nearest1d_backward",
         "upsample_nearest2d_backward", "upsample_nearest3d_backward",
         "_upsample_nearest_exact1d_backward", "_upsample_nearest_exact2d_backward",
         "_upsample_nearest_exact3d_backward", "affine_grid_generator",
         "affine_grid_generator_backward"),
        _WEIGHTS,
    ),
    **dict.fromkeys(
        ("linalg_inv", "linalg_solve", "linalg_solve_triangular", "linalg_lu_solve",
         "linalg_lu_factor", "linalg_cholesky", "linalg_det", "linalg_slogdet", "linalg_eigh",
         "linalg_svd", "linalg_qr", "linalg_pinv"),
        _SYSTEMS,
    ),
    **dict.fromkeys(
        ("mvlgamma", "igamma", "igammac", "special_zeta", "multilabel_margin_loss_forward"),
        _UNWRITTEN,
    ),
}


def by_rank(name: str, numbers: int | None = None) -> Reference:
    """An operator that only compares and chooses, run on its numbers' ranks.

    Zero has the rank 0; infinities and NaN stay what they are. ``numbers`` says how many leading
    arguments are numbers: by default all.
    """

    def apply(*args: Any) -> Any:
        given, rest = args[:numbers], args[len(args[:numbers]) :]
        arrays = [a if a is None else reals(a) for a in given]
        values = {mpf_of(x) for a in arrays if a is not None for x in a.ravel()}
        ordered = sorted(v for v in values | {MP.zero} if MP.isfinite(v))
        zero = ordered.index(MP.zero)
        rank = {v: float(i - zero) for i, v in enumerate(ordered)}

        def ranks(array: Array) -> Array:
            flat = [rank.get(v, float(v)) for v in map(mpf_of, array.ravel())]
            return np.array(flat, dtype=np.float64).reshape(array.shape)

        def number(r: float) -> Real:
            return Real(ordered[int(r) + zero] if np.isfinite(r) else MP.mpf(r))

        def chosen(found: Any) -> Array:
            found = np.asarray(found)
            return each(number)(found) if found.dtype.kind == "f" else found

        found = references()[name](*(a if a is None else ranks(a) for a in arrays), *rest)
        return tuple(map(chosen, found)) if isinstance(found, tuple) else chosen(found)

    return apply


def by_kind(name: str, numbers: int | None = None) -> Reference:
    """An operator that asks no more of its numbers than their sign, whether finite, whether NaN."""

    def kind(x: Any) -> float:
        value = mpf_of(x)
        return float(MP.sign(value) if MP.isfinite(value) else value)

    def apply(*args: Any) -> Any:
        given, rest = args[:numbers], args[len(args[:numbers]) :]
        kinds = (np.asarray(each(kind)(a), dtype=np.float64) for a in given)
        return references()[name](*kinds, *rest)

    return apply


def _to(x: Array, dtype: str) -> Array:
    wanted = np.dtype(np.float64) if dtype == "bfloat16" else numpy_dtype(dtype)
    if wanted.kind == "f":
        return x if x.dtype == object else real_array(x)
    if wanted.kind == "b":
        return np.asarray(each(bool)(x), dtype=bool)
    return np.asarray(each(lambda a: int(mpf_of(a)))(x), dtype=wanted)


def _arange(start: Any, end: Any, step: Any, dtype: Any, device: Any) -> Array:
    count = int(MP.ceil(mpf_of((real(end) - start) / real(step))))
    return real(start) + np.arange(max(count, 0)) * real(step)


def _linspace(start: Any, end: Any, steps: int, dtype: Any, device: Any) -> Array:
    step = (real(end) - real(start)) / real(max(steps - 1, 1))
    return real(start) + np.arange(steps) * step


def _mean(x: Array, dim: Any, keepdim: bool, dtype: Any = None) -> Array:
    over = axes(dim, x.ndim)
    n = real(math.prod(x.shape[a] for a in over))
    return np.asarray(reals(np.sum(x, axis=over, keepdims=keepdim)) / n)


def _nansum(x: Array, dim: Any, keepdim: bool, dtype: Any) -> Array:
    numbers = np.where(np.equal(x, x), x, 0)
    return np.asarray(np.sum(numbers, axis=axes(dim, x.ndim), keepdims=keepdim))


def _var(x: Array, dim: Any, correction: Any, keepdim: bool) -> Array:
    over = axes(dim, x.ndim)
    freedom = real(math.prod(x.shape[a] for a in over)) - correction
    total = reals(np.sum((x - _mean(x, dim, True)) ** 2, axis=over, keepdims=keepdim))
    return np.asarray(total / (freedom if freedom > 0 else real(0)))


def _std(x: Array, dim: Any, correction: Any, keepdim: bool) -> Array:
    return np.asarray(np.sqrt(_var(x, dim, correction, keepdim)))


def _with_mean(spread: Reference) -> Reference:
    def both(x: Array, dim: Any, correction: Any, keepdim: bool) -> tuple[Array, Array]:
        return spread(x, dim, correction, keepdim), _mean(x, dim, keepdim)

    return both


def _vector_norm(x: Array, order: Any, dim: Any, keepdim: bool, dtype: Any) -> Array:
    size = reals(np.abs(x))
    if MP.isinf(mpf_of(order)):
        return np.asarray(by_rank("amax" if order > 0 else "amin", 1)(size, dim, keepdim))
    return vector_norm(size, real(order), dim, keepdim)


# Numbers of this kind neither overflow nor vanish, so that nothing has to be shifted.


def softmax(x: Array, dim: Any, dtype: Any = None) -> Array:
    weights = reals(np.exp(x))
    return np.asarray(weights / np.sum(weights, axis=axes(dim, x.ndim), keepdims=True))


def _log_softmax(x: Array, dim: Any, dtype: Any) -> Array:
    return np.asarray(x - logsumexp(x, dim, True))


def _safe_softmax(x: Array, dim: Any, dtype: Any) -> Array:
    masked = np.all(np.equal(x, -np.inf), axis=axes(dim, x.ndim), keepdims=True)
    return np.where(masked, 0, softmax(x, dim))


def logsumexp(x: Array, dim: Any, keepdim: bool) -> Array:
    total = np.sum(np.exp(x), axis=axes(dim, x.ndim), keepdims=keepdim)
    return np.asarray(np.log(reals(total)))


def _logsigmoid(x: Array) -> Array:
    return np.asarray(-np.log1p(np.exp(-x)))


def _log_sigmoid_forward(x: Array) -> tuple[Array, Array]:
    return _logsigmoid(x), np.asarray(np.exp(-np.abs(x)))


def _log_gamma(x: Any) -> Any:
    return MP.inf if MP.isinf(x) or (x <= 0 and MP.isint(x)) else MP.re(MP.loggamma(x))


def _polygamma(n: int, x: Any) -> Any:
    if x <= 0 and MP.isint(x):
        return MP.nan if n % 2 == 0 and x < 0 else MP.inf if n % 2 else -MP.inf
    return MP.psi(n, x)


def _erf_inverse(y: Any) -> Any:
    return MP.erfinv(y) if abs(y) < 1 else MP.sign(y) * MP.inf if abs(y) == 1 else MP.nan


def _bessel(order: int, scaled: bool) -> Reference:
    def value(x: Any) -> Any:
        return MP.besseli(order, x) * (MP.exp(-abs(x)) if scaled else 1)

    return each(function(value, largest=20))


# Beyond these powers of two the functions are too near their limits to be worth their digits.
erf, erfc = each(function(MP.erf, largest=40)), each(function(MP.erfc, largest=40))
_ROOT2, _ROOT_2_BY_PI = real(2).sqrt(), (2 / PI).sqrt()
_CUBIC = Real(MP.mpf("0.044715"))


def _gelu(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        return np.asarray(x * (1 + np.tanh(_ROOT_2_BY_PI * (x + _CUBIC * x**3))) / 2)
    return np.asarray(x * (1 + erf(x / _ROOT2)) / 2)


def _gelu_backward(g: Array, x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        t = np.tanh(_ROOT_2_BY_PI * (x + _CUBIC * x**3))
        slope = _ROOT_2_BY_PI * (1 + 3 * _CUBIC * x**2)
        return np.asarray(g * (1 + t + x * (1 - t * t) * slope) / 2)
    density = np.exp(-x * x / 2) * _ROOT_2_BY_PI / 2
    return np.asarray(g * ((1 + erf(x / _ROOT2)) / 2 + x * density))


def _reduced(loss: Array, reduction: Any) -> Array:
    return np.asarray(reference_nn.reduced(loss, reduction))


def _bce(x: Array, target: Array, weight: Any, reduction: str) -> Array:
    log, other = (by_rank("clamp_min")(np.log(p), -100) for p in (x, 1 - x))
    loss = -(target * log + (1 - target) * other)
    return _reduced(loss if weight is None else loss * weight, reduction)


def _bce_backward(g: Array, x: Array, target: Array, weight: Any, reduction: int) -> Array:
    slope = (x - target) / by_rank("clamp_min")((1 - x) * x, Real(MP.mpf("1e-12")))
    share = g / x.size if reduction == 1 else g
    return np.asarray(share * slope * (1 if weight is None else weight))


def _nll_forward(
    x: Array, target: Array, weight: Any, reduction: int, ignore_index: int
) -> tuple[Array, Array]:
    losses, weights = map(reals, reference_nn.per_target(x, target, weight, ignore_index))
    if reduction == 0:
        return losses, np.asarray(real(0))
    total = real(np.sum(weights))
    return np.asarray(real(np.sum(losses)) / (total if reduction == 1 else 1)), np.asarray(total)


def _nll(x: Array, target: Array, weight: Any, ignore_index: int, reduction: str) -> Array:
    number = {"none": 0, "mean": 1, "sum": 2}[reduction]
    return _nll_forward(x, target, weight, number, ignore_index)[0]


def _scale(query: Array, scale: Any) -> Real:
    return 1 / real(query.shape[-1]).sqrt() if scale is None else real(scale)


def _attention(
    query: Array, key: Array, value: Array, mask: Any, dropout: Any, causal: bool, scale: Any
) -> Array:
    scores = reals(reference_nn.scores(query, key, mask, causal, _scale(query, scale)))
    return np.asarray(_safe_softmax(scores, -1, None) @ value)


def _flash_attention(
    query: Array, key: Array, value: Array, dropout: Any, causal: bool, mask: Any, scale: Any
) -> tuple[Array, Array]:
    scores = reals(reference_nn.scores(query, key, mask, causal, _scale(query, scale)))
    return np.asarray(_safe_softmax(scores, -1, None) @ value), logsumexp(scores, -1, False)


def _flash_attention_backward(
    g: Array, query: Array, key: Array, value: Array, y: Array, lse: Array, dropout: Any,
    causal: bool, mask: Any, scale: Any,
) -> tuple[Array, Array, Array]:
    factor = _scale(query, scale)
    p = softmax(reals(reference_nn.scores(query, key, mask, causal, factor)), -1)
    dp = g @ np.swapaxes(value, -1, -2)
    ds = factor * p * (dp - np.sum(g * y, axis=-1, keepdims=True))
    return ds @ key, np.swapaxes(ds, -1, -2) @ query, np.swapaxes(p, -1, -2) @ g


def _rounded(of: Any) -> Reference:
    """A function to the integers; infinities and NaN stay."""
    return each(lambda x: Real(of(mpf_of(x)) if MP.isfinite(mpf_of(x)) else mpf_of(x)))


def _toward_zero(x: Any) -> Any:
    return MP.floor(x) if x > 0 else MP.ceil(x)


floor, trunc = _rounded(MP.floor), _rounded(_toward_zero)


def _round(x: Array, decimals: int) -> Array:
    return np.asarray(_rounded(MP.nint)(x * 10**decimals) / real(10) ** decimals)


def _div_mode(x: Any, other: Any, mode: str) -> Array:
    return np.asarray((floor if mode == "floor" else trunc)(np.true_divide(x, other)))


def _times(x: Any, log: Any) -> Array:
    """``x * log``, where zero times anything but NaN is zero."""
    return np.where(np.equal(x, 0) & np.equal(log, log), 0, x * log)


def _logaddexp(x: Array, other: Array) -> Array:
    return np.asarray(np.log(np.exp(x) + np.exp(other)))


def _logaddexp2(x: Array, other: Array) -> Array:
    return np.asarray(np.log2(np.exp2(x) + np.exp2(other)))


def _sinc(x: Array) -> Array:
    return np.where(np.equal(x, 0), 1, np.sin(PI * x) / (PI * x))


def _logit(x: Array, eps: Any) -> Array:
    z = x if eps is None else by_rank("clamp")(x, eps, 1 - eps)
    return np.asarray(np.log(z / (1 - z)))


def _heaviside(x: Array, values: Array) -> Array:
    return np.where(np.equal(x, 0), values, np.where(np.less(x, 0), 0, np.where(x > 0, 1, x)))


def _entr(x: Array) -> Array:
    return np.where(np.less(x, 0), -np.inf, -_times(x, np.log(x)))


_ELEMENTWISE = (
    "maximum", "minimum", "fmax", "fmin", "clamp", "clamp_min", "clamp_max", "relu", "threshold",
    "hardtanh",
)
_ALONG_AXES = (
    "amax", "amin", "max", "min", "aminmax", "max_dim", "min_dim", "argmax", "argmin", "sort",
    "argsort", "topk", "median", "nanmedian", "median_dim", "nanmedian_dim", "kthvalue", "mode",
    "cummax", "cummin",
)
_KINDS = (
    "sign", "sgn", "isnan", "isinf", "isfinite", "isposinf", "isneginf", "logical_not",
    "logical_and", "logical_or", "logical_xor",
)

EXACT: dict[str, Reference] = {
    **{name: by_rank(name) for name in _ELEMENTWISE},
    **{name: by_rank(name, 1) for name in _ALONG_AXES},
    **{name: by_kind(name) for name in _KINDS},
    **{name: by_kind(name, 1) for name in ("any", "all", "count_nonzero")},
    "to": _to,
    "stored": _to,
    "arange": _arange,
    "linspace": _linspace,
    "mean": _mean,
    "var": _var,
    "std": _std,
    "var_mean": _with_mean(_var),
    "std_mean": _with_mean(_std),
    "vector_norm": _vector_norm,
    "dist": lambda x, other, p: _vector_norm(x - other, p, None, False, None),
    "softmax": softmax,
    "log_softmax": _log_softmax,
    "safe_softmax": _safe_softmax,
    "logsumexp": logsumexp,
    "logcumsumexp": lambda x, dim: np.log(np.cumsum(np.exp(x), axis=dim) if x.ndim else np.exp(x)),
    "logaddexp": _logaddexp,
    "logaddexp2": _logaddexp2,
    "logsigmoid": _logsigmoid,
    "log_sigmoid_forward": _log_sigmoid_forward,
    "erf": erf,
    "erfc": erfc,
    "special_erfcx": lambda x: np.exp(x * x) * erfc(x),
    "special_log_ndtr": lambda x: np.log(erfc(-x / _ROOT2) / 2),
    "erfinv": each(function(_erf_inverse)),
    "special_ndtri": lambda x: _ROOT2 * each(function(_erf_inverse))(2 * x - 1),
    "lgamma": each(function(_log_gamma)),
    "digamma": each(function(lambda x: _polygamma(0, x))),
    "polygamma": lambda n, x: each(function(lambda value: _polygamma(n, value)))(x),
    "i0": _bessel(0, False),
    "special_i0e": _bessel(0, True),
    "special_i1": _bessel(1, False),
    "special_i1e": _bessel(1, True),
    "nansum": _nansum,
    "gelu": _gelu,
    "gelu_backward": _gelu_backward,
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_backward": _bce_backward,
    "nll": _nll,
    "nll_loss_forward": _nll_forward,
    "nll_loss2d_forward": _nll_forward,
    "attention": _attention,
    "flash_attention": _flash_attention,
    "flash_attention_backward": _flash_attention_backward,
    "floor": floor,
    "ceil": _rounded(MP.ceil),
    "trunc": trunc,
    "frac": lambda x: x - trunc(x),
    "round": _round,
    "div_mode": _div_mode,
    "floor_divide": lambda x, other: floor(np.true_divide(x, other)),
    "remainder": lambda x, other: x - floor(np.true_divide(x, other)) * other,
    "fmod": lambda x, other: x - trunc(np.true_divide(x, other)) * other,
    "hypot": lambda x, other: np.sqrt(x * x + other * other),
    "xlogy": lambda x, other: _times(x, np.log(other)),
    "special_xlog1py": lambda x, other: _times(x, np.log1p(other)),
    "special_entr": _entr,
    "heaviside": _heaviside,
    "sinc": _sinc,
    "logit": _logit,
    "deg2rad": lambda x: x * PI / 180,
    "rad2deg": lambda x: x * 180 / PI,
}

__all__ = ["EXACT", "MASKS", "NONE", "by_kind", "by_rank"]
