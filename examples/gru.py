"""A GRU cell, unrolled over a short sequence.

Every weight is used once per time step, so each of its gradients is a sum over time.
Sizes: n sequences, t time steps, i inputs, d hidden units.
"""

import torch


def cell(x, h, Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc):
    """The next hidden state, from this step's input `x` [n, i] and the last state `h` [n, d]."""
    update = torch.sigmoid(x @ Wz + h @ Uz + bz)
    reset = torch.sigmoid(x @ Wr + h @ Ur + br)
    candidate = torch.tanh(x @ Wc + (reset * h) @ Uc + bc)
    return (1 - update) * candidate + update * h


def forward(xs, h, Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc, y):
    """The loss of the last state: inputs `xs` [n, t, i], first state `h`, targets `y` [n, d]."""
    for t in range(xs.shape[1]):
        h = cell(xs[:, t], h, Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc)
    loss = ((h - y) ** 2).mean()
    return loss


def example_inputs(n=8, t=4, i=5, d=6, seed=3):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    xs = torch.randn(n, t, i, generator=g)
    h = torch.randn(n, d, generator=g) * 0.5
    weights = []
    for _ in range(3):
        weights.append(torch.randn(i, d, generator=g) * i**-0.5)
        weights.append(torch.randn(d, d, generator=g) * d**-0.5)
        weights.append(torch.randn(d, generator=g) * 0.1)
    y = torch.randn(n, d, generator=g)
    return xs, h, *weights, y
