"""What divides by the length of a vector."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .record import Form, Reference

ROWS, MANY_ROWS = {"n": 6, "d": 5}, {"n": 8192, "d": 1024}


def l2_normalise(x):
    norm = (x * x).sum(1, keepdim=True).sqrt()
    y = x / norm
    return y


def l2_normalise_power(x):
    norm = (x**2).sum(1, keepdim=True) ** 0.5
    y = x * norm**-1
    return y


def l2_normalise_forward(x):
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    y = x / norm
    return y, y, norm


def l2_normalise_backward(dy, y, norm):
    return ((dy - y * (dy * y).sum(1, keepdim=True)) / norm,)


def weight_norm(v, g):
    norm = (v**2).sum(1, keepdim=True).sqrt()
    y = g * v / norm
    return y


def weight_norm_call(v, g):
    norm = torch.linalg.vector_norm(v, dim=1, keepdim=True)
    y = v * (g / norm)
    return y


def weight_norm_forward(v, g):
    norm = torch.linalg.vector_norm(v, dim=1, keepdim=True)
    return v * (g / norm), v, g, norm


def weight_norm_backward(dy, v, g, norm):
    dg = (dy * v).sum(1, keepdim=True) / norm
    return g / norm * (dy - v * (dg / norm)), dg


def cosine(a, b):
    dot = (a * b).sum(1)
    na = (a * a).sum(1).sqrt()
    nb = (b * b).sum(1).sqrt()
    y = dot / (na * nb)
    return y


def cosine_normalised(a, b):
    a_unit = a / torch.linalg.vector_norm(a, dim=1, keepdim=True)
    b_unit = b / torch.linalg.vector_norm(b, dim=1, keepdim=True)
    y = (a_unit * b_unit).sum(1)
    return y


def cosine_forward(a, b):
    na, nb = torch.linalg.vector_norm(a, dim=1), torch.linalg.vector_norm(b, dim=1)
    y = (a * b).sum(1) / (na * nb)
    return y, a, b, na, nb, y


def cosine_backward(dy, a, b, na, nb, y):
    across = (dy / (na * nb))[:, None]
    return across * b - (dy * y / na**2)[:, None] * a, across * a - (dy * y / nb**2)[:, None] * b


FORMS = (
    Form(
        "L2 normalisation",
        (l2_normalise, l2_normalise_power),
        lambda r, n, d: (r.normal(n, d),),
        ("x",),
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "the projection on the sphere's tangent, as in weight-normalised softmax code",
            l2_normalise_forward,
            l2_normalise_backward,
            5,
            lambda b, n, d: b * (n * d + n),
        ),
        lambda x: F.normalize(x, dim=1),
    ),
    Form(
        "weight normalisation",
        (weight_norm, weight_norm_call),
        lambda r, n, d: (r.normal(n, d), r.normal(n, 1) * 0.1 + 1),
        ("v", "g"),
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "Salimans and Kingma 2016, equation 3",
            weight_norm_forward,
            weight_norm_backward,
            5,
            lambda b, n, d: b * (n * d + 2 * n),
        ),
        lambda v, g: torch._weight_norm(v, g, 0),
    ),
    Form(
        "cosine similarity",
        (cosine, cosine_normalised),
        lambda r, n, d: (r.normal(n, d), r.normal(n, d)),
        ("a", "b"),
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "PyTorch's cosine_similarity, differentiated by hand",
            cosine_forward,
            cosine_backward,
            4,
            lambda b, n, d: b * (2 * n * d + 3 * n),
        ),
        F.cosine_similarity,
    ),
)
