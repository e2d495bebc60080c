# mypy: ignore-errors
"""Functions that an emitted NumPy or JAX module brings along; their text is copied into it.

They update nothing in place, so that JAX can trace them; ``np`` stands for ``jax.numpy`` there. A
name before a double underscore is for one library only: ``numpy__add_at`` becomes ``_add_at``.
"""

import itertools
import math

import numpy as np

jax = sp = None  # imported by the module that the text is copied into
_add_at = _put_at = _conv = None  # there, the library's own of those below


def numpy__add_at(x, index, values):
    out = np.array(x)
    np.add.at(out, index, values)
    return out


def jax__add_at(x, index, values):
    return x.at[index].add(values)


def numpy__put_at(x, index, values):
    out = np.array(x)
    out[index] = values
    return out


def jax__put_at(x, index, values):
    return x.at[index].set(values)


def _places(index, axis):
    """The subscript of what an index along one axis picks."""
    grid = list(np.indices(index.shape))
    grid[axis] = index
    return tuple(grid)


def _diagonal_scatter(x, src, offset=0, dim1=0, dim2=1):
    if not src.size:
        return x
    moved = np.moveaxis(x, (dim1, dim2), (-2, -1))
    row = np.clip(np.arange(moved.shape[-2]) + min(offset, 0), 0, src.shape[-1] - 1)
    on = np.eye(*moved.shape[-2:], offset, dtype=bool)
    return np.moveaxis(np.where(on, src[..., row, None], moved), (-2, -1), (dim1, dim2))


def _linalg_solve_triangular(x, B, upper, left=True, unitriangular=False):
    one = np.eye(x.shape[-1], dtype=x.dtype)
    x = np.triu(x) if upper else np.tril(x)
    x = np.where(one == 1, one, x) if unitriangular else x
    if left:
        return np.linalg.solve(x, B)
    return np.linalg.solve(x.swapaxes(-1, -2), B.swapaxes(-1, -2)).swapaxes(-1, -2)


def _flatten(x, start_dim=0, end_dim=-1):
    rank = max(x.ndim, 1)
    first, last = start_dim % rank, end_dim % rank
    joined = math.prod(x.shape[first : last + 1])
    return x.reshape(*x.shape[:first], joined, *x.shape[last + 1 :])


def _frac(x):
    return x - np.trunc(x)


def _lerp(x, end, weight):
    return x + weight * (end - x)


def _sigmoid(x):
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1, small) / (1 + small)


def _silu(x):
    return x * _sigmoid(x)


def _softplus(x, beta=1, threshold=20):
    z = beta * x
    return np.where(z > threshold, x, np.log1p(np.exp(np.minimum(z, threshold))) / beta)


def _logsigmoid(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _mish(x):
    return x * np.tanh(_softplus(x))


def _gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + sp.erf(0.7071067811865476 * x))


def _elu(x, alpha=1, scale=1, input_scale=1):
    return np.where(x > 0, scale * x, scale * alpha * np.expm1(input_scale * np.minimum(x, 0)))


def _celu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _leaky_relu(x, negative_slope=0.01):
    return np.where(x > 0, x, negative_slope * x)


def _prelu(x, weight):
    return np.where(x > 0, x, weight * x)


def _hardswish(x):
    return x * np.clip(x + 3, 0, 6) / 6


def _hardshrink(x, lambd=0.5):
    return np.where(np.abs(x) <= lambd, 0, x)


def _softshrink(x, lambd=0.5):
    return np.where(np.abs(x) <= lambd, 0, x - np.sign(x) * lambd)


def _threshold(x, threshold, value):
    return np.where(x <= threshold, value, x)


def _glu(x, axis=-1):
    a, b = np.split(x, 2, axis)
    return a * _sigmoid(b)


def _logit(x, eps=None):
    z = x if eps is None else np.clip(x, eps, 1 - eps)
    return np.log(z / (1 - z))


def _angle(x):
    return np.where(np.isnan(x), np.nan, np.where(x < 0, np.pi, 0.0)).astype(x.dtype)


def _div_mode(x, other, rounding_mode):
    return np.floor_divide(x, other) if rounding_mode == "floor" else np.trunc(x / other)


def _max_dim(x, axis, keepdim=False):
    at = np.argmax(x, axis=axis, keepdims=True)
    values = np.take_along_axis(x, at, axis)
    return (values, at) if keepdim else (values.squeeze(axis), at.squeeze(axis))


def _min_dim(x, axis, keepdim=False):
    at = np.argmin(x, axis=axis, keepdims=True)
    values = np.take_along_axis(x, at, axis)
    return (values, at) if keepdim else (values.squeeze(axis), at.squeeze(axis))


def _aminmax(x, dim=None, keepdim=False):
    return x.min(dim, keepdims=keepdim), x.max(dim, keepdims=keepdim)


def _var_mean(x, axis=None, correction=1, keepdim=False):
    return x.var(axis, ddof=correction, keepdims=keepdim), x.mean(axis, keepdims=keepdim)


def _std_mean(x, axis=None, correction=1, keepdim=False):
    return x.std(axis, ddof=correction, keepdims=keepdim), x.mean(axis, keepdims=keepdim)


def _logsumexp(x, axis, keepdim=False):
    top = x.max(axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    out = np.log(np.exp(x - top).sum(axis, keepdims=True)) + top
    return out if keepdim else out.squeeze(axis)


def _vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    size = np.abs(x)
    if ord == np.inf:
        return size.max(dim, keepdims=keepdim)
    if ord == -np.inf:
        return size.min(dim, keepdims=keepdim)
    if ord == 0:
        return (size != 0).sum(dim, keepdims=keepdim).astype(x.dtype)
    if ord == 2:
        return np.sqrt((size * size).sum(dim, keepdims=keepdim))
    return (size**ord).sum(dim, keepdims=keepdim) ** (1 / ord)


def _argsort(x, axis=-1, descending=False, stable=True):
    if not descending:
        return np.argsort(x, axis=axis, stable=True)
    last = x.shape[axis] - 1
    return last - np.flip(np.argsort(np.flip(x, axis), axis=axis, stable=True), axis)


def _sort(x, dim=-1, descending=False, stable=False):
    at = _argsort(x, dim, descending)
    return np.take_along_axis(x, at, dim), at


def _topk(x, k, dim=-1, largest=True, sorted=True):
    at = np.take(_argsort(x, dim, largest), np.arange(k), axis=dim)
    return np.take_along_axis(x, at, dim), at


def _unfold(x, axis, size, step):
    count = (x.shape[axis] - size) // step + 1
    at = step * np.arange(count)[:, None] + np.arange(size)
    axis = axis % x.ndim
    return np.moveaxis(np.take(x, at, axis=axis), axis + 1, -1)


def _unfold_backward(g, input_sizes, axis, size, step):
    at = step * np.arange(g.shape[axis])[:, None] + np.arange(size)
    axis = axis % len(input_sizes)
    index = (slice(None),) * axis + (at,)
    return _add_at(np.zeros(input_sizes, g.dtype), index, np.moveaxis(g, -1, axis + 1))


def _constant_pad(x, pad, value=0):
    """torch's pad: pairs from the last axis to the first; negative widths cut off."""
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2)
    pairs += [(pad[i], pad[i + 1]) for i in reversed(range(0, len(pad), 2))]
    x = np.pad(x, [(max(a, 0), max(b, 0)) for a, b in pairs], constant_values=value)
    cut = zip(pairs, x.shape, strict=True)
    return x[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in cut)]


def _diag_embed(x, offset=0, dim1=-2, dim2=-1):
    n, rank = x.shape[-1], x.ndim + 1
    rows = np.arange(n + abs(offset))
    on = (rows[:, None] - max(-offset, 0) == np.arange(n)) * 1
    off = (np.arange(n)[:, None] == rows - max(offset, 0)) * 1
    out = np.einsum("ri,...i,ic->...rc", on.astype(x.dtype), x, off.astype(x.dtype))
    return np.moveaxis(out, (-2, -1), (dim1 % rank, dim2 % rank))


def _embedding_backward(g, indices, num_weights, padding_idx, scale_grad_by_freq):
    flat, rows = indices.reshape(-1), g.reshape(-1, g.shape[-1])
    if scale_grad_by_freq:
        counts = (flat[:, None] == flat).sum(1)
        rows = rows / counts[:, None].astype(g.dtype)
    rows = np.where((flat == padding_idx)[:, None], 0, rows)
    return _add_at(np.zeros((num_weights, g.shape[-1]), g.dtype), (flat,), rows)


def _log_softmax(x, axis):
    return x - _logsumexp(x, axis, True)


def _softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _safe_softmax(x, axis):
    masked = np.all(x == -np.inf, axis=axis, keepdims=True)
    return np.where(masked, 0, _softmax(np.where(masked, 0, x), axis))


def _normed(x, axis, eps):
    mean = x.mean(axis, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis, keepdims=True) + eps)
    return (x - mean) * inv_std, mean, inv_std


def _scaled(x, weight, bias):
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _per_channel(weight, rank):
    return None if weight is None else weight.reshape(1, -1, *(1,) * (rank - 2))


def _native_layer_norm(x, normalized_shape, weight, bias, eps):
    axis = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    normal, mean, inv_std = _normed(x, axis, eps)
    return _scaled(normal, weight, bias), mean, inv_std


def _native_group_norm(x, weight, bias, n, c, hxw, group, eps):
    normal, mean, inv_std = _normed(x.reshape(n, group, -1), 2, eps)
    weight, bias = _per_channel(weight, x.ndim), _per_channel(bias, x.ndim)
    return _scaled(normal.reshape(x.shape), weight, bias), mean[..., 0], inv_std[..., 0]


def _native_batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps):
    axis = (0, *range(2, x.ndim))
    weight, bias = _per_channel(weight, x.ndim), _per_channel(bias, x.ndim)
    if training:
        normal, mean, inv_std = _normed(x, axis, eps)
        return _scaled(normal, weight, bias), mean.reshape(-1), inv_std.reshape(-1)
    mean, var = _per_channel(running_mean, x.ndim), _per_channel(running_var, x.ndim)
    nothing = np.zeros(0, x.dtype)
    return _scaled((x - mean) / np.sqrt(var + eps), weight, bias), nothing, nothing


def _reduced(loss, reduction):
    return {"none": lambda: loss, "mean": loss.mean, "sum": loss.sum}[reduction]()


def _mse_loss(x, target, reduction="mean"):
    return _reduced((x - target) ** 2, reduction)


def _smooth_l1_loss(x, target, reduction="mean", beta=1.0):
    gap = np.abs(x - target)
    return _reduced(np.where(gap < beta, 0.5 * gap**2 / beta, gap - 0.5 * beta), reduction)


def _huber_loss(x, target, reduction="mean", delta=1.0):
    gap = np.abs(x - target)
    return _reduced(np.where(gap <= delta, 0.5 * gap**2, delta * (gap - 0.5 * delta)), reduction)


def _soft_margin_loss(x, target, reduction="mean"):
    return _reduced(-_logsigmoid(target * x), reduction)


def _binary_cross_entropy(x, target, weight=None, reduction="mean"):
    log, other = np.maximum(np.log(x), -100), np.maximum(np.log(1 - x), -100)
    loss = -(target * log + (1 - target) * other)
    return _reduced(loss if weight is None else weight * loss, reduction)


def _binary_cross_entropy_with_logits(
    x, target, weight=None, reduction="mean", pos_weight=None
):
    share = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * x - share * _logsigmoid(x)
    return _reduced(loss if weight is None else weight * loss, reduction)


def _nll(x, target, weight=None, ignore_index=-100, reduction="mean"):
    axis = 0 if x.ndim == 1 else 1
    counted = target != ignore_index
    safe = np.where(counted, target, 0)
    chosen = np.take_along_axis(x, np.expand_dims(safe, axis), axis).squeeze(axis)
    share = np.where(counted, 1 if weight is None else weight[safe], 0).astype(x.dtype)
    loss = -share * chosen
    if reduction == "mean":
        return loss.sum() / share.sum()
    return loss if reduction == "none" else loss.sum()


def _attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = factor * (query @ key.swapaxes(-1, -2))
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    if attn_mask is not None:
        masked = attn_mask.dtype == bool
        scores = np.where(attn_mask, scores, -np.inf) if masked else scores + attn_mask
    return _safe_softmax(scores, -1) @ value


def _pairs(value, n):
    """One number per axis."""
    value = value if isinstance(value, tuple) else (value,)
    return value * n if len(value) == 1 else value


def _places_in(kernel):
    return itertools.product(*map(range, kernel))


def _windows(x, kernel, stride, dilation):
    """For every place in the kernel, what it meets: a list of [..., out] slices."""
    n = len(kernel)
    sizes = x.shape[x.ndim - n :]
    steps = list(zip(sizes, kernel, stride, dilation, strict=True))
    out = [(size - d * (k - 1) - 1) // s + 1 for size, k, s, d in steps]
    found = []
    for place in _places_in(kernel):
        cut = zip(place, stride, dilation, out, strict=True)
        found.append(x[(..., *(slice(p * d, p * d + s * (o - 1) + 1, s) for p, s, d, o in cut))])
    return found


def _padded(x, padding, value=0):
    """``x`` with both sides of its last axes padded."""
    widths = [(0, 0)] * (x.ndim - len(padding)) + [(p, p) for p in padding]
    return np.pad(x, widths, constant_values=value)


def numpy__conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    n = weight.ndim - 2
    stride, padding, dilation = (_pairs(v, n) for v in (stride, padding, dilation))
    w = weight.reshape(groups, -1, *weight.shape[1:])
    total = 0
    met = _windows(_padded(x, padding), weight.shape[2:], stride, dilation)
    for place, part in zip(_places_in(weight.shape[2:]), met, strict=True):
        part = part.reshape(part.shape[0], groups, -1, *part.shape[2:])
        total = total + np.einsum("ngc...,goc->ngo...", part, w[(..., *place)])
    y = total.reshape(x.shape[0], weight.shape[0], *total.shape[3:])
    return y if bias is None else y + _per_channel(bias, y.ndim)


def numpy__conv_input(input_size, weight, g, stride=1, padding=0, dilation=1, groups=1):
    n = weight.ndim - 2
    stride, padding, dilation = (_pairs(v, n) for v in (stride, padding, dilation))
    w = weight.reshape(groups, -1, *weight.shape[1:])
    wide = _padded(np.zeros(input_size, g.dtype), padding)
    met = _windows(wide, weight.shape[2:], stride, dilation)  # views of wide
    up = g.reshape(g.shape[0], groups, -1, *g.shape[2:])
    for place, part in zip(_places_in(weight.shape[2:]), met, strict=True):
        part += np.einsum("ngo...,goc->ngc...", up, w[(..., *place)]).reshape(part.shape)
    sizes = zip(padding, input_size[2:], strict=True)
    return wide[(..., *(slice(p, p + size) for p, size in sizes))]


def numpy__conv_weight(x, weight_size, g, stride=1, padding=0, dilation=1, groups=1):
    n = len(weight_size) - 2
    stride, padding, dilation = (_pairs(v, n) for v in (stride, padding, dilation))
    out = np.zeros((groups, weight_size[0] // groups, *weight_size[1:]), g.dtype)
    up = g.reshape(g.shape[0], groups, -1, np.prod(g.shape[2:]))
    wide = _padded(x, padding)
    steps = zip(stride, dilation, weight_size[2:], g.shape[2:], strict=True)
    sizes = [s * (o - 1) + d * (k - 1) + 1 for s, d, k, o in steps]
    wide = wide[(..., *(slice(size) for size in sizes))]
    met = _windows(wide, weight_size[2:], stride, dilation)
    for place, part in zip(_places_in(weight_size[2:]), met, strict=True):
        part = part.reshape(part.shape[0], groups, -1, np.prod(g.shape[2:]))
        out[(..., *place)] = np.einsum("ngop,ngcp->goc", up, part)
    return out.reshape(weight_size)


def jax__conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    n = weight.ndim - 2
    y = jax.lax.conv_general_dilated(
        x,
        weight,
        _pairs(stride, n),
        [(p, p) for p in _pairs(padding, n)],
        rhs_dilation=_pairs(dilation, n),
        feature_group_count=groups,
    )
    return y if bias is None else y + _per_channel(bias, y.ndim)


def jax__conv_input(input_size, weight, g, stride=1, padding=0, dilation=1, groups=1):
    def conv(x):
        return _conv(x, weight, None, stride, padding, dilation, groups)

    return jax.linear_transpose(conv, jax.ShapeDtypeStruct(input_size, g.dtype))(g)[0]


def jax__conv_weight(x, weight_size, g, stride=1, padding=0, dilation=1, groups=1):
    def conv(weight):
        return _conv(x, weight, None, stride, padding, dilation, groups)

    return jax.linear_transpose(conv, jax.ShapeDtypeStruct(weight_size, g.dtype))(g)[0]


def _max_pool2d(x, kernel_size, stride=(), padding=0, dilation=1):
    kernel, padding, dilation = (_pairs(v, 2) for v in (kernel_size, padding, dilation))
    stride = kernel if stride == () else _pairs(stride, 2)
    h, w = x.shape[-2:]
    places = np.arange(h * w).reshape(h, w)
    met = np.stack(_windows(_padded(x, padding, -np.inf), kernel, stride, dilation))
    at = np.stack(_windows(_padded(places, padding), kernel, stride, dilation))
    best = met.argmax(0)
    at = np.broadcast_to(np.expand_dims(at, tuple(range(1, x.ndim - 1))), met.shape)
    return tuple(np.take_along_axis(v, best[None], 0)[0] for v in (met, at))


def _avg_pool2d(x, kernel_size, stride=(), padding=0):
    kernel, padding = _pairs(kernel_size, 2), _pairs(padding, 2)
    stride = kernel if stride == () else _pairs(stride, 2)
    return np.stack(_windows(_padded(x, padding), kernel, stride, (1, 1))).mean(0)
