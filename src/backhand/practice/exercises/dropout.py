"""Dropout

The gradient goes through the same mask, and gets the same scale, as the value did. The mask is
drawn once; here it is an input.
"""

import torch


def forward(x, W, mask, V):
    h = x @ W
    kept = h * mask / 0.7
    out = kept @ V
    return out


def example_inputs():
    g = torch.Generator().manual_seed(24)
    x = torch.randn(5, 3, generator=g)
    W = torch.randn(3, 7, generator=g)
    mask = torch.rand(5, 7, generator=g) < 0.7
    V = torch.randn(7, 2, generator=g)
    return x, W, mask, V
