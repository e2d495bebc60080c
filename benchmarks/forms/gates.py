"""Activations, gates and elementwise losses."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .record import Form, Reference

SMALL, LARGE = {"n": 6, "d": 5}, {"n": 8192, "d": 1024}
C = math.sqrt(2 / math.pi)
DELTA = 1.0


def pair(r, n, d):
    return r.normal(n, d), r.normal(n, d)


def swiglu(a, b):
    gate = a * torch.sigmoid(a)
    y = gate * b
    return y


def swiglu_exp(a, b):
    s = 1 / (1 + torch.exp(-a))
    y = a * s * b
    return y


def swiglu_forward(a, b):
    return F.silu(a) * b, a, b


def swiglu_backward(dy, a, b):
    s = torch.sigmoid(a)
    return dy * b * (s * (1 + a * (1 - s))), dy * (a * s)


def gelu(x):
    inner = C * (x + 0.044715 * x**3)
    y = 0.5 * x * (1 + torch.tanh(inner))
    return y


def gelu_cubed(x):
    cubed = x * x * x
    t = torch.tanh((x + 0.044715 * cubed) * math.sqrt(2 / math.pi))
    half = x / 2
    y = half + half * t
    return y


def gelu_forward(x):
    return F.gelu(x, approximate="tanh"), x


def gelu_backward(dy, x):
    t = torch.tanh(C * (x + 0.044715 * x**3))
    slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * C * (1 + 3 * 0.044715 * x * x)
    return (dy * slope,)


def squared_relu(a, b):
    r = torch.relu(a)
    y = r**2 * b
    return y


def squared_relu_clamp(a, b):
    positive = a.clamp(min=0)
    y = positive * positive * b
    return y


def squared_relu_forward(a, b):
    return F.relu(a) ** 2 * b, a, b


def squared_relu_backward(dy, a, b):
    r = torch.relu(a)
    return 2 * r * b * dy, r * r * dy


def bce(z, t):
    p = torch.sigmoid(z)
    losses = t * torch.log(p) + (1 - t) * torch.log(1 - p)
    loss = -losses.mean()
    return loss


def bce_exp(z, t):
    n, d = z.shape
    p = 1 / (1 + (-z).exp())
    loss = -(t * p.log() + (1 - t) * (1 - p).log()).sum() / (n * d)
    return loss


def bce_forward(z, t):
    loss = (F.softplus(z) - z * t).mean()
    return loss, torch.sigmoid(z) - t


def bce_backward(dloss, error):
    return (error * (dloss / error.numel()),)


def softplus_bce(z, t):
    losses = F.softplus(z) - z * t
    loss = losses.mean()
    return loss


def softplus_bce_abs(z, t):
    losses = torch.clamp(z, min=0) - z * t + torch.log1p(torch.exp(-torch.abs(z)))
    loss = losses.mean()
    return loss


def log_cosh(x, t):
    diff = x - t
    losses = torch.log(torch.cosh(diff))
    loss = losses.mean()
    return loss


def log_cosh_softplus(x, t):
    diff = x - t
    loss = (diff + F.softplus(-2 * diff) - math.log(2.0)).mean()
    return loss


def log_cosh_forward(x, t):
    diff = x - t
    return (diff + F.softplus(-2 * diff) - math.log(2.0)).mean(), diff


def log_cosh_backward(dloss, diff):
    return (torch.tanh(diff) * (dloss / diff.numel()),)


def huber(x, t):
    diff = x - t
    size = diff.abs()
    losses = torch.where(size <= DELTA, 0.5 * diff**2, DELTA * (size - 0.5 * DELTA))
    loss = losses.mean()
    return loss


def huber_clamp(x, t):
    size = torch.abs(x - t)
    inside = size.clamp(max=DELTA)
    loss = (inside * (size - 0.5 * inside)).mean()
    return loss


def huber_forward(x, t):
    diff = x - t
    inside = diff.clamp(-DELTA, DELTA)
    return (inside * (diff - 0.5 * inside)).mean(), diff


def huber_backward(dloss, diff):
    return (diff.clamp(-DELTA, DELTA) * (dloss / diff.numel()),)


def gaussian_kl(mu, logvar):
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
    loss = kl.mean()
    return loss


def gaussian_kl_std(mu, logvar):
    std = torch.exp(0.5 * logvar)
    terms = 0.5 * (mu * mu + std * std - 1) - torch.log(std)
    loss = terms.sum(1).mean()
    return loss


def gaussian_kl_forward(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean(), mu, logvar


def gaussian_kl_backward(dloss, mu, logvar):
    scale = dloss / mu.shape[0]
    return mu * scale, (logvar.exp() - 1) * (0.5 * scale)


def chain(x):
    a = torch.sin(x * x)
    b = a * torch.cos(x)
    y = torch.tanh(b)
    return y


def chain_forward(x):
    return torch.tanh(torch.sin(x * x) * torch.cos(x)), x


def chain_backward(dy, x):
    square = x * x
    s, c = torch.sin(square), torch.cos(x)
    h = torch.tanh(s * c)
    return (dy * (1 - h * h) * (2 * x * torch.cos(square) * c - s * torch.sin(x)),)


FORMS = (
    Form(
        "SwiGLU",
        (swiglu, swiglu_exp),
        pair,
        ("a", "b"),
        "y",
        SMALL,
        LARGE,
        Reference(
            "Shazeer 2020; the gate is made again, as in Liger kernels",
            swiglu_forward,
            swiglu_backward,
            5,
            lambda b, n, d: b * 2 * n * d,
        ),
        lambda a, b: F.silu(a) * b,
    ),
    Form(
        "GELU with tanh",
        (gelu, gelu_cubed),
        lambda r, n, d: (r.normal(n, d),),
        ("x",),
        "y",
        SMALL,
        LARGE,
        Reference(
            "Hendrycks and Gimpel 2016; PyTorch's gelu_backward",
            gelu_forward,
            gelu_backward,
            3,
            lambda b, n, d: b * n * d,
        ),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    Form(
        "squared-ReLU gate",
        (squared_relu, squared_relu_clamp),
        pair,
        ("a", "b"),
        "y",
        SMALL,
        LARGE,
        Reference(
            "So et al. 2021 (Primer), gated",
            squared_relu_forward,
            squared_relu_backward,
            5,
            lambda b, n, d: b * 2 * n * d,
        ),
        lambda a, b: F.relu(a).square() * b,
    ),
    Form(
        "sigmoid and binary cross-entropy",
        (bce, bce_exp),
        lambda r, n, d: (r.normal(n, d), r.uniform(n, d)),
        ("z",),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "PyTorch's binary_cross_entropy_with_logits_backward, its difference kept for it",
            bce_forward,
            bce_backward,
            2,
            lambda b, n, d: b * n * d,
        ),
        F.binary_cross_entropy_with_logits,
    ),
    Form(
        "binary cross-entropy by softplus",
        (softplus_bce, softplus_bce_abs),
        lambda r, n, d: (r.normal(n, d), r.uniform(n, d)),
        ("z",),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "PyTorch's binary_cross_entropy_with_logits_backward, its difference kept for it",
            bce_forward,
            bce_backward,
            2,
            lambda b, n, d: b * n * d,
        ),
        F.binary_cross_entropy_with_logits,
    ),
    Form(
        "log-cosh loss",
        (log_cosh, log_cosh_softplus),
        pair,
        ("x",),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "the derivative of log cosh is tanh",
            log_cosh_forward,
            log_cosh_backward,
            2,
            lambda b, n, d: b * n * d,
        ),
    ),
    Form(
        "Huber loss",
        (huber, huber_clamp),
        pair,
        ("x",),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "Huber 1964: the difference, clamped; PyTorch's huber_loss_backward",
            huber_forward,
            huber_backward,
            2,
            lambda b, n, d: b * n * d,
        ),
        lambda x, t: F.huber_loss(x, t, delta=DELTA),
    ),
    Form(
        "KL of a Gaussian from the standard one",
        (gaussian_kl, gaussian_kl_std),
        pair,
        ("mu", "logvar"),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "Kingma and Welling 2014, appendix B",
            gaussian_kl_forward,
            gaussian_kl_backward,
            4,
            lambda b, n, d: b * 2 * n * d,
        ),
    ),
    Form(
        "a chain of functions",
        (chain,),
        lambda r, n, d: (r.normal(n, d),),
        ("x",),
        "y",
        SMALL,
        LARGE,
        Reference(
            "the chain rule, from the input alone",
            chain_forward,
            chain_backward,
            3,
            lambda b, n, d: b * n * d,
        ),
        worth=False,
    ),
)
