"""Layer norm

Batch norm turned by a quarter: the statistics are those of a row, while gain and bias belong to
the columns. Mind which sum keeps which axis.
"""

import torch


def forward(x, gain, bias):
    mean = x.mean(1, keepdim=True)
    centred = x - mean
    var = (centred**2).mean(1, keepdim=True)
    inv_std = (var + 1e-5) ** -0.5
    normed = centred * inv_std
    out = gain * normed + bias
    return out


def example_inputs():
    g = torch.Generator().manual_seed(22)
    x = torch.randn(5, 7, generator=g) * 2 + 0.5
    gain = torch.randn(7, generator=g) * 0.3 + 1.5
    bias = torch.randn(7, generator=g)
    return x, gain, bias
