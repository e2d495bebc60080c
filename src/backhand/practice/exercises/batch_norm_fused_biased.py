"""Batch norm in one line, variance over n

The same with a variance that divides by n, as layers do in training. Only one factor of the
answer changes: find out which before you look at the last exercise.
"""

import torch

FORM = "shorthand"
BLANKS = ("hprebn",)


def forward(hprebn, bngain, bnbias):
    n = hprebn.shape[0]
    bnmeani = 1/n*hprebn.sum(0, keepdim=True)
    bndiff = hprebn - bnmeani
    bndiff2 = bndiff**2
    bnvar = 1/n*(bndiff2).sum(0, keepdim=True)
    bnvar_inv = (bnvar + 1e-5)**-0.5
    bnraw = bndiff * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    return hpreact


def example_inputs():
    g = torch.Generator().manual_seed(20)
    hprebn = torch.randn(7, 3, generator=g) * 2 + 0.5
    bngain = torch.randn(1, 3, generator=g) * 0.3 + 1.5
    bnbias = torch.randn(1, 3, generator=g)
    return hprebn, bngain, bnbias
