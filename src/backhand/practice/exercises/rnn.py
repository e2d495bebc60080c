"""A recurrent network, three steps

The weights are read at every step, so their gradients are sums over time. The gradient of a state
has two parts as well: what its own output says, and what arrives from the next step.
"""

import torch


def forward(x1, x2, x3, h0, W, U, b, V):
    a1 = x1 @ W + h0 @ U + b
    h1 = torch.tanh(a1)
    a2 = x2 @ W + h1 @ U + b
    h2 = torch.tanh(a2)
    a3 = x3 @ W + h2 @ U + b
    h3 = torch.tanh(a3)
    total = h1 + h2 + h3
    out = total @ V
    return out


def example_inputs():
    g = torch.Generator().manual_seed(30)
    x1, x2, x3 = (torch.randn(5, 3, generator=g) for _ in range(3))
    h0 = torch.randn(5, 7, generator=g) * 0.5
    W = torch.randn(3, 7, generator=g) * 0.5
    U = torch.randn(7, 7, generator=g) * 0.4
    b = torch.randn(7, generator=g) * 0.1
    V = torch.randn(7, 2, generator=g)
    return x1, x2, x3, h0, W, U, b, V
