"""Softmax, norms, losses and attention in NumPy, forward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .reference import Array, Reference, numpy_dtype
from .reference_elementwise import softplus
from .reference_reductions import logsumexp


def softmax(x: Array, dim: int, dtype: str | None = None) -> Array:
    return np.asarray(np.exp(log_softmax(x, dim, dtype)))


def log_softmax(x: Array, dim: int, dtype: str | None = None) -> Array:
    if dtype is not None:
        x = x.astype(numpy_dtype(dtype))
    if x.ndim == 0:
        return np.asarray(x - x)
    return np.asarray(x - logsumexp(x, dim, True))


def _safe_softmax(x: Array, dim: int, dtype: str | None) -> Array:
    masked = np.all(x == -np.inf, axis=dim, keepdims=True) if x.ndim else x == -np.inf
    return np.where(masked, 0.0, softmax(x, dim, dtype))


def reduced(loss: Array, reduction: str | int) -> Array:
    """The loss per element, its mean or its sum; torch's kernels number them 0, 1, 2."""
    if reduction in ("none", 0):
        return loss
    return np.asarray(np.mean(loss) if reduction in ("mean", 1) else np.sum(loss))


def _pointwise(loss: Any) -> Reference:
    return lambda x, target, reduction, *rest: reduced(loss(x, target, *rest), reduction)


def _smooth_l1(x: Array, target: Array, beta: float) -> Array:
    gap = np.abs(x - target)
    return np.where(gap < beta, 0.5 * gap**2 / beta, gap - 0.5 * beta)


def _huber(x: Array, target: Array, delta: float) -> Array:
    gap = np.abs(x - target)
    return np.where(gap <= delta, 0.5 * gap**2, delta * (gap - 0.5 * delta))


def _soft_margin(x: Array, target: Array) -> Array:
    return np.asarray(np.log1p(np.exp(-target * x)))


def _bce(x: Array, target: Array, weight: Any, reduction: str) -> Array:
    log, other = (np.maximum(np.log(p), -100) for p in (x, 1 - x))
    loss = -(target * log + (1 - target) * other)
    return reduced(loss if weight is None else loss * weight, reduction)


def _bce_with_logits(
    x: Array, target: Array, weight: Any, reduction: str, pos_weight: Any
) -> Array:
    positive = 1 if pos_weight is None else pos_weight
    loss = (1 - target) * x + (1 + (positive - 1) * target) * softplus(-x, 1, np.inf)
    return reduced(loss if weight is None else loss * weight, reduction)


def per_target(
    x: Array, target: Array, weight: Any, ignore_index: int
) -> tuple[Array, Array]:
    """The negative log-likelihood of each target, and its weight (0 where it is ignored)."""
    axis = 0 if x.ndim == 1 else 1
    counted = target != ignore_index
    safe = np.where(counted, target, 0)
    chosen = np.take_along_axis(x, np.expand_dims(safe, axis), axis=axis).squeeze(axis)
    scale = np.ones(x.shape[axis], dtype=x.dtype) if weight is None else weight
    weights = np.where(counted, scale[safe], 0)
    return np.where(counted, -chosen * weights, 0), weights


def nll_forward(
    x: Array, target: Array, weight: Any, reduction: int, ignore_index: int
) -> tuple[Array, Array]:
    """The loss and the sum of the weights (0 if nothing is reduced)."""
    losses, weights = per_target(x, target, weight, ignore_index)
    if reduction == 0:
        return losses, np.zeros((), dtype=x.dtype)
    total = np.sum(weights)
    return np.asarray(np.sum(losses) / (total if reduction == 1 else 1)), total


def _nll(x: Array, target: Array, weight: Any, ignore_index: int, reduction: str) -> Array:
    number = {"none": 0, "mean": 1, "sum": 2}[reduction]
    return nll_forward(x, target, weight, number, ignore_index)[0]


def margins(x: Array, target: Array, margin: float) -> tuple[Array, Array, Array]:
    """Rows, their targets, and by how much each class violates the margin (not the target's)."""
    rows = np.atleast_2d(x)
    targets = np.atleast_1d(target)
    own = rows[np.arange(len(rows)), targets]
    gaps = np.maximum(margin - own[:, None] + rows, 0)
    gaps[np.arange(len(rows)), targets] = 0
    return rows, targets, gaps


def _multi_margin(
    x: Array, target: Array, p: int, margin: float, weight: Any, reduction: str
) -> Array:
    rows, targets, gaps = margins(x, target, margin)
    loss = gaps**p if weight is None else gaps**p * weight[targets][:, None]
    per_row = np.sum(loss, axis=1) / rows.shape[1]
    return reduced(per_row.reshape(np.shape(target)), reduction)


def label_sets(target: Array) -> list[list[int]]:
    """The labels of each row: those before the first -1."""
    out = []
    for row in np.atleast_2d(target):
        stop = np.flatnonzero(row < 0)
        out.append([int(t) for t in (row[: stop[0]] if len(stop) else row)])
    return out


def _multilabel_margin(x: Array, target: Array, reduction: int) -> tuple[Array, Array]:
    rows = np.atleast_2d(x)
    member = np.zeros(rows.shape)
    losses = np.zeros(len(rows))
    for i, labels in enumerate(label_sets(target)):
        member[i, labels] = 1
        others = member[i] == 0
        losses[i] = sum(np.sum(np.maximum(1 - rows[i, t] + rows[i, others], 0)) for t in labels)
    per_row = (losses / rows.shape[1]).reshape(x.shape[:-1])
    return reduced(per_row, reduction), member.reshape(x.shape)


def _layer_norm(
    x: Array, shape: tuple[int, ...], weight: Any, bias: Any, eps: float
) -> tuple[Array, Array, Array]:
    over = tuple(range(x.ndim - len(shape), x.ndim))
    mean = np.mean(x, axis=over, keepdims=True)
    rstd = 1 / np.sqrt(np.var(x, axis=over, keepdims=True) + eps)
    return _scaled((x - mean) * rstd, weight, bias), mean, rstd


def _scaled(x: Array, weight: Any, bias: Any) -> Array:
    out = x if weight is None else x * weight
    return np.asarray(out if bias is None else out + bias)


def per_channel(weight: Any, rank: int) -> Any:
    """A vector over the channels, at a shape that broadcasts against [N, C, ...]."""
    return None if weight is None else weight.reshape(1, -1, *(1,) * (rank - 2))


def _group_norm(
    x: Array, weight: Any, bias: Any, n: int, c: int, hxw: int, group: int, eps: float
) -> tuple[Array, Array, Array]:
    grouped = x.reshape(n, group, -1)
    mean = np.mean(grouped, axis=2, keepdims=True)
    rstd = 1 / np.sqrt(np.var(grouped, axis=2, keepdims=True) + eps)
    normal = ((grouped - mean) * rstd).reshape(x.shape)
    scaled = _scaled(normal, per_channel(weight, x.ndim), per_channel(bias, x.ndim))
    return scaled, mean[..., 0], rstd[..., 0]


def _batch_norm(
    x: Array, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool,
    momentum: float, eps: float,
) -> tuple[Array, Array, Array]:
    over = (0, *range(2, x.ndim))
    mean = np.mean(x, axis=over) if training else running_mean
    rstd = 1 / np.sqrt((np.var(x, axis=over) if training else running_var) + eps)
    normal = (x - per_channel(mean, x.ndim)) * per_channel(rstd, x.ndim)
    y = _scaled(normal, per_channel(weight, x.ndim), per_channel(bias, x.ndim))
    nothing = np.zeros(0, dtype=x.dtype)
    return (y, mean, rstd) if training else (y, nothing, nothing)


def scores(query: Array, key: Array, mask: Any, is_causal: bool, scale: Any) -> Array:
    """The attention scores: scaled, with the mask added."""
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    out = factor * (query @ np.swapaxes(key, -1, -2))
    if is_causal:
        out = np.where(np.tri(*out.shape[-2:]) > 0, out, -np.inf)
    if mask is not None:
        out = np.where(mask, out, -np.inf) if mask.dtype == bool else out + mask
    return np.asarray(out)


def _attention(
    query: Array, key: Array, value: Array, mask: Any, dropout: float, causal: bool, scale: Any
) -> Array:
    return np.asarray(_safe_softmax(scores(query, key, mask, causal, scale), -1, None) @ value)


def _flash_attention(
    query: Array, key: Array, value: Array, dropout: float, causal: bool, mask: Any, scale: Any
) -> tuple[Array, Array]:
    s = scores(query, key, mask, causal, scale)
    return _attention(query, key, value, mask, dropout, causal, scale), logsumexp(s, -1, False)


REFERENCES: dict[str, Reference] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "safe_softmax": _safe_softmax,
    "mse_loss": _pointwise(lambda x, target: (x - target) ** 2),
    "smooth_l1_loss": _pointwise(_smooth_l1),
    "huber_loss": _pointwise(_huber),
    "soft_margin_loss": _pointwise(_soft_margin),
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_with_logits,
    "nll": _nll,
    "nll_loss_forward": nll_forward,
    "nll_loss2d_forward": nll_forward,
    "multi_margin_loss": _multi_margin,
    "multilabel_margin_loss_forward": _multilabel_margin,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "native_batch_norm": _batch_norm,
    "attention": _attention,
    "flash_attention": _flash_attention,
}
