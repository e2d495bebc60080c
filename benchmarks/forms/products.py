"""Forms around products of matrices, and statistics."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .record import Form, Reference

ROWS, MANY_ROWS = {"n": 6, "k": 5}, {"n": 8192, "k": 1024}
HEADS, MANY_HEADS = {"batch": 2, "h": 2, "n": 5, "d": 3}, {"batch": 2, "h": 4, "n": 1024, "d": 64}


def draw_heads(r, batch, h, n, d):
    shape = batch, h, n, d
    return r.normal(*shape), r.normal(*shape), r.normal(*shape)


def attention(q, k, v):
    d = q.shape[-1]
    scores = q @ k.transpose(-2, -1) / math.sqrt(d)
    e = torch.exp(scores - scores.max(-1, keepdim=True).values)
    probs = e / e.sum(-1, keepdim=True)
    y = probs @ v
    return y


def attention_softmax(q, k, v):
    scale = q.shape[-1] ** -0.5
    probs = torch.softmax((q * scale) @ k.mT, -1)
    y = probs @ v
    return y


def attention_forward(q, k, v):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    lse = torch.logsumexp(scores, -1, keepdim=True)
    y = torch.exp(scores - lse) @ v
    return y, q, k, v, y, lse


def attention_backward(dy, q, k, v, y, lse):
    scale = 1 / math.sqrt(q.shape[-1])
    probs = torch.exp(q @ k.transpose(-2, -1) * scale - lse)
    dv = probs.transpose(-2, -1) @ dy
    rows = (dy * y).sum(-1, keepdim=True)
    dscores = probs * (dy @ v.transpose(-2, -1) - rows)
    return scale * (dscores @ k), scale * (dscores.transpose(-2, -1) @ q), dv


def causal_attention(q, k, v):
    n, d = q.shape[-2:]
    scores = q @ k.transpose(-2, -1) / math.sqrt(d)
    mask = torch.tril(torch.ones(n, n)) == 0
    scores = scores.masked_fill(mask, float("-inf"))
    e = torch.exp(scores - scores.max(-1, keepdim=True).values)
    probs = e / e.sum(-1, keepdim=True)
    y = probs @ v
    return y


def causal_attention_where(q, k, v):
    n, d = q.shape[-2:]
    scores = q @ k.mT * d**-0.5
    position = torch.arange(n)
    past = position[:, None] >= position
    probs = torch.softmax(torch.where(past, scores, float("-inf")), -1)
    y = probs @ v
    return y


def causal_attention_forward(q, k, v):
    position = torch.arange(q.shape[-2])
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    scores = torch.where(position[:, None] >= position, scores, float("-inf"))
    lse = torch.logsumexp(scores, -1, keepdim=True)
    y = torch.exp(scores - lse) @ v
    return y, q, k, v, y, lse


def causal_attention_backward(dy, q, k, v, y, lse):
    scale = 1 / math.sqrt(q.shape[-1])
    position = torch.arange(q.shape[-2])
    probs = torch.exp(q @ k.transpose(-2, -1) * scale - lse)
    probs = torch.where(position[:, None] >= position, probs, 0.0)
    dv = probs.transpose(-2, -1) @ dy
    rows = (dy * y).sum(-1, keepdim=True)
    dscores = probs * (dy @ v.transpose(-2, -1) - rows)
    return scale * (dscores @ k), scale * (dscores.transpose(-2, -1) @ q), dv


def variance(x):
    k = x.shape[1]
    mean = x.sum(1, keepdim=True) / k
    diff = x - mean
    y = (diff**2).sum(1) / (k - 1)
    return y


def variance_means(x):
    k = x.shape[1]
    centred = x - x.mean(1, keepdim=True)
    y = (centred * centred).mean(1) * (k / (k - 1))
    return y


def variance_forward(x):
    y, mean = torch.var_mean(x, 1)
    return y, x, mean


def variance_backward(dy, x, mean):
    return ((2 / (x.shape[1] - 1) * dy)[:, None] * (x - mean[:, None]),)


def deviation(x):
    k = x.shape[1]
    mean = x.mean(1, keepdim=True)
    diff = x - mean
    var = 1 / (k - 1) * (diff**2).sum(1)
    y = torch.sqrt(var)
    return y


def deviation_power(x):
    k = x.shape[1]
    diff = x - x.sum(1, keepdim=True) / k
    y = ((diff * diff).sum(1) / (k - 1)) ** 0.5
    return y


def deviation_forward(x):
    y, mean = torch.std_mean(x, 1)
    return y, x, mean, y


def deviation_backward(dy, x, mean, y):
    return ((dy / (y * (x.shape[1] - 1)))[:, None] * (x - mean[:, None]),)


def affine_mse(x, W, bias, t):
    pred = x @ W + bias
    diff = pred - t
    loss = (diff**2).mean()
    return loss


def affine_mse_sum(x, W, bias, t):
    n, o = t.shape
    error = x @ W + bias - t
    loss = (error * error).sum() / (n * o)
    return loss


def affine_mse_forward(x, W, bias, t):
    diff = torch.addmm(bias, x, W) - t
    return (diff * diff).mean(), x, W, diff


def affine_mse_backward(dloss, x, W, diff):
    scale = 2 / diff.numel() * dloss
    return diff @ (scale * W.T), (scale * x).T @ diff, scale * diff.sum(0)


def covariance(x):
    n = x.shape[0]
    mean = x.mean(0, keepdim=True)
    diff = x - mean
    y = diff.T @ diff / (n - 1)
    return y


def covariance_scaled(x):
    n = x.shape[0]
    centred = x - x.sum(0) / n
    y = 1 / (n - 1) * (centred.T @ centred)
    return y


def covariance_forward(x):
    diff = x - x.mean(0)
    return diff.T @ diff / (x.shape[0] - 1), diff


def covariance_backward(dy, diff):
    return (diff @ ((dy + dy.T) / (diff.shape[0] - 1)),)


def student_t(z, c):
    squares = (z**2).sum(1, keepdim=True) + (c**2).sum(1) - 2 * z @ c.T
    kernel = 1 / (1 + squares)
    y = kernel / kernel.sum(1, keepdim=True)
    return y


def student_t_power(z, c):
    zz, cc = (z * z).sum(1), (c * c).sum(1)
    dist = zz[:, None] - 2 * (z @ c.T) + cc[None, :]
    q = (1 + dist) ** -1.0
    y = q * q.sum(1, keepdim=True) ** -1
    return y


def student_t_forward(z, c):
    squares = (z * z).sum(1, keepdim=True) + (c * c).sum(1) - 2 * z @ c.T
    kernel = 1 / (1 + squares)
    total = kernel.sum(1, keepdim=True)
    y = kernel / total
    return y, z, c, y, total


def student_t_backward(dy, z, c, y, total):
    inner = (dy * y).sum(1, keepdim=True)
    weight = 2 * (inner - dy) * y * y * total  # twice the squares' gradient
    dz = z * weight.sum(1, keepdim=True) - weight @ c
    dc = c * weight.sum(0)[:, None] - weight.T @ z
    return dz, dc


def sorting(x, w):
    ranked = x.sort(1).values
    y = (ranked * w).sum(1)
    return y


def sorting_forward(x, w):
    ranked, order = x.sort(1)
    return (ranked * w).sum(1), w, order


def sorting_backward(dy, w, order):
    return (torch.zeros(order.shape, dtype=dy.dtype).scatter(1, order, dy[:, None] * w),)


FORMS = (
    Form(
        "attention",
        (attention, attention_softmax),
        draw_heads,
        ("q", "k", "v"),
        "y",
        HEADS,
        MANY_HEADS,
        Reference(
            "FlashAttention (Dao et al. 2022), algorithm 4, without its tiles",
            attention_forward,
            attention_backward,
            # scores and dy vT are written; both are read, probs and dscores written; probs is read
            # by a product and dscores by two
            9,
            lambda b, batch, h, n, d: b * batch * h * n * (4 * d + 1),
        ),
        F.scaled_dot_product_attention,
    ),
    Form(
        "causal attention",
        (causal_attention, causal_attention_where),
        draw_heads,
        ("q", "k", "v"),
        "y",
        HEADS,
        MANY_HEADS,
        Reference(
            "FlashAttention (Dao et al. 2022), algorithm 4, without its tiles",
            causal_attention_forward,
            causal_attention_backward,
            9,
            lambda b, batch, h, n, d: b * batch * h * n * (4 * d + 1),
        ),
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    ),
    Form(
        "variance",
        (variance, variance_means),
        lambda r, n, k: (r.normal(n, k),),
        ("x",),
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "PyTorch's var_backward",
            variance_forward,
            variance_backward,
            2,
            lambda b, n, k: b * (n * k + n),
        ),
        lambda x: x.var(1),
    ),
    Form(
        "standard deviation",
        (deviation, deviation_power),
        lambda r, n, k: (r.normal(n, k),),
        ("x",),
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "PyTorch's std_backward",
            deviation_forward,
            deviation_backward,
            2,
            lambda b, n, k: b * (n * k + 2 * n),
        ),
        lambda x: x.std(1),
    ),
    Form(
        "mean squared error of an affine map",
        (affine_mse, affine_mse_sum),
        lambda r, n, i, o: (r.normal(n, i), r.normal(i, o), r.normal(o), r.normal(n, o)),
        ("x", "W", "bias"),
        "loss",
        {"n": 6, "i": 4, "o": 5},
        {"n": 8192, "i": 64, "o": 1024},
        Reference(
            "ordinary least squares, with the scalar factors on the small side of the products",
            affine_mse_forward,
            affine_mse_backward,
            3,  # diff is read by two products and a sum
            lambda b, n, i, o: b * (n * i + i * o + n * o),
        ),
        lambda x, W, bias, t: F.mse_loss(torch.addmm(bias, x, W), t),
    ),
    Form(
        "covariance",
        (covariance, covariance_scaled),
        lambda r, n, d: (r.normal(n, d),),
        ("x",),
        "y",
        {"n": 6, "d": 4},
        {"n": 65536, "d": 128},
        Reference(
            "the mean's part vanishes, because the columns of diff sum to zero",
            covariance_forward,
            covariance_backward,
            2,
            lambda b, n, d: b * n * d,
        ),
        lambda x: torch.cov(x.T),
    ),
    Form(
        "Student-t kernel",
        (student_t, student_t_power),
        lambda r, n, m, d: (r.normal(n, d), r.normal(m, d)),
        ("z", "c"),
        "y",
        {"n": 6, "m": 4, "d": 3},
        {"n": 8192, "m": 1024, "d": 32},
        Reference(
            "Xie et al. 2016 (DEC), equations 4 and 5, for any upstream",
            student_t_forward,
            student_t_backward,
            # dy and y for the rows; dy and y again, weight written; read for its other sum and by
            # two products
            8,
            lambda b, n, m, d: b * (n * m + n * d + m * d + n),
        ),
    ),
    Form(
        "a weighted sum of sorted values",
        (sorting,),
        lambda r, n, k: (r.normal(n, k), r.normal(k)),
        ("x",),
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "PyTorch's value_selecting_reduction_backward",
            sorting_forward,
            sorting_backward,
            2,
            lambda b, n, k: 8 * n * k + b * k,
        ),
        worth=False,
    ),
)
