"""Reductions, scans and sorting in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from .reference import Array, Reference, numpy_dtype


def axes(dim: Any, rank: int) -> tuple[int, ...]:
    """The axes that ``dim`` names, non-negative; ``None`` and ``()`` mean all."""
    if dim is None or dim == ():
        return tuple(range(rank))
    dims = dim if isinstance(dim, tuple) else (dim,)
    return tuple(d % rank for d in dims) if rank else ()


def _cast(x: Array, dtype: str | None) -> Array:
    if dtype is not None:
        return x.astype(numpy_dtype(dtype))
    return x.astype(np.int64) if x.dtype.kind in "bui" else x


def _sum(x: Array, dim: Any, keepdim: bool, dtype: str | None) -> Array:
    return np.asarray(np.sum(_cast(x, dtype), axis=axes(dim, x.ndim), keepdims=keepdim))


def _nansum(x: Array, dim: Any, keepdim: bool, dtype: str | None) -> Array:
    return _sum(np.where(np.isnan(x), 0, x), dim, keepdim, dtype)


def _mean(x: Array, dim: Any, keepdim: bool, dtype: str | None) -> Array:
    n = np.prod([x.shape[a] for a in axes(dim, x.ndim)])
    return np.asarray(_sum(x, dim, keepdim, dtype) / n)


def _prod(x: Array, dim: Any, keepdim: bool, dtype: str | None) -> Array:
    return np.asarray(np.prod(_cast(x, dtype), axis=axes(dim, x.ndim), keepdims=keepdim))


def var(x: Array, dim: Any, correction: float, keepdim: bool) -> Array:
    over = axes(dim, x.ndim)
    n = np.prod([x.shape[a] for a in over])
    centred = x - np.mean(x, axis=over, keepdims=True)
    freedom = max(n - correction, 0)
    return np.asarray(np.sum(centred**2, axis=over, keepdims=keepdim) / np.float64(freedom))


def _with_mean(spread: Any) -> Reference:
    def both(x: Array, dim: Any, correction: float, keepdim: bool) -> tuple[Array, Array]:
        return spread(x, dim, correction, keepdim), _mean(x, dim, keepdim, None)

    return both


def _std(x: Array, dim: Any, correction: float, keepdim: bool) -> Array:
    return np.asarray(np.sqrt(var(x, dim, correction, keepdim)))


def _extremum(function: Any) -> Reference:
    return lambda x, dim, keepdim: function(x, axis=axes(dim, x.ndim), keepdims=keepdim)


def _picked(x: Array, at: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    """The elements of ``x`` at the indices ``at`` (kept along ``dim``), and the indices."""
    if x.ndim == 0:
        return x, np.zeros((), dtype=np.int64)
    values = np.take_along_axis(x, at, axis=dim)
    if keepdim:
        return values, at
    return np.squeeze(values, dim), np.squeeze(at, dim)


def _extremum_dim(arg: Any) -> Reference:
    def both(x: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
        at = np.zeros((), dtype=np.int64) if x.ndim == 0 else arg(x, axis=dim, keepdims=True)
        return _picked(x, at, dim, keepdim)

    return both


def _arg(function: Any) -> Reference:
    def one(x: Array, dim: Any, keepdim: bool) -> Array:
        if x.ndim == 0:
            return np.zeros((), dtype=np.int64)
        return np.asarray(function(x, axis=dim, keepdims=keepdim))

    return one


def logsumexp(x: Array, dim: Any, keepdim: bool) -> Array:
    over = axes(dim, x.ndim)
    top = np.max(x, axis=over, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    out = np.log(np.sum(np.exp(x - top), axis=over, keepdims=True)) + top
    return np.asarray(out if keepdim else np.squeeze(out, over))


def vector_norm(x: Array, order: Any, dim: Any, keepdim: bool, dtype: Any = None) -> Array:
    over = axes(dim, x.ndim)
    size = np.abs(_cast(x, dtype))
    if order == np.inf:
        return np.asarray(np.max(size, axis=over, keepdims=keepdim))
    if order == -np.inf:
        return np.asarray(np.min(size, axis=over, keepdims=keepdim))
    if order == 0:
        return np.asarray(np.sum(size != 0, axis=over, keepdims=keepdim).astype(size.dtype))
    total = np.sum(size**order, axis=over, keepdims=keepdim)
    return np.asarray(total ** (1 / order))


def _scan(function: Any) -> Reference:
    def scan(x: Array, dim: int, dtype: str | None) -> Array:
        return np.asarray(x if x.ndim == 0 else function(_cast(x, dtype), axis=dim))

    return scan


def _logcumsumexp(x: Array, dim: int) -> Array:
    return x if x.ndim == 0 else np.logaddexp.accumulate(x, axis=dim)


def _running(better: Any) -> Reference:
    """Running extrema along an axis with where they stand: the latest of equal ones."""

    def both(x: Array, dim: int) -> tuple[Array, Array]:
        if x.ndim == 0:
            return x, np.zeros((), dtype=np.int64)
        rows = np.moveaxis(x, dim, 0)
        at = np.zeros(rows.shape, dtype=np.int64)
        best = rows.copy()
        for i in range(1, len(rows)):
            take = better(rows[i], best[i - 1]) | np.isnan(rows[i])
            take &= ~np.isnan(best[i - 1]) | np.isnan(rows[i])
            best[i] = np.where(take, rows[i], best[i - 1])
            at[i] = np.where(take, i, at[i - 1])
        return np.moveaxis(best, 0, dim), np.moveaxis(at, 0, dim)

    return both


def _order(x: Array, dim: int, descending: bool) -> Array:
    if x.ndim == 0:
        return np.zeros((), dtype=np.int64)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    n = x.shape[dim]
    return n - 1 - np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)


def _sort(x: Array, dim: int, descending: bool, stable: bool) -> tuple[Array, Array]:
    return _picked(x, _order(x, dim, descending), dim, True)


def _topk(x: Array, k: int, dim: int, largest: bool, ordered: bool) -> tuple[Array, Array]:
    if x.ndim == 0:
        return x, np.zeros((), dtype=np.int64)
    at = np.take(_order(x, dim, largest), range(k), axis=dim)
    return _picked(x, at, dim, True)


def _nth(rank: Any, ignore_nan: bool) -> Reference:
    """The element of a given rank along an axis: ``rank`` of how many elements count."""

    def both(x: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
        if x.ndim == 0:
            return x, np.zeros((), dtype=np.int64)
        order = np.argsort(x, axis=dim, kind="stable")
        nans = np.sum(np.isnan(x), axis=dim, keepdims=True)
        n = x.shape[dim]
        at = rank(n - nans) if ignore_nan else np.where(nans > 0, n - nans, rank(n - 0 * nans))
        return _picked(x, np.take_along_axis(order, np.maximum(at, 0), axis=dim), dim, keepdim)

    return both


def _middle(n: Array) -> Array:
    return (n - 1) // 2


def _whole(function: Reference) -> Reference:
    return lambda x: function(x.reshape(-1), 0, False)[0]


def _kthvalue(x: Array, k: int, dim: int, keepdim: bool) -> tuple[Array, Array]:
    out: tuple[Array, Array] = _nth(lambda n: 0 * n + k - 1, False)(x, dim, keepdim)
    return out


def _mode(x: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    """The smallest of the most frequent elements, and the last place where it stands."""
    if x.ndim == 0:
        return x, np.zeros((), dtype=np.int64)
    rows = np.moveaxis(x, dim, -1)
    at = np.zeros((*rows.shape[:-1], 1), dtype=np.int64)
    for i in np.ndindex(rows.shape[:-1]):
        values, counts = np.unique(rows[i], return_counts=True)
        at[i] = np.flatnonzero(rows[i] == values[np.argmax(counts)])[-1]
    return _picked(x, np.moveaxis(at, -1, dim), dim, keepdim)


def _aminmax(x: Array, dim: Any, keepdim: bool) -> tuple[Array, Array]:
    over = axes(dim, x.ndim)
    return np.min(x, axis=over, keepdims=keepdim), np.max(x, axis=over, keepdims=keepdim)


def _truth(function: Any) -> Reference:
    return lambda x, dim, keepdim: function(x, axis=axes(dim, x.ndim), keepdims=keepdim)


def _renorm(x: Array, p: float, dim: int, maxnorm: float) -> Array:
    others = tuple(a for a in range(x.ndim) if a != dim % x.ndim)
    norm = vector_norm(x, p, others, True)
    return np.asarray(x * np.where(norm > maxnorm, maxnorm / (norm + 1e-7), 1.0))


def _euclidean(x1: Array, x2: Array) -> Array:
    gaps = x1[..., :, None, :] - x2[..., None, :, :]
    return np.asarray(np.sqrt(np.sum(gaps**2, axis=-1)))


REFERENCES: dict[str, Reference] = {
    "sum": _sum,
    "mean": _mean,
    "nansum": _nansum,
    "prod": _prod,
    "var": var,
    "std": _std,
    "var_mean": _with_mean(var),
    "std_mean": _with_mean(_std),
    "amax": _extremum(np.max),
    "amin": _extremum(np.min),
    "max": np.max,
    "min": np.min,
    "aminmax": _aminmax,
    "max_dim": _extremum_dim(np.argmax),
    "min_dim": _extremum_dim(np.argmin),
    "argmax": _arg(np.argmax),
    "argmin": _arg(np.argmin),
    "logsumexp": logsumexp,
    "vector_norm": vector_norm,
    "cumsum": _scan(np.cumsum),
    "cumprod": _scan(np.cumprod),
    "logcumsumexp": _logcumsumexp,
    "cummax": _running(np.greater_equal),
    "cummin": _running(np.less_equal),
    "any": _truth(np.any),
    "all": _truth(np.all),
    "count_nonzero": lambda x, dim: np.sum(x != 0, axis=axes(dim, x.ndim)),
    "sort": _sort,
    "argsort": _order,
    "topk": _topk,
    "median": _whole(_nth(_middle, False)),
    "nanmedian": _whole(_nth(_middle, True)),
    "median_dim": _nth(_middle, False),
    "nanmedian_dim": _nth(_middle, True),
    "kthvalue": _kthvalue,
    "mode": _mode,
    "dist": lambda x, other, p: vector_norm(x - other, p, None, False),
    "euclidean_dist": _euclidean,
    "renorm": _renorm,
}
