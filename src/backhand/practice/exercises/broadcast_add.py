"""Broadcast add

A broadcast forward is a sum backward: a value that was stretched along an axis was read once for
each entry of it. Sum over exactly those axes, and keep the shape that the value has.
"""

import torch


def forward(x, row, column, offset):
    moved = x + row
    tilted = moved - column
    out = tilted + offset
    return out


def example_inputs():
    g = torch.Generator().manual_seed(5)
    x = torch.randn(5, 3, generator=g)
    row = torch.randn(3, generator=g)
    column = torch.randn(5, 1, generator=g)
    offset = torch.randn((), generator=g)
    return x, row, column, offset
