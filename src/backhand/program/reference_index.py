"""Indexing, gathering and scattering in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from .reference import Array, Reference
from .reference_shapes import sliced


def subscript(indices: tuple[Any, ...]) -> tuple[Any, ...]:
    """Indices as NumPy takes them: None stands for a whole axis."""
    return tuple(slice(None) if i is None else i for i in indices)


def _index(x: Array, indices: tuple[Any, ...]) -> Array:
    return np.asarray(x[subscript(indices)])


def index_put(x: Array, indices: tuple[Any, ...], values: Array, accumulate: bool) -> Array:
    out = np.array(x)
    if accumulate:
        np.add.at(out, subscript(indices), values)
    else:
        out[subscript(indices)] = values
    return out


def places(index: Array, dim: int) -> tuple[Array, ...]:
    """The subscript of what ``gather`` along ``dim`` reads."""
    grid = list(np.indices(index.shape, sparse=False))
    if grid:
        grid[dim % index.ndim] = index
    return tuple(grid)


def _gather(x: Array, dim: int, index: Array) -> Array:
    return np.asarray(x[places(index, dim)]) if x.ndim else np.broadcast_to(x, index.shape)


def _scatter(accumulate: bool) -> Reference:
    def write(x: Array, dim: int, index: Array, src: Any) -> Array:
        values = src if np.ndim(src) == 0 else src[tuple(slice(n) for n in index.shape)]
        if x.ndim == 0:
            return np.asarray(x + values if accumulate else values).reshape(())
        return index_put(x, places(index, dim), values, accumulate)

    return write


def _along(dim: int, index: Array, rank: int) -> tuple[Any, ...]:
    return (slice(None),) * (dim % rank) + (np.atleast_1d(index),)


def _index_select(x: Array, dim: int, index: Array) -> Array:
    return x if x.ndim == 0 else np.take(x, np.atleast_1d(index), axis=dim)


def _index_add(x: Array, dim: int, index: Array, source: Array, alpha: float) -> Array:
    if x.ndim == 0:
        return np.asarray(x + alpha * np.sum(source))
    return index_put(x, _along(dim, index, x.ndim), alpha * source, True)


def _index_copy(x: Array, dim: int, index: Array, source: Array) -> Array:
    if x.ndim == 0:
        return np.asarray(source).reshape(())
    return index_put(x, _along(dim, index, x.ndim), source, False)


def _index_fill(x: Array, dim: int, index: Array, value: Any) -> Array:
    if x.ndim == 0:
        return np.asarray(value).reshape(())
    return index_put(x, _along(dim, index, x.ndim), value, False)


def _put(x: Array, index: Array, source: Array, accumulate: bool) -> Array:
    return index_put(x.reshape(-1), (index,), source, accumulate).reshape(x.shape)


def _embedding_backward(
    g: Array, indices: Array, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Array:
    out = np.zeros((num_weights, g.shape[-1]), dtype=g.dtype)
    flat = indices.reshape(-1)
    rows = g.reshape(-1, g.shape[-1])
    counts = np.bincount(flat, minlength=num_weights)
    for row, at in zip(rows, flat, strict=True):
        if at != padding_idx:
            out[at] += row / counts[at] if scale_grad_by_freq else row
    return out


def _one_hot(x: Array, classes: int) -> Array:
    n = int(x.max()) + 1 if classes == -1 else classes
    return (x[..., None] == np.arange(n)).astype(np.int64)


def _slice_scatter(x: Array, src: Array, dim: int, start: Any, end: Any, step: int) -> Array:
    out = np.array(x)
    out[sliced(dim, x.ndim, start, end, step)] = src
    return out


def _select_scatter(x: Array, src: Array, dim: int, index: int) -> Array:
    out = np.array(x)
    out[(slice(None),) * (dim % x.ndim) + (index,)] = src
    return out


def _diagonal_scatter(x: Array, src: Array, offset: int, dim1: int, dim2: int) -> Array:
    out = np.array(x)
    view = np.moveaxis(out, (dim1, dim2), (-2, -1))
    i = np.arange(src.shape[-1])
    view[..., i + max(-offset, 0), i + max(offset, 0)] = src
    return out


def _masked_scatter(x: Array, mask: Array, source: Array) -> Array:
    out = np.array(np.broadcast_to(x, np.broadcast_shapes(x.shape, mask.shape)))
    where = np.broadcast_to(mask, out.shape)
    out[where] = source.reshape(-1)[: int(where.sum())]
    return out


def _unfold_backward(g: Array, sizes: tuple[int, ...], dim: int, size: int, step: int) -> Array:
    out = np.zeros(sizes, dtype=g.dtype)
    if out.ndim == 0:
        return np.asarray(g.sum())
    axis = dim % out.ndim
    for i in range(g.shape[axis]):
        window = sliced(axis, out.ndim, i * step, i * step + size, 1)
        out[window] += np.moveaxis(np.take(g, i, axis=axis), -1, axis)
    return out


_JOIN: dict[str, Any] = {
    "sum": (np.add, 0.0),
    "mean": (np.add, 0.0),
    "prod": (np.multiply, 1.0),
    "amax": (np.maximum, -np.inf),
    "amin": (np.minimum, np.inf),
}


def _reduce_at(whole: bool) -> Reference:
    def reduce(
        x: Array, dim: int, index: Array, src: Array, reduce: str, include_self: bool
    ) -> Array:
        at = places(index, dim) if whole else _along(dim, index, x.ndim)
        values = src[tuple(slice(n) for n in index.shape)] if whole else src
        join, neutral = _JOIN[reduce]
        out = np.array(x)
        if not include_self:
            out[at] = neutral
        join.at(out, at, values)
        if reduce == "mean":
            count = np.zeros_like(out)
            np.add.at(count, at, np.ones_like(values))
            out = out / np.maximum(count + include_self, 1)
        return out

    return reduce


REFERENCES: dict[str, Reference] = {
    "index": _index,
    "index_put": index_put,
    "index_put_at": index_put,
    "gather": _gather,
    "index_select": _index_select,
    "index_add": _index_add,
    "index_copy": _index_copy,
    "index_fill": _index_fill,
    "take": lambda x, index: x.reshape(-1)[index],
    "put": _put,
    "scatter": _scatter(False),
    "scatter_add": _scatter(True),
    "embedding": lambda weight, indices, padding_idx, scale, sparse: weight[indices],
    "embedding_backward": _embedding_backward,
    "one_hot": _one_hot,
    "slice_scatter": _slice_scatter,
    "select_scatter": _select_scatter,
    "diagonal_scatter": _diagonal_scatter,
    "scatter_reduce": _reduce_at(True),
    "index_reduce": _reduce_at(False),
    "masked_scatter": _masked_scatter,
    "unfold_backward": _unfold_backward,
}
