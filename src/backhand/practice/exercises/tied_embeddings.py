"""Tied embeddings

One table looks letters up and scores them: it is read twice, in two very different ways. One use
adds up rows by index, the other is a matrix product.
"""

import torch


def forward(C, Xb, W, b, V):
    emb = C[Xb]
    mixed = emb.mean(1)
    h = torch.tanh(mixed @ W + b)
    key = h @ V
    logits = key @ C.T
    return logits


def example_inputs():
    g = torch.Generator().manual_seed(35)
    C = torch.randn(11, 2, generator=g)
    Xb = torch.tensor([[1, 0, 3], [3, 3, 1], [0, 7, 3], [10, 1, 1], [5, 0, 7]])
    W = torch.randn(2, 7, generator=g)
    b = torch.randn(7, generator=g) * 0.3
    V = torch.randn(7, 2, generator=g)
    return C, Xb, W, b, V
