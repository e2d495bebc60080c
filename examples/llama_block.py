"""A block of Llama as a module: RMS norm, rotary positions, SwiGLU.

Queries and keys are turned by an angle that grows with the position; no bias anywhere.
Sizes: n sequences, t positions, d numbers per position.
"""

import torch
from torch import nn


class RMSNorm(nn.Module):
    """Scales every row to root mean square one, then by a gain per column."""

    def __init__(self, d):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(d))

    def forward(self, x):
        mean_square = x.pow(2).mean(-1, keepdim=True)
        inv_rms = torch.rsqrt(mean_square + 1e-5)
        return x * inv_rms * self.gain


def rotate(x, cos, sin):
    """Turn each pair (i, i + half) of the last axis by the angle with this cosine and sine."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


class Block(nn.Module):
    """Pre-norm transformer block with rotary causal attention."""

    def __init__(self, d=32, heads=4, hidden=48):
        super().__init__()
        self.heads = heads
        self.norm1 = RMSNorm(d)
        self.wq = nn.Linear(d, d, bias=False)
        self.wk = nn.Linear(d, d, bias=False)
        self.wv = nn.Linear(d, d, bias=False)
        self.wo = nn.Linear(d, d, bias=False)
        self.norm2 = RMSNorm(d)
        self.gate = nn.Linear(d, hidden, bias=False)
        self.up = nn.Linear(d, hidden, bias=False)
        self.down = nn.Linear(hidden, d, bias=False)

    def forward(self, x, angles):
        """Sequences `x` [n, t, d], rotary `angles` [t, d / heads / 2]; `x`'s shape comes out."""
        n, t, d = x.shape
        cos, sin = angles.cos(), angles.sin()
        normed1 = self.norm1(x)
        q = self.wq(normed1).view(n, t, self.heads, d // self.heads).transpose(1, 2)
        k = self.wk(normed1).view(n, t, self.heads, d // self.heads).transpose(1, 2)
        v = self.wv(normed1).view(n, t, self.heads, d // self.heads).transpose(1, 2)
        q_turned = rotate(q, cos, sin)
        k_turned = rotate(k, cos, sin)
        mixed = nn.functional.scaled_dot_product_attention(q_turned, k_turned, v, is_causal=True)
        merged = mixed.transpose(1, 2).reshape(n, t, d)
        x = x + self.wo(merged)
        normed2 = self.norm2(x)
        gated = nn.functional.silu(self.gate(normed2)) * self.up(normed2)
        x = x + self.down(gated)
        return x


def example_inputs(n=2, t=6, d=32, heads=4, seed=7):
    """Inputs of `Block().forward`."""
    g = torch.Generator().manual_seed(seed)
    half = d // heads // 2
    rates = 10000 ** (-torch.arange(half) / half)
    angles = torch.arange(t)[:, None] * rates
    return torch.randn(n, t, d, generator=g), angles
