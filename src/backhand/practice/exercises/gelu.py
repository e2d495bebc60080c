"""GELU

The tanh approximation, in the steps of its formula. The input is read at both ends: by the cubic
inside, and by the product outside.
"""

import torch


def forward(x):
    bent = x + 0.044715 * x**3
    inner = 0.7978845608 * bent
    bend = torch.tanh(inner)
    gate = 0.5 * (1 + bend)
    out = x * gate
    return out


def example_inputs():
    g = torch.Generator().manual_seed(25)
    return torch.randn(5, 3, generator=g) * 1.5
