"""Tanh, relu and sigmoid

The derivatives of tanh and sigmoid are short in terms of their outputs. A relu lets the upstream
through where its input was positive, and nothing where it was not.
"""

import torch


def forward(a, b, c):
    h = torch.tanh(a)
    r = torch.relu(b)
    s = torch.sigmoid(c)
    gated = h * s
    out = gated + r
    return out


def example_inputs():
    g = torch.Generator().manual_seed(7)
    return tuple(torch.randn(5, 3, generator=g) for _ in range(3))
