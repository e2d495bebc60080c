"""The gradient kernels in NumPy, each by its formula."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .reference import Array, Reference
from .reference_elementwise import erf, sigmoid, softplus
from .reference_nn import label_sets, margins, per_channel, scores, softmax
from .reference_shapes import padded


def _softmax(g: Array, y: Array, dim: int, dtype: str) -> Array:
    axis = dim if y.ndim else ()
    return np.asarray(y * (g - np.sum(g * y, axis=axis, keepdims=True)))


def _log_softmax(g: Array, y: Array, dim: int, dtype: str) -> Array:
    axis = dim if y.ndim else ()
    return np.asarray(g - np.exp(y) * np.sum(g, axis=axis, keepdims=True))


def _log_sigmoid(x: Array) -> tuple[Array, Array]:
    return np.asarray(-softplus(-x, 1, np.inf)), np.exp(-np.abs(x))


def _silu(g: Array, x: Array) -> Array:
    s = sigmoid(x)
    return np.asarray(g * s * (1 + x * (1 - s)))


def _mish(g: Array, x: Array) -> Array:
    t = np.tanh(softplus(x))
    return np.asarray(g * (t + x * sigmoid(x) * (1 - t * t)))


def _gelu(g: Array, x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        c = math.sqrt(2 / math.pi)
        t = np.tanh(c * (x + 0.044715 * x**3))
        inner = c * (1 + 3 * 0.044715 * x**2)
        return np.asarray(g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner))
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return np.asarray(g * (0.5 * (1 + erf(x / math.sqrt(2))) + x * density))


def _softplus(g: Array, x: Array, beta: float, threshold: float) -> Array:
    return np.where(x * beta > threshold, g, g * sigmoid(x * beta))


def _elu(
    g: Array, alpha: float, scale: float, input_scale: float, is_result: bool, x: Array
) -> Array:
    """``x`` is the result itself where ``is_result`` says so."""
    slope = x + alpha * scale if is_result else scale * alpha * np.exp(x * input_scale)
    return np.where(x <= 0, g * input_scale * slope, g * scale)


def _glu(g: Array, x: Array, dim: int) -> Array:
    a, b = np.split(x, 2, axis=dim)
    s = sigmoid(b)
    return np.concatenate([g * s, g * a * s * (1 - s)], axis=dim)


def _logit(g: Array, x: Array, eps: float | None) -> Array:
    inside = (x >= eps) & (x <= 1 - eps) if eps is not None and eps >= 0 else (x >= 0) & (x <= 1)
    outside = 0.0 if eps is not None and eps >= 0 else np.nan
    return np.where(inside, g / (x * (1 - x)), outside)


def _prelu(g: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    return np.where(x > 0, g, weight * g), np.where(x > 0, 0, x * g)


def _layer_norm(
    g: Array, x: Array, shape: tuple[int, ...], mean: Array, rstd: Array, weight: Any, bias: Any,
    mask: tuple[bool, ...],
) -> tuple[Any, ...]:
    over = tuple(range(x.ndim - len(shape), x.ndim))
    rows = tuple(range(x.ndim - len(shape)))
    normal = (x - mean) * rstd
    inner = g if weight is None else g * weight
    return _masked(mask, _through_norm(inner, normal, rstd, over), np.sum(g * normal, axis=rows),
                   np.sum(g, axis=rows))


def _through_norm(g: Array, normal: Array, rstd: Array, over: tuple[int, ...]) -> Array:
    """Back through ``normal = (x - mean) * rstd``: the parts along 1 and along normal drop out."""
    along = np.mean(g * normal, axis=over, keepdims=True)
    return np.asarray(rstd * (g - np.mean(g, axis=over, keepdims=True) - normal * along))


def _masked(mask: tuple[bool, ...], *values: Any) -> tuple[Any, ...]:
    return tuple(v if wanted else None for wanted, v in zip(mask, values, strict=True))


def _group_norm(
    g: Array, x: Array, mean: Array, rstd: Array, weight: Any, n: int, c: int, hxw: int,
    group: int, mask: tuple[bool, ...],
) -> tuple[Any, ...]:
    inner = g if weight is None else g * per_channel(weight, x.ndim)
    spread = (n, group, -1)
    rstd = rstd.reshape(n, group, 1)
    normal = (x.reshape(spread) - mean.reshape(n, group, 1)) * rstd
    dx = _through_norm(inner.reshape(spread), normal, rstd, (2,)).reshape(x.shape)
    others = (0, *range(2, x.ndim))
    scaled = g * normal.reshape(x.shape)
    return _masked(mask, dx, np.sum(scaled, axis=others), np.sum(g, axis=others))


def _batch_norm(
    g: Array, x: Array, weight: Any, running_mean: Any, running_var: Any, mean: Any, rstd: Any,
    train: bool, eps: float, mask: tuple[bool, ...],
) -> tuple[Any, ...]:
    over = (0, *range(2, x.ndim))
    if not train:
        mean, rstd = running_mean, 1 / np.sqrt(running_var + eps)
    mean, rstd = per_channel(mean, x.ndim), per_channel(rstd, x.ndim)
    normal = (x - mean) * rstd
    inner = g if weight is None else g * per_channel(weight, x.ndim)
    dx = _through_norm(inner, normal, rstd, over) if train else inner * rstd
    return _masked(mask, dx, np.sum(g * normal, axis=over), np.sum(g, axis=over))


def _shared(g: Array, x: Array, reduction: int) -> Array:
    """The upstream of each element of a loss."""
    return np.asarray(np.broadcast_to(g / x.size if reduction == 1 else g, x.shape))


def _mse(g: Array, x: Array, target: Array, reduction: int) -> Array:
    return np.asarray(_shared(g, x, reduction) * 2 * (x - target))


def _smooth_l1(g: Array, x: Array, target: Array, reduction: int, beta: float) -> Array:
    gap = x - target
    slope = np.where(np.abs(gap) < beta, gap / beta, np.sign(gap))
    return np.asarray(_shared(g, x, reduction) * slope)


def _huber(g: Array, x: Array, target: Array, reduction: int, delta: float) -> Array:
    return np.asarray(_shared(g, x, reduction) * np.clip(x - target, -delta, delta))


def _soft_margin(g: Array, x: Array, target: Array, reduction: int) -> Array:
    return np.asarray(_shared(g, x, reduction) * -target * sigmoid(-target * x))


def _bce(g: Array, x: Array, target: Array, weight: Any, reduction: int) -> Array:
    slope = (x - target) / np.maximum((1 - x) * x, 1e-12)
    return np.asarray(_shared(g, x, reduction) * slope * (1 if weight is None else weight))


def _nll(
    g: Array, x: Array, target: Array, weight: Any, reduction: int, ignore_index: int, total: Array
) -> Array:
    axis = 0 if x.ndim == 1 else 1
    counted = target != ignore_index
    safe = np.where(counted, target, 0)
    scale = np.ones(x.shape[axis], dtype=x.dtype) if weight is None else weight
    share = -np.where(counted, scale[safe], 0) * (g / total if reduction == 1 else g)
    out = np.zeros_like(x)
    np.put_along_axis(out, np.expand_dims(safe, axis), np.expand_dims(share, axis), axis=axis)
    return out


def _multi_margin(
    g: Array, x: Array, target: Array, p: int, margin: float, weight: Any, reduction: int
) -> Array:
    rows, targets, gaps = margins(x, target, margin)
    slope = p * gaps ** (p - 1) * (gaps > 0) / rows.shape[1]
    if weight is not None:
        slope = slope * weight[targets][:, None]
    slope[np.arange(len(rows)), targets] = -np.sum(slope, axis=1)
    upstream = np.broadcast_to(g / len(rows) if reduction == 1 else g, len(rows))
    return np.asarray((slope * upstream[:, None]).reshape(x.shape))


def _multilabel_margin(
    g: Array, x: Array, target: Array, reduction: int, is_target: Array
) -> Array:
    rows = np.atleast_2d(x)
    out = np.zeros_like(rows)
    for i, labels in enumerate(label_sets(target)):
        others = np.atleast_2d(is_target)[i] == 0
        for t in labels:
            active = others & (1 - rows[i, t] + rows[i] > 0)
            out[i] += active
            out[i, t] -= np.sum(active)
    upstream = np.broadcast_to(g / len(rows) if reduction == 1 else g, len(rows))
    return np.asarray((out / rows.shape[1] * upstream[:, None]).reshape(x.shape))


def _attention(
    g: Array, query: Array, key: Array, value: Array, y: Array, lse: Array, dropout: float,
    causal: bool, mask: Any, scale: Any,
) -> tuple[Array, Array, Array]:
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    p = softmax(scores(query, key, mask, causal, scale), -1)
    dp = g @ np.swapaxes(value, -1, -2)
    ds = factor * p * (dp - np.sum(g * y, axis=-1, keepdims=True))
    return ds @ key, np.swapaxes(ds, -1, -2) @ query, np.swapaxes(p, -1, -2) @ g


REFERENCES: dict[str, Reference] = {
    "tanh_backward": lambda g, y: g * (1 - y * y),
    "sigmoid_backward": lambda g, y: g * y * (1 - y),
    "sgn_backward": np.zeros_like,
    "pad_backward": lambda g, pad: padded(g, [-p for p in pad], 0),
    "threshold_backward": lambda g, x, threshold: np.where(x <= threshold, 0, g),
    "softmax_backward": _softmax,
    "log_softmax_backward": _log_softmax,
    "log_sigmoid_forward": _log_sigmoid,
    "log_sigmoid_backward": lambda g, x, buffer: g * sigmoid(-x),
    "silu_backward": _silu,
    "mish_backward": _mish,
    "gelu_backward": _gelu,
    "softplus_backward": _softplus,
    "elu_backward": _elu,
    "leaky_relu_backward": lambda g, x, slope, is_result: np.where(x > 0, g, slope * g),
    "hardtanh_backward": lambda g, x, low, high: np.where((x <= low) | (x >= high), 0, g),
    "hardsigmoid_backward": lambda g, x: np.where((x > -3) & (x < 3), g / 6, 0),
    "hardswish_backward": lambda g, x: np.where(
        x <= -3, 0, np.where(x < 3, g * (x / 3 + 0.5), g)
    ),
    "logit_backward": _logit,
    "glu_backward": _glu,
    "prelu_backward": _prelu,
    "native_layer_norm_backward": _layer_norm,
    "native_group_norm_backward": _group_norm,
    "native_batch_norm_backward": _batch_norm,
    "mse_loss_backward": _mse,
    "smooth_l1_loss_backward": _smooth_l1,
    "huber_loss_backward": _huber,
    "soft_margin_loss_backward": _soft_margin,
    "binary_cross_entropy_backward": _bce,
    "nll_loss_backward": _nll,
    "nll_loss2d_backward": _nll,
    "multi_margin_loss_backward": _multi_margin,
    "multilabel_margin_loss_backward": _multilabel_margin,
    "flash_attention_backward": _attention,
}
