"""Broadcast multiply, with keepdim

First the product rule at the full shape, then the sum over the stretched axes: in this order,
because the other factor differs along them.
"""

import torch


def forward(x, gain, scale):
    y = gain * x
    out = y * scale
    return out


def example_inputs():
    g = torch.Generator().manual_seed(6)
    x = torch.randn(5, 3, generator=g)
    gain = torch.randn(1, 3, generator=g) * 0.5 + 1.5
    scale = torch.randn(5, 1, generator=g)
    return x, gain, scale
