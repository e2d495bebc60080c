"""Convolutions, pooling, interpolation and padding at the edges in NumPy, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import ProgramError
from .reference import Array, Reference
from .reference_shapes import pad_widths


def tuple_of(value: Any, n: int) -> tuple[Any, ...]:
    """One number per axis: ``value`` may be a single one, or a tuple of one."""
    if isinstance(value, tuple) and len(value) > 1:
        return value
    return (value[0] if isinstance(value, tuple) else value,) * n


# Convolutions: one slice of the padded input for every place in the kernel.


class _Conv:
    """How a convolution's windows lie: kernel size, stride, padding and dilation per axis."""

    def __init__(
        self, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int
    ) -> None:
        n = len(kernel)
        self.kernel = tuple(kernel)
        self.stride = tuple_of(stride, n)
        self.dilation = tuple_of(dilation, n)
        self.groups = groups
        reach = [d * (k - 1) for k, d in zip(kernel, self.dilation, strict=True)]
        if padding == "same":
            self.padding = tuple((r // 2, r - r // 2) for r in reach)
        else:
            widths = tuple_of(0 if padding == "valid" else padding, n)
            self.padding = tuple((p, p) for p in widths)
        self.reach = reach

    def out_size(self, size: Sequence[int]) -> tuple[int, ...]:
        return tuple(
            (s + a + b - r - 1) // step + 1
            for s, (a, b), r, step in zip(size, self.padding, self.reach, self.stride, strict=True)
        )

    def padded(self, x: Array) -> Array:
        return np.pad(x, [(0, 0), (0, 0), *self.padding])

    def windows(self, out: Sequence[int]) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
        """Every place in the kernel, with the subscript of what it meets in the padded input."""
        for place in np.ndindex(self.kernel):
            cuts = tuple(
                slice(at * d, at * d + step * (o - 1) + 1, step)
                for at, d, step, o in zip(place, self.dilation, self.stride, out, strict=True)
            )
            yield place, (slice(None), slice(None), *cuts)

    def split(self, x: Array) -> Array:
        """[N, C, ...] as [N, groups, C / groups, ...]."""
        return x.reshape(x.shape[0], self.groups, -1, *x.shape[2:])

    def forward(self, x: Array, weight: Array) -> Array:
        out = self.out_size(x.shape[2:])
        wide = self.padded(x)
        w = weight.reshape(self.groups, -1, *weight.shape[1:])
        total = np.zeros((x.shape[0], self.groups, w.shape[1], *out), dtype=x.dtype)
        for place, cut in self.windows(out):
            total += np.einsum("ngc...,goc->ngo...", self.split(wide[cut]), w[(..., *place)])
        return total.reshape(x.shape[0], weight.shape[0], *out)

    def to_input(self, g: Array, weight: Array, size: Sequence[int]) -> Array:
        """The adjoint in ``x``: every upstream goes back to what its window met."""
        whole = [s + a + b for s, (a, b) in zip(size[2:], self.padding, strict=True)]
        wide = np.zeros((size[0], size[1], *whole), dtype=g.dtype)
        w = weight.reshape(self.groups, -1, *weight.shape[1:])
        for place, cut in self.windows(g.shape[2:]):
            back = np.einsum("ngo...,goc->ngc...", self.split(g), w[(..., *place)])
            wide[cut] += back.reshape(wide[cut].shape)
        return self.inner(wide, size[2:])

    def inner(self, wide: Array, size: Sequence[int]) -> Array:
        """The padded input without its padding."""
        cuts = [slice(a, a + s) for s, (a, _) in zip(size, self.padding, strict=True)]
        return wide[(slice(None), slice(None), *cuts)]

    def to_weight(self, g: Array, x: Array, size: Sequence[int]) -> Array:
        """The adjoint in the weight: the upstream against what each place met."""
        wide = self.padded(x)
        out: Array = np.zeros((self.groups, size[0] // self.groups, *size[1:]), dtype=g.dtype)
        for place, cut in self.windows(g.shape[2:]):
            a, b = self.split(g), self.split(wide[cut])
            axes = "xyz"[: g.ndim - 2]
            out[(..., *place)] = np.einsum(f"ngo{axes},ngc{axes}->goc", a, b)
        return out.reshape(size)


def _batched(x: Array, weight: Array) -> tuple[Array, bool]:
    return (x, False) if x.ndim == weight.ndim else (x[None], True)


def _plus_bias(y: Array, bias: Any, alone: bool) -> Array:
    if bias is not None:
        y = y + bias.reshape(1, -1, *(1,) * (y.ndim - 2))
    return y[0] if alone else y


def _convolution(
    x: Array, weight: Array, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    x, alone = _batched(x, weight)
    how = _Conv(weight.shape[2:], stride, padding, dilation, groups)
    return _plus_bias(how.forward(x, weight), bias, alone)


def _transposed(
    x: Array, weight: Array, bias: Any, stride: Any, padding: Any, extra: Any, groups: int,
    dilation: Any,
) -> Array:
    x, alone = _batched(x, weight)
    how = _Conv(weight.shape[2:], stride, padding, dilation, groups)
    sizes = [
        (n - 1) * s - a - b + r + e + 1
        for n, s, (a, b), r, e in zip(
            x.shape[2:], how.stride, how.padding, how.reach, tuple_of(extra, x.ndim - 2),
            strict=True,
        )
    ]
    size = (x.shape[0], weight.shape[1] * groups, *sizes)
    return _plus_bias(how.to_input(x, weight, size), bias, alone)


def _convolution_backward(
    g: Array, x: Array, weight: Array, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, extra: Any, groups: int, mask: tuple[bool, ...],
) -> tuple[Any, Any, Any]:
    how = _Conv(weight.shape[2:], stride, padding, dilation, groups)
    dx = dw = db = None
    if mask[0]:
        dx = how.forward(g, weight) if transposed else how.to_input(g, weight, x.shape)
    if mask[1]:
        wide, narrow = (g, x) if transposed else (x, g)
        dw = how.to_weight(narrow, wide, weight.shape)
    if mask[2]:
        db = np.sum(g, axis=(0, *range(2, g.ndim)))
    return dx, dw, db


def _conv_input(
    size: Any, weight: Array, g: Array, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return _Conv(weight.shape[2:], stride, padding, dilation, groups).to_input(g, weight, size)


def _conv_weight(
    x: Array, size: Any, g: Array, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    return _Conv(size[2:], stride, padding, dilation, groups).to_weight(g, x, size)


def _im2col(x: Array, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Array:
    alone = x.ndim == 3
    x = x[None] if alone else x
    how = _Conv(tuple_of(kernel, 2), stride, padding, dilation, 1)
    out = how.out_size(x.shape[2:])
    wide = how.padded(x)
    columns = [wide[cut].reshape(*x.shape[:2], 1, -1) for _, cut in how.windows(out)]
    y = np.concatenate(columns, axis=2).reshape(x.shape[0], -1, math.prod(out))
    return y[0] if alone else y


def _col2im(
    x: Array, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> Array:
    alone = x.ndim == 2
    x = x[None] if alone else x
    how = _Conv(tuple_of(kernel, 2), stride, padding, dilation, 1)
    out = how.out_size(size)
    channels = x.shape[1] // math.prod(how.kernel)
    whole = [s + a + b for s, (a, b) in zip(size, how.padding, strict=True)]
    wide = np.zeros((x.shape[0], channels, *whole), dtype=x.dtype)
    columns = x.reshape(x.shape[0], channels, -1, *out)
    for k, (_, cut) in enumerate(how.windows(out)):
        wide[cut] += columns[:, :, k]
    y = how.inner(wide, size)
    return y[0] if alone else y


# Averages and interpolation: each output mixes inputs along one axis at a time.


def along(x: Array, matrices: Sequence[Array]) -> Array:
    """Each of the last axes multiplied by a matrix [out, in]."""
    for k, matrix in enumerate(reversed(matrices), 1):
        x = np.moveaxis(np.tensordot(matrix, x, axes=([1], [x.ndim - k])), 0, x.ndim - k)
    return x


def transposed(matrices: Sequence[Array]) -> list[Array]:
    return [m.T for m in matrices]


def pooled_size(n: int, k: int, s: int, p: int, d: int, ceil: bool) -> int:
    """How many windows there are along an axis of length ``n``."""
    steps = (n + 2 * p - d * (k - 1) - 1) / s
    out = (math.ceil(steps) if ceil else math.floor(steps)) + 1
    return out - 1 if ceil and (out - 1) * s >= n + p else out


def _averages(n: int, k: int, s: int, p: int, ceil: bool, include_pad: bool, raw: bool) -> Array:
    out = np.zeros((pooled_size(n, k, s, p, 1, ceil), n))
    for o, row in enumerate(out):
        start = o * s - p
        end = min(start + k, n + p)
        low, high = max(start, 0), min(end, n)
        row[low:high] = 1 / (1 if raw else end - start if include_pad else high - low)
    return out


def _average_matrices(size: Sequence[int], kernel: Any, stride: Any, padding: Any, ceil: bool,
                      include_pad: bool, divisor: Any) -> list[Array]:
    n = len(size)
    k = tuple_of(kernel, n)
    s, p = k if stride in ((), None) else tuple_of(stride, n), tuple_of(padding, n)
    out = [_averages(*axis, ceil, include_pad, divisor is not None)
           for axis in zip(size, k, s, p, strict=True)]
    return out if divisor is None else [out[0] / divisor, *out[1:]]


def _avg_pool(n: int) -> Reference:
    return lambda x, *how: along(x, _average_matrices(x.shape[-n:], *how))


def _avg_pool_backward(n: int) -> Reference:
    return lambda g, x, *how: along(g, transposed(_average_matrices(x.shape[-n:], *how)))


def _spans(n: int, out: int) -> list[tuple[int, int]]:
    return [(o * n // out, -(-(o + 1) * n // out)) for o in range(out)]


def _adaptive(size: Sequence[int], out: Sequence[Any]) -> list[Array]:
    matrices = []
    for n, m in zip(size, out, strict=True):
        matrix = np.zeros((n if m is None else m, n))
        for row, (low, high) in zip(matrix, _spans(n, len(matrix)), strict=True):
            row[low:high] = 1 / (high - low)
        matrices.append(matrix)
    return matrices


def _adaptive_avg(n: int) -> Reference:
    return lambda x, out: along(x, _adaptive(x.shape[-n:], tuple_of(out, n)))


def _adaptive_avg_backward(n: int) -> Reference:
    return lambda g, x: along(g, transposed(_adaptive(x.shape[-n:], g.shape[-n:])))


def _cubic(t: float) -> list[float]:
    a = -0.75

    def near(x: float) -> float:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: float) -> float:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def mixing(n: int, out: int, mode: str, align: bool, scale: float | None) -> Array:
    """The matrix [out, n] of an interpolation along one axis; ``scale`` is the factor asked for."""
    step = n / out if not scale else 1 / scale
    if align:
        step = (n - 1) / (out - 1) if out > 1 else 0.0
    matrix = np.zeros((out, n))
    for o, row in enumerate(matrix):
        if mode == "nearest":
            row[min(math.floor(o * step), n - 1)] = 1
        elif mode == "nearest-exact":
            row[min(math.floor((o + 0.5) * step), n - 1)] = 1
        else:
            at = o * step if align else (o + 0.5) * step - 0.5
            if mode != "bicubic":
                at = max(at, 0.0)
            base = math.floor(at)
            weights = _cubic(at - base) if mode == "bicubic" else [1 - (at - base), at - base]
            first = base - 1 if mode == "bicubic" else base
            for k, weight in enumerate(weights):
                row[min(max(first + k, 0), n - 1)] += weight
    return matrix


def _interpolate(
    x: Array, size: Any, factor: Any, mode: str, align: Any, antialias: bool
) -> Array:
    if antialias:
        raise ProgramError("interpolate has no reference with antialias=True")
    n = x.ndim - 2
    scales = (None,) * n if factor is None else tuple_of(factor, n)
    if size is None:
        out = tuple(math.floor(s * f) for s, f in zip(x.shape[2:], scales, strict=True))
    else:
        out = tuple_of(size, n)
    return along(x, [mixing(a, b, mode, bool(align), f)
                     for a, b, f in zip(x.shape[2:], out, scales, strict=True)])


def _upsample_backward(mode: str, aligned: bool) -> Reference:
    def backward(g: Array, out: Any, size: Any, *rest: Any) -> Array:
        align, scales = (rest[0], rest[1:]) if aligned else (False, rest)
        return along(g, [mixing(a, b, mode, align, f).T
                         for a, b, f in zip(size[2:], out, scales, strict=True)])

    return backward


# Maxima.


def _windows_max(x: Array, spans: Sequence[Sequence[Sequence[int]]]) -> tuple[Array, Array]:
    """The maximum of every window and its flat place; ``spans`` lists the places per axis."""
    n = len(spans)
    shape = x.shape[-n:]
    flat = x.reshape(-1, math.prod(shape))
    out = tuple(len(s) for s in spans)
    values = np.zeros((len(flat), *out), dtype=x.dtype)
    indices = np.zeros((len(flat), *out), dtype=np.int64)
    for o in np.ndindex(out):
        axes = np.ix_(*(np.array(spans[k][at]) for k, at in enumerate(o)))
        places = np.ravel_multi_index(axes, shape).ravel()
        best = np.argmax(flat[:, places], axis=1)
        indices[(slice(None), *o)] = places[best]
        values[(slice(None), *o)] = flat[np.arange(len(flat)), places[best]]
    lead = x.shape[:-n]
    return values.reshape(*lead, *out), indices.reshape(*lead, *out)


def _max_pool(n: int) -> Reference:
    def pool(x: Array, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> Any:
        k = tuple_of(kernel, n)
        s = k if stride in ((), None) else tuple_of(stride, n)
        p, d = tuple_of(padding, n), tuple_of(dilation, n)
        spans = []
        for size, ki, si, pi, di in zip(x.shape[-n:], k, s, p, d, strict=True):
            starts = [o * si - pi for o in range(pooled_size(size, ki, si, pi, di, ceil))]
            spans.append([[i for i in range(a, a + di * ki, di) if 0 <= i < size] for a in starts])
        return _windows_max(x, spans)

    return pool


def _adaptive_max(n: int) -> Reference:
    def pool(x: Array, out: Any) -> tuple[Array, Array]:
        sizes = zip(x.shape[-n:], tuple_of(out, n), strict=True)
        return _windows_max(x, [[range(*span) for span in _spans(a, b)] for a, b in sizes])

    return pool


def _to_places(g: Array, indices: Array, lead: int, size: Sequence[int], add: bool) -> Array:
    out = np.zeros((math.prod(g.shape[:lead]), math.prod(size)), dtype=g.dtype)
    rows = np.arange(len(out))[:, None]
    subscript = (rows, indices.reshape(len(out), -1))
    if add:
        np.add.at(out, subscript, g.reshape(len(out), -1))
    else:
        out[subscript] = g.reshape(len(out), -1)
    return out.reshape(*g.shape[:lead], *size)


def _max_backward(n: int) -> Reference:
    return lambda g, x, *how: _to_places(g, how[-1], x.ndim - n, x.shape[-n:], True)


def _unpool(x: Array, indices: Array, size: Any, *how: Any) -> Array:
    return _to_places(x, indices, x.ndim - len(size), size, False)


# Padding, and rearranging pixels.

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pad_edges(x: Array, pad: Sequence[int], mode: str) -> Array:
    kind: Any = _MODES[mode]
    return np.asarray(np.pad(x, pad_widths(x, pad), mode=kind))


def _pad_backward(mode: str) -> Reference:
    def backward(g: Array, x: Array, pad: Sequence[int]) -> Array:
        places = _pad_edges(np.arange(x.size).reshape(x.shape), pad, mode)
        out = np.zeros(x.size, dtype=g.dtype)
        np.add.at(out, places.ravel(), g.ravel())
        return out.reshape(x.shape)

    return backward


def _pixel_shuffle(x: Array, r: int) -> Array:
    *lead, c, h, w = x.shape
    y = x.reshape(*lead, c // (r * r), r, r, h, w)
    k = len(lead)
    y = np.transpose(y, (*range(k + 1), k + 3, k + 1, k + 4, k + 2))
    return y.reshape(*lead, c // (r * r), h * r, w * r)


def _pixel_unshuffle(x: Array, r: int) -> Array:
    *lead, c, h, w = x.shape
    y = x.reshape(*lead, c, h // r, r, w // r, r)
    k = len(lead)
    y = np.transpose(y, (*range(k + 1), k + 2, k + 4, k + 1, k + 3))
    return y.reshape(*lead, c * r * r, h // r, w // r)


def _channel_shuffle(x: Array, groups: int) -> Array:
    n, c = x.shape[:2]
    return np.swapaxes(x.reshape(n, groups, c // groups, *x.shape[2:]), 1, 2).reshape(x.shape)


def _base_grid(size: Sequence[int], align: bool) -> Array:
    """The points of a grid from -1 to 1, last axis first, with a 1 behind: [..., rank + 1]."""
    axes = []
    for n in size[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        axes.append(line if align else line * (n - 1) / n)
    points = np.meshgrid(*axes, indexing="ij")
    return np.stack([*points[::-1], np.ones_like(points[0])], axis=-1)


def _affine_grid(theta: Array, size: Sequence[int], align: Any) -> Array:
    base = _base_grid(size, bool(align))
    return np.einsum("...k,nik->n...i", base, theta)


def _affine_grid_backward(g: Array, size: Sequence[int], align: Any) -> Array:
    base = _base_grid(size, bool(align))
    k = base.shape[-1]
    return np.einsum("pk,npi->nik", base.reshape(-1, k), g.reshape(g.shape[0], -1, k - 1))


REFERENCES: dict[str, Reference] = {
    **{f"convolution{n}d": _convolution for n in (1, 2, 3)},
    **{f"transposed{n}d": _transposed for n in (1, 2, 3)},
    **{f"conv{n}d_input": _conv_input for n in (1, 2, 3)},
    **{f"conv{n}d_weight": _conv_weight for n in (1, 2, 3)},
    "convolution_backward": _convolution_backward,
    "im2col": _im2col,
    "col2im": _col2im,
    **{f"avg_pool{n}d": _avg_pool(n) for n in (2, 3)},
    **{f"avg_pool{n}d_backward": _avg_pool_backward(n) for n in (2, 3)},
    **{f"_adaptive_avg_pool{n}d": _adaptive_avg(n) for n in (2, 3)},
    **{f"adaptive_avg_pool{n}d_backward": _adaptive_avg_backward(n) for n in (2, 3)},
    **{f"max_pool{n}d_with_indices": _max_pool(n) for n in (2, 3)},
    **{f"max_pool{n}d_backward": _max_backward(n) for n in (2, 3)},
    **{f"adaptive_max_pool{n}d": _adaptive_max(n) for n in (2, 3)},
    **{f"adaptive_max_pool{n}d_backward": _max_backward(n) for n in (2, 3)},
    **{f"max_unpool{n}d": _unpool for n in (2, 3)},
    "interpolate": _interpolate,
    **{f"upsample_nearest{n}d_backward": _upsample_backward("nearest", False) for n in (1, 2, 3)},
    **{
        f"_upsample_nearest_exact{n}d_backward": _upsample_backward("nearest-exact", False)
        for n in (1, 2, 3)
    },
    "upsample_linear1d_backward": _upsample_backward("linear", True),
    "upsample_bilinear2d_backward": _upsample_backward("bilinear", True),
    "upsample_bicubic2d_backward": _upsample_backward("bicubic", True),
    "upsample_trilinear3d_backward": _upsample_backward("trilinear", True),
    "pad_edges": _pad_edges,
    **{f"reflection_pad{n}d_backward": _pad_backward("reflect") for n in (1, 2, 3)},
    **{f"replication_pad{n}d_backward": _pad_backward("replicate") for n in (1, 2, 3)},
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "channel_shuffle": _channel_shuffle,
    "affine_grid_generator": _affine_grid,
    "affine_grid_generator_backward": _affine_grid_backward,
}
