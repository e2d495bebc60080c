"""A letter model whose output layer is its embedding table, transposed.

The table `E` is used twice, for looking up and for scoring: its gradient is the sum of both.
Sizes: n examples, t letters of context, k letters, d numbers per letter.
"""

import torch
import torch.nn.functional as F


def forward(E, P, W, b, X, Y):
    """The loss of a batch: contexts `X` [n, t], next letters `Y` [n]."""
    emb = F.embedding(X, E) + P
    mixed = emb.mean(1)
    h = torch.tanh(mixed @ W + b)
    logits = h @ E.T
    loss = F.cross_entropy(logits, Y)
    return loss


def example_inputs(n=16, t=5, k=27, d=12, seed=12):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    E = torch.randn(k, d, generator=g)
    P = torch.randn(t, d, generator=g) * 0.1
    W = torch.randn(d, d, generator=g) * d**-0.5
    b = torch.randn(d, generator=g) * 0.1
    X = torch.randint(0, k, (n, t), generator=g)
    Y = torch.randint(0, k, (n,), generator=g)
    return E, P, W, b, X, Y
