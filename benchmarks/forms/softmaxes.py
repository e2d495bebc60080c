"""Softmax and its relatives."""

from __future__ import annotations

import math

import torch

from .record import Form, Reference

SMALL, LARGE = {"n": 6, "k": 5}, {"n": 8192, "k": 1024}
T = 0.7  # temperature
R = 5.0  # sharpness of the pooling


def softmax(x):
    maxes = x.max(1, keepdim=True).values
    e = (x - maxes).exp()
    total = e.sum(1, keepdim=True)
    y = e / total
    return y


def softmax_inverse(x):
    norm_x = x - x.amax(1, keepdim=True)
    counts = norm_x.exp()
    counts_sum = counts.sum(1, keepdims=True)
    counts_sum_inv = counts_sum**-1
    y = counts * counts_sum_inv
    return y


def softmax_by_logsumexp(x):
    y = torch.exp(x - torch.logsumexp(x, 1, keepdim=True))
    return y


def softmax_forward(x):
    y = torch.softmax(x, 1)
    return y, y


def softmax_backward(dy, y):
    return (y * (dy - (dy * y).sum(1, keepdim=True)),)


def masked_softmax(x, mask):
    scaled = x / T
    masked = scaled.masked_fill(~mask, float("-inf"))
    e = torch.exp(masked - masked.max(1, keepdim=True).values)
    y = e / e.sum(1, keepdim=True)
    return y


def masked_softmax_where(x, mask):
    scores = torch.where(mask, x * (1 / T), float("-inf"))
    norm = scores - scores.amax(1, keepdim=True)
    counts = norm.exp()
    y = counts * counts.sum(1, keepdim=True) ** -1
    return y


def masked_softmax_forward(x, mask):
    y = torch.softmax((x / T).masked_fill(~mask, float("-inf")), 1)
    return y, y


def masked_softmax_backward(dy, y):
    return (y * (dy - (dy * y).sum(1, keepdim=True)) / T,)


def draw_masked(r, n, k):
    mask = r.uniform(n, k) < 0.7
    mask[:, 0] = True
    return r.normal(n, k), mask


def log_softmax(x):
    maxes = x.max(1, keepdim=True).values
    shifted = x - maxes
    total = shifted.exp().sum(1, keepdim=True)
    y = shifted - total.log()
    return y


def log_softmax_of_softmax(x):
    counts = (x - x.max(1, keepdim=True).values).exp()
    probs = counts / counts.sum(1, keepdim=True)
    y = probs.log()
    return y


def log_softmax_by_logsumexp(x):
    y = x - torch.logsumexp(x, 1, keepdim=True)
    return y


def log_softmax_forward(x):
    y = torch.log_softmax(x, 1)
    return y, y


def log_softmax_backward(dy, y):
    return (dy - y.exp() * dy.sum(1, keepdim=True),)


def logsumexp(x):
    maxes = x.max(1, keepdim=True).values
    total = (x - maxes).exp().sum(1, keepdim=True)
    y = (maxes + total.log()).squeeze(1)
    return y


def logsumexp_amax(x):
    c = x.amax(1)
    y = c + torch.log(torch.sum(torch.exp(x - c[:, None]), 1))
    return y


def logsumexp_forward(x):
    y = torch.logsumexp(x, 1)
    return y, x, y


def logsumexp_backward(dy, x, y):
    return (dy[:, None] * torch.exp(x - y[:, None]),)


def entropy(x):
    counts = (x - x.max(1, keepdim=True).values).exp()
    p = counts / counts.sum(1, keepdim=True)
    y = -(p * p.log()).sum(1)
    return y


def entropy_of_logs(x):
    logp = x - torch.logsumexp(x, 1, keepdim=True)
    y = -(logp.exp() * logp).sum(1)
    return y


def entropy_forward(x):
    lse = torch.logsumexp(x, 1, keepdim=True)
    logp = x - lse
    y = -(logp.exp() * logp).sum(1)
    return y, x, lse, y


def entropy_backward(dy, x, lse, y):
    logp = x - lse
    return (-dy[:, None] * logp.exp() * (logp + y[:, None]),)


def logsumexp_pooling(x):
    scaled = R * x
    maxes = scaled.amax((2, 3), keepdim=True)
    e = (scaled - maxes).exp()
    mean = e.mean((2, 3), keepdim=True)
    pooled = (mean.log() + maxes) / R
    y = pooled.flatten(1)
    return y


def logsumexp_pooling_call(x):
    size = x.shape[2] * x.shape[3]
    y = 1 / R * (torch.logsumexp(R * x, (2, 3)) - math.log(size))
    return y


def logsumexp_pooling_forward(x):
    lse = torch.logsumexp(R * x, (2, 3), keepdim=True)
    y = (lse[:, :, 0, 0] - math.log(x.shape[2] * x.shape[3])) / R
    return y, x, lse


def logsumexp_pooling_backward(dy, x, lse):
    return (dy[:, :, None, None] * torch.exp(R * x - lse),)


FORMS = (
    Form(
        "softmax",
        (softmax, softmax_inverse, softmax_by_logsumexp),
        lambda r, n, k: (r.normal(n, k),),
        ("x",),
        "y",
        SMALL,
        LARGE,
        Reference(
            "PyTorch's _softmax_backward_data",
            softmax_forward,
            softmax_backward,
            5,  # dy and y for the rows' sums; dy, y and dx
            lambda b, n, k: b * n * k,
        ),
        lambda x: torch.softmax(x, 1),
    ),
    Form(
        "masked softmax with a temperature",
        (masked_softmax, masked_softmax_where),
        draw_masked,
        ("x",),
        "y",
        SMALL,
        LARGE,
        Reference(
            "PyTorch's _softmax_backward_data; masked entries are zero in y",
            masked_softmax_forward,
            masked_softmax_backward,
            5,
            lambda b, n, k: b * n * k,
        ),
        lambda x, mask: torch.softmax((x / T).masked_fill(~mask, float("-inf")), 1),
    ),
    Form(
        "log-softmax",
        (log_softmax, log_softmax_of_softmax, log_softmax_by_logsumexp),
        lambda r, n, k: (r.normal(n, k),),
        ("x",),
        "y",
        SMALL,
        LARGE,
        Reference(
            "PyTorch's _log_softmax_backward_data",
            log_softmax_forward,
            log_softmax_backward,
            4,  # dy for the rows' sums; dy, y and dx
            lambda b, n, k: b * n * k,
        ),
        lambda x: torch.log_softmax(x, 1),
    ),
    Form(
        "log-sum-exp",
        (logsumexp, logsumexp_amax),
        lambda r, n, k: (r.normal(n, k),),
        ("x",),
        "y",
        SMALL,
        LARGE,
        Reference(
            "PyTorch's logsumexp_backward",
            logsumexp_forward,
            logsumexp_backward,
            2,
            lambda b, n, k: b * (n * k + n),
        ),
        lambda x: torch.logsumexp(x, 1),
    ),
    Form(
        "entropy of a softmax",
        (entropy, entropy_of_logs),
        lambda r, n, k: (r.normal(n, k),),
        ("x",),
        "y",
        SMALL,
        LARGE,
        Reference(
            "dH/dx = -p (log p + H), as in policy-gradient code",
            entropy_forward,
            entropy_backward,
            2,
            lambda b, n, k: b * (n * k + 2 * n),
        ),
    ),
    Form(
        "log-sum-exp pooling",
        (logsumexp_pooling, logsumexp_pooling_call),
        lambda r, n, c, h, w: (r.normal(n, c, h, w),),
        ("x",),
        "y",
        {"n": 2, "c": 3, "h": 4, "w": 5},
        {"n": 64, "c": 128, "h": 32, "w": 32},
        Reference(
            "Pinheiro and Collobert 2015; the gradient is a softmax over the positions",
            logsumexp_pooling_forward,
            logsumexp_pooling_backward,
            2,
            lambda b, n, c, h, w: b * (n * c * h * w + n * c),
        ),
    ),
)
