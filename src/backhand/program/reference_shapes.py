"""Views, movements and creation in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .reference import Array, Reference, numpy_dtype


def _permute(x: Array, dims: Sequence[int]) -> Array:
    return np.transpose(x, [d % x.ndim for d in dims] if x.ndim else [])


def _transpose(x: Array, dim0: int, dim1: int) -> Array:
    return np.swapaxes(x, dim0, dim1) if x.ndim else x


def _expand(x: Array, size: Sequence[int]) -> Array:
    extra = len(size) - x.ndim
    wanted = [x.shape[i - extra] if s == -1 and i >= extra else s for i, s in enumerate(size)]
    return np.broadcast_to(x, wanted)


def _unsqueeze(x: Array, dim: int) -> Array:
    return np.expand_dims(x, dim)


def _squeeze(x: Array, dim: Any) -> Array:
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return np.squeeze(x, tuple(d % x.ndim for d in dims if x.ndim and x.shape[d] == 1))


def _flatten(x: Array, start: int, end: int) -> Array:
    if x.ndim == 0:
        return x.reshape(1)
    first, last = start % x.ndim, end % x.ndim
    joined = int(np.prod(x.shape[first : last + 1]))
    return x.reshape(*x.shape[:first], joined, *x.shape[last + 1 :])


def sliced(dim: int, rank: int, start: Any, end: Any, step: int) -> tuple[slice, ...]:
    """The subscript that takes ``start:end:step`` of one axis."""
    return (slice(None),) * (dim % rank) + (slice(start, end, step),)


def _slice(x: Array, dim: int, start: Any, end: Any, step: int) -> Array:
    return np.asarray(x[sliced(dim, x.ndim, start, end, step)])


def _unfold(x: Array, dim: int, size: int, step: int) -> Array:
    if x.ndim == 0:
        return np.broadcast_to(x, (size,))
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=dim % x.ndim)
    return windows[sliced(dim, x.ndim, None, None, step)]


def _split_sizes(x: Array, sizes: Sequence[int], dim: int) -> tuple[Array, ...]:
    ends = np.cumsum(sizes)[:-1]
    return tuple(np.split(x, ends, axis=dim))


def _split(x: Array, size: Any, dim: int) -> tuple[Array, ...]:
    if isinstance(size, tuple):
        return _split_sizes(x, size, dim)
    n = x.shape[dim]
    sizes = [min(size, n - i) for i in range(0, n, size)] if n else [0]
    return _split_sizes(x, sizes, dim)


def _chunk(x: Array, chunks: int, dim: int) -> tuple[Array, ...]:
    n = x.shape[dim]
    return _split(x, max(-(-n // chunks), 1), dim) if n else _split_sizes(x, [0] * chunks, dim)


def _unbind(x: Array, dim: int) -> tuple[Array, ...]:
    return tuple(np.moveaxis(x, dim, 0))


def _cat(tensors: Sequence[Array], dim: int) -> Array:
    # torch lets an empty vector join anything
    return np.concatenate([t for t in tensors if t.shape != (0,)] or list(tensors), axis=dim)


def pad_widths(x: Array, pad: Sequence[int]) -> list[tuple[int, int]]:
    """Torch's ``pad``, last axis first, as (before, after) per axis."""
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    return [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]


def padded(x: Array, pad: Sequence[int], value: float) -> Array:
    """``x`` padded with a constant; negative widths cut off."""
    widths = pad_widths(x, pad)
    grown = [(max(a, 0), max(b, 0)) for a, b in widths]
    out = np.pad(x, grown, constant_values=value)
    cut = tuple(
        slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, out.shape, strict=True)
    )
    return out[cut]


def _roll(x: Array, shifts: Any, dims: Any) -> Array:
    if dims == ():
        return np.roll(x, shifts[0] if isinstance(shifts, tuple) else shifts)
    return np.roll(x, shifts, axis=dims)


def _repeat(x: Array, repeats: Sequence[int]) -> Array:
    return np.tile(x.reshape((1,) * (len(repeats) - x.ndim) + x.shape), repeats)


def _diag_embed(x: Array, offset: int, dim1: int, dim2: int) -> Array:
    n = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], n, n), dtype=x.dtype)
    i = np.arange(x.shape[-1])
    out[..., i + max(-offset, 0), i + max(offset, 0)] = x
    rank = x.ndim + 1
    return np.moveaxis(out, (-2, -1), (dim1 % rank, dim2 % rank))


def _dtype(dtype: str | None, default: Any) -> Any:
    return default if dtype is None else numpy_dtype(dtype)


def _arange(start: Any, end: Any, step: Any, dtype: str | None, device: Any) -> Array:
    if dtype is None:
        return np.arange(start, end, step)
    return np.arange(start, end, step, dtype=numpy_dtype(dtype))


def _full(size: Sequence[int], value: Any, dtype: str | None, device: Any) -> Array:
    return np.full(size, value, dtype=_dtype(dtype, None))


REFERENCES: dict[str, Reference] = {
    "view": lambda x, size: x.reshape(size),
    "reshape": lambda x, shape: x.reshape(shape),
    "permute": _permute,
    "transpose": _transpose,
    "t": np.transpose,
    "expand": _expand,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "flatten": _flatten,
    "slice": _slice,
    "select": lambda x, dim, index: np.take(x, index, axis=dim),
    "diagonal": np.diagonal,
    "unfold": _unfold,
    "split": _split,
    "split_with_sizes": _split_sizes,
    "chunk": _chunk,
    "unbind": _unbind,
    "cat": _cat,
    "stack": lambda tensors, dim: np.stack(tensors, axis=dim),
    "constant_pad_nd": padded,
    "flip": lambda x, dims: np.flip(x, dims),
    "roll": _roll,
    "rot90": lambda x, k, dims: np.rot90(x, k, dims),
    "repeat": _repeat,
    "diag_embed": _diag_embed,
    "arange": _arange,
    "full": _full,
    "to_device": lambda x, device: x,
    "zeros_like": np.zeros_like,
    "ones_like": np.ones_like,
    "full_like": lambda x, value: np.full_like(x, value),
    "new_zeros": lambda x, size: np.zeros(size, dtype=x.dtype),
    "eye": lambda n, m, dtype, device: np.eye(n, m, dtype=_dtype(dtype, np.float32)),
    "linspace": lambda start, end, steps, dtype, device: np.linspace(
        start, end, steps, dtype=_dtype(dtype, np.float32)
    ),
}
