"""Layer norm and RMS norm, from additions, means and powers.

Both scale every row to size one; layer norm moves its mean to zero first. Here one feeds the other.
Sizes: n rows, d numbers in each.
"""

import torch


def forward(x, gain, bias, rms_gain):
    """Rows `x` [n, d], normalised twice."""
    # layer norm
    mean = x.mean(1, keepdim=True)
    centred = x - mean
    var = (centred**2).mean(1, keepdim=True)
    inv_std = (var + 1e-5) ** -0.5
    normed = centred * inv_std
    layer = gain * normed + bias
    # RMS norm
    mean_square = (layer * layer).mean(1, keepdim=True)
    inv_rms = torch.rsqrt(mean_square + 1e-6)
    scaled = layer * inv_rms
    out = rms_gain * scaled
    return out


def example_inputs(n=16, d=24, seed=2):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g) * 2 + 0.5
    gain = torch.randn(d, generator=g) * 0.1 + 1
    bias = torch.randn(d, generator=g) * 0.1
    rms_gain = torch.randn(d, generator=g) * 0.1 + 1
    return x, gain, bias, rms_gain
