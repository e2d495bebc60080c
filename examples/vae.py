"""The loss of a variational autoencoder: reconstruction and Kullback–Leibler divergence.

The code is drawn as mean + noise * spread, so that the gradient goes past the random numbers.
Sizes: n examples, p pixels, d hidden units, z numbers in a code.
"""

import torch
import torch.nn.functional as F


def forward(x, We, be, Wmean, Wlogvar, Wd, bd, Wx, bx):
    """The loss of a batch of pixels `x` [n, p], each between 0 and 1."""
    encoded = torch.tanh(x @ We + be)
    mean = encoded @ Wmean
    logvar = encoded @ Wlogvar
    # the code: a draw from a normal distribution with this mean and variance
    std = torch.exp(0.5 * logvar)
    noise = torch.randn_like(std)
    code = mean + noise * std
    decoded = torch.tanh(code @ Wd + bd)
    logits = decoded @ Wx + bx
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    divergence = -0.5 * (1 + logvar - mean**2 - logvar.exp()).sum()
    loss = (reconstruction + divergence) / x.shape[0]
    return loss


def example_inputs(n=10, p=20, d=12, z=4, seed=8):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, p, generator=g)
    We = torch.randn(p, d, generator=g) * p**-0.5
    be = torch.randn(d, generator=g) * 0.1
    Wmean = torch.randn(d, z, generator=g) * d**-0.5
    Wlogvar = torch.randn(d, z, generator=g) * d**-0.5
    Wd = torch.randn(z, d, generator=g) * z**-0.5
    bd = torch.randn(d, generator=g) * 0.1
    Wx = torch.randn(d, p, generator=g) * d**-0.5
    bx = torch.randn(p, generator=g) * 0.1
    return x, We, be, Wmean, Wlogvar, Wd, bd, Wx, bx
