"""Small forward passes in ordinary PyTorch, a family of operators each, for the front door."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from .values import generator, normal


@dataclass(frozen=True)
class Family:
    """A forward pass, its inputs, and operators of the table that it must be captured as."""

    forward: Callable[..., Any]
    inputs: tuple[Any, ...]
    ops: frozenset[str]


FAMILIES: dict[str, Family] = {}


def real(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return normal(shape, generator("family", shape)).to(dtype)


def positive(*shape: int) -> torch.Tensor:
    return real(*shape).abs() + 0.3


def places(*shape: int, below: int) -> torch.Tensor:
    return torch.randint(0, below, shape, generator=generator("places", shape, below))


def family(*inputs: Any, ops: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(forward: Callable[..., Any]) -> Callable[..., Any]:
        name = forward.__name__
        assert name not in FAMILIES, f"two families {name}"
        FAMILIES[name] = Family(forward, inputs, frozenset(ops.split()))
        return forward

    return register


X, W, ROW = real(4, 6), real(6, 5), real(6)


@family(X, ROW, ops="add sub mul div neg")
def arithmetic(x, row):
    total = 2 * x + row - 1
    share = -total * x / (row * row + 1)
    return share + 3 / (1 + x * x)


@family(positive(4, 6), positive(6), ops="pow sqrt rsqrt reciprocal square")
def powers(x, e):
    return x**2 + x**-0.5 + x**e + 2.0**e + x.sqrt() + x.rsqrt() + x.reciprocal() + x.square()


@family(positive(4, 6), ops="exp exp2 expm1 log log2 log10 log1p")
def exponentials(x):
    grown = torch.exp(-x) + x.exp2() + torch.expm1(x)
    return grown * (torch.log(x) + x.log2() + x.log10() + torch.log1p(x))


@family(X, ops="sin cos tan asin acos atan")
def trigonometric(x):
    small = 0.9 * torch.sin(x)
    return torch.cos(x) + torch.tan(small) + small.asin() + small.acos() + torch.atan(x)


@family(X, ops="sinh cosh tanh asinh acosh atanh")
def hyperbolic(x):
    squashed = torch.tanh(x)
    return torch.sinh(x) + x.cosh() + x.asinh() + (1 + x * x).acosh() + (0.9 * squashed).atanh()


@family(X, ops="erf erfc erfinv")
def error_functions(x):
    inside = torch.erf(x)
    return torch.erfc(x) + torch.erfinv(0.9 * inside)


@family(X, ops="sigmoid tanh relu silu gelu softplus elu leaky_relu")
def activations(x):
    gates = torch.sigmoid(x) + torch.tanh(x) + F.relu(x) + F.silu(x)
    smooth = F.gelu(x) + F.gelu(x, approximate="tanh") + F.softplus(x)
    return gates * smooth + F.elu(x) + F.leaky_relu(x, 0.1)


@family(X, real(4, 6) + 0.5, ops="where clamp maximum minimum")
def choices(x, y):
    picked = torch.where(x > y, x, 2 * y)
    bounded = x.clamp(-0.5, 0.5) + y.clamp(min=0.1)
    return picked + bounded * torch.maximum(x, y) - torch.minimum(x, y)


@family(X, ops="sum mean var std prod")
def totals(x):
    centred = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    return centred.sum(0) * x.var(0, unbiased=False) + x.prod(0) + x.mean() + x.std()


@family(X, ops="max_dim max min amax argmax min_dim")
def extrema(x):
    values, where = x.max(1)
    chosen = x[torch.arange(4), x.argmax(1)]
    return values * x.amax(1) + x.min(dim=1).values + chosen + x.max() - x.min() + where * 0.5


@family(X, ops="logsumexp vector_norm cumsum")
def folds(x):
    lengths = x.norm(dim=1) + torch.linalg.vector_norm(x, 1, dim=1) + x.norm()
    return x.logsumexp(1) * lengths + x.cumsum(1)[:, -1]


@family(real(4, 6), ops="linspace eye")
def constants(x):
    across = (x @ torch.eye(6, dtype=x.dtype) * torch.linspace(-1, 1, 6)).sum(1)
    return across * torch.linspace(0.5, 2, steps=4)


@family(real(2, 3, 4, 5), real(2, 3, 5, 4), real(5, 4), real(5), real(4), ops="matmul")
def products(a, b, m, v, u):
    many = a @ b
    shared = a @ m
    scores = (a @ v).sum() + (v @ m) @ u + (m @ u) @ v + torch.dot(v, v)
    return many.sum() + shared.mean() + scores


@family(X, real(5, 6), real(5), real(3, 4, 6), ops="linear")
def affine(x, weight, bias, batch):
    return F.linear(x, weight, bias).sum() + F.linear(batch, weight).mean()


@family(real(3, 4, 5), real(3, 5, 2), ops="einsum")
def contracted(a, b):
    scores = torch.einsum("bij,bjk->bik", a, b)
    return scores.sum() + torch.einsum("bij->j", a).pow(2).sum()


@family(real(2, 3, 4), ops="view reshape permute transpose flatten unsqueeze squeeze expand t")
def shapes(x):
    flat = x.view(6, 4).reshape(3, 8).t()
    turned = x.permute(2, 0, 1).flatten(1) + x.transpose(0, 2).reshape(4, 6)
    wide = x.unsqueeze(1).squeeze(1)[:, :1].expand(2, 3, 4)
    return flat.sum() * turned.exp().sum() + (wide * x).sum()


@family(X, real(4, 6) + 1, ops="cat stack split chunk constant_pad_nd flip roll")
def moved(x, y):
    joined = torch.cat([x, y], dim=1)
    first, second = joined.split(6, dim=1)
    left, right = torch.chunk(x, 2, dim=1)
    padded = F.pad(first * second, (1, 2, 0, 1))
    stacked = torch.stack([left.flip(1), right.roll(1, 0)])
    return padded.sum() + stacked.pow(2).sum()


@family(real(5, 4, 3), places(6, below=5), places(6, below=4), ops="slice select index unsqueeze")
def read(x, i, j):
    cut = x[1:, ::2] * x[:-1, None, -1:, 0].unsqueeze(-1)
    rows = x[i] + x[[0, 0, 2, 1, 1, 4]]  # some of them twice
    pairs = x[i, j] + x[:, j].mean(0) + x[i, :, 0].sum() + x[..., -1].sum()
    return cut.sum() + (rows * rows).sum() + pairs.exp().sum()


@family(
    real(5, 4),
    places(3, 4, below=5),
    places(6, below=5),
    real(6, 4),
    ops="gather index_select scatter_add index_put index_add",
)
def placed(x, index, rows, values):
    taken = x.gather(0, index).sum() + x.index_select(0, rows).pow(2).sum()
    added = torch.zeros_like(x).scatter_add(0, index, values[:3])
    put = x.index_put((rows,), values, accumulate=True) + x.index_add(0, rows, values)
    return taken + (added * put).sum()


@family(real(7, 3), places(4, 2, below=7), ops="embedding one_hot")
def looked_up(weight, tokens):
    vectors = F.embedding(tokens, weight)
    counts = F.one_hot(tokens, 7).to(weight.dtype).sum((0, 1))
    return (vectors * vectors).sum() + (counts @ weight).sum()


@family(real(4, 4), ops="masked_fill tril triu")
def masked(x):
    lower = x.tril()
    causal = x.masked_fill(torch.ones(4, 4, dtype=torch.bool).triu(1), -math.inf)
    return lower * x.triu(1) + causal.exp()


@family(X, ops="sort topk")
def ordered(x):
    values, indices = torch.sort(x, dim=1, descending=True)
    best = x.topk(2, dim=1).values
    return (values * torch.arange(6.0)).sum(1) + best.prod(1) + 0 * indices.sum(1)


@family(X, ops="softmax log_softmax")
def probabilities(x):
    p = torch.softmax(x, dim=-1)
    return -(p * F.log_softmax(x, dim=1)).sum(1)


@family(X, places(4, below=6), ops="log_softmax nll")
def classified(logits, target):
    chosen = F.nll_loss(F.log_softmax(logits, 1), target, reduction="sum")
    return F.cross_entropy(logits, target) + chosen


@family(X, real(4, 6) + 0.1, ops="mse_loss abs")
def regressed(x, target):
    return F.mse_loss(x, target) + F.l1_loss(x, target) + F.mse_loss(x, target, reduction="sum")


@family(X, positive(4, 6) / 5, ops="binary_cross_entropy binary_cross_entropy_with_logits sigmoid")
def binary(logits, target):
    return F.binary_cross_entropy(torch.sigmoid(logits), target) + (
        F.binary_cross_entropy_with_logits(logits, target)
    )


@family(X, real(4, 6) + 0.2, ops="log_softmax softmax")
def divergence(x, y):
    return F.kl_div(F.log_softmax(x, 1), F.softmax(y, 1), reduction="batchmean")


@family(real(4, 6, 5), positive(5), real(5), positive(6), ops="native_layer_norm native_group_norm")
def normalised(x, weight, bias, channels):
    per_row = F.layer_norm(x, (5,), weight, bias)
    return per_row * F.rms_norm(x, (5,), weight) + F.group_norm(x, 3, channels)


@family(real(4, 6, 5), positive(6), real(6), ops="native_batch_norm")
def batch_normalised(x, weight, bias):
    return F.batch_norm(x, None, None, weight, bias, training=True)


@family(X, ops="bernoulli_mask")
def dropped(x):
    return F.dropout(x, 0.4, training=True) + F.dropout(x, 0.4, training=False)


@family(real(2, 2, 4, 3), real(2, 2, 4, 3) + 0.1, real(2, 2, 4, 3) * 2, ops="attention")
def attended(q, k, v):
    causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return causal + F.scaled_dot_product_attention(q, k, v)


@family(real(2, 4, 9), real(6, 4, 3), real(6), real(2, 3, 3), ops="convolution1d")
def convolved_1d(x, weight, bias, narrow):
    wide = F.conv1d(x, weight, bias, padding=1, stride=2)
    return wide.sum() + F.conv1d(wide, narrow, groups=2).pow(2).sum()


@family(real(2, 3, 6, 5), real(4, 3, 3, 2), real(4), ops="convolution2d")
def convolved_2d(x, weight, bias):
    return F.relu(F.conv2d(x, weight, bias, stride=(2, 1), padding=1, dilation=(1, 2)))


@family(
    real(2, 3, 6, 6),
    ops="max_pool2d_with_indices avg_pool2d adaptive_max_pool2d _adaptive_avg_pool2d",
)
def pooled(x):
    halves = F.max_pool2d(x, 2) * F.avg_pool2d(x, 2)
    return (
        halves.sum()
        + F.adaptive_avg_pool2d(x, 2).pow(2).sum()
        + (F.adaptive_max_pool2d(x, 3).sum())
    )


@family(X.float(), real(4, 6), W.bfloat16(), ops="to mul add")
def mixed(x, y, w):
    wide = x * y + x.double()
    narrow = wide.to(torch.bfloat16) @ w
    return narrow.float().sum() + wide.sum()
