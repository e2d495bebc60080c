"""A convolution in one dimension

Cut into overlapping windows, a convolution is a matrix product. Going back, a cell is read by
every window that covers it, and adds up what they send.
"""

import torch


def forward(x, w, b):
    windows = x.unfold(2, 3, 1)
    mixed = torch.einsum("nclk,ock->nol", windows, w)
    out = mixed + b
    return out


def example_inputs():
    g = torch.Generator().manual_seed(27)
    x = torch.randn(5, 2, 11, generator=g)
    w = torch.randn(7, 2, 3, generator=g)
    b = torch.randn(7, 1, generator=g)
    return x, w, b
