"""A block of GPT-2 as a module: attention and a GELU layer, each behind a layer norm.

Both halves are added to what came in, so the gradient of the input has a straight way through.
Sizes: n sequences, t positions, d numbers per position.
"""

import math

import torch
from torch import nn


class Block(nn.Module):
    """Pre-norm transformer block with causal attention."""

    def __init__(self, d=32, heads=4):
        super().__init__()
        self.heads = heads
        self.ln1 = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.proj = nn.Linear(d, d)
        self.ln2 = nn.LayerNorm(d)
        self.fc = nn.Linear(d, 4 * d)
        self.out = nn.Linear(4 * d, d)

    def forward(self, x):
        """Sequences `x` [n, t, d]; the same shape comes out."""
        n, t, d = x.shape
        normed1 = self.ln1(x)
        q, k, v = self.qkv(normed1).split(d, dim=2)
        q = q.view(n, t, self.heads, d // self.heads).transpose(1, 2)
        k = k.view(n, t, self.heads, d // self.heads).transpose(1, 2)
        v = v.view(n, t, self.heads, d // self.heads).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d // self.heads)
        future = torch.ones(t, t, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).reshape(n, t, d)
        x = x + self.proj(mixed)
        normed2 = self.ln2(x)
        hidden = nn.functional.gelu(self.fc(normed2))
        x = x + self.out(hidden)
        return x


def example_inputs(n=2, t=6, d=32, seed=6):
    """Inputs of `Block().forward`."""
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(n, t, d, generator=g),)
