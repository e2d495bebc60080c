"""Causal multi-head attention, every step by name.

A position looks at itself and at what came before: later positions get a score of minus infinity.
Sizes: n sequences, t positions, d numbers per position, in `heads` heads.
"""

import math

import torch


def forward(x, Wq, Wk, Wv, Wo, heads=4):
    """Sequences `x` [n, t, d], mixed over positions."""
    n, t, d = x.shape
    q = (x @ Wq).view(n, t, heads, d // heads).transpose(1, 2)
    k = (x @ Wk).view(n, t, heads, d // heads).transpose(1, 2)
    v = (x @ Wv).view(n, t, heads, d // heads).transpose(1, 2)
    scores = q @ k.transpose(2, 3) / math.sqrt(d // heads)
    future = torch.ones(t, t, dtype=torch.bool).triu(1)
    masked = scores.masked_fill(future, float("-inf"))
    weights = torch.softmax(masked, -1)
    mixed = weights @ v
    merged = mixed.transpose(1, 2).reshape(n, t, d)
    out = merged @ Wo
    return out


def example_inputs(n=3, t=7, d=16, seed=4):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, t, d, generator=g)
    Wq, Wk, Wv, Wo = (torch.randn(d, d, generator=g) * d**-0.5 for _ in range(4))
    return x, Wq, Wk, Wv, Wo
