"""RMS norm

Layer norm without the mean. What is left of the correction is one term: the part of the gradient
that goes along with the row itself.
"""

import torch


def forward(x, gain):
    squares = x**2
    mean_square = squares.mean(1, keepdim=True)
    inv_rms = torch.rsqrt(mean_square + 1e-5)
    scaled = x * inv_rms
    out = gain * scaled
    return out


def example_inputs():
    g = torch.Generator().manual_seed(23)
    x = torch.randn(5, 7, generator=g) * 2
    gain = torch.randn(7, generator=g) * 0.3 + 1.5
    return x, gain
