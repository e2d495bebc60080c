"""Add and multiply

A difference hands its upstream to both sides, with the signs they have. A product hands it to
each factor, times the other one.
"""

import torch


def forward(a, b, c, d):
    p = a * b
    m = c * d
    out = p - m
    return out


def example_inputs():
    g = torch.Generator().manual_seed(1)
    return tuple(torch.randn(5, 3, generator=g) for _ in range(4))
