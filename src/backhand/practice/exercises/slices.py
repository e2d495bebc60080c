"""Slices

Ask who read each cell. A cell that one slice read gets that slice's upstream, a cell that two
slices read gets both, and a cell that nobody read gets zero.
"""

import torch


def forward(x):
    head = x[:, :3]
    tail = x[:, 2:5]
    out = head * tail
    return out


def example_inputs():
    g = torch.Generator().manual_seed(8)
    return torch.randn(5, 7, generator=g)
