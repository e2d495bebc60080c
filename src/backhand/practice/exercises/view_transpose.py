"""View and transpose

Neither changes a value: each entry of the result is one entry of the operand. The gradient moves
back to where the value came from, so it is the opposite re-indexing.
"""

import torch


def forward(x, w):
    flat = x.view(x.shape[0], -1)
    turned = flat.T
    out = turned * w
    return out


def example_inputs():
    g = torch.Generator().manual_seed(10)
    x = torch.randn(7, 5, 3, generator=g)
    w = torch.randn(15, 7, generator=g)
    return x, w
