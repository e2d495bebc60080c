"""An LSTM cell

Four gates out of one product, and a memory that is scaled and added to. The memory is read twice:
by the next step, and through the tanh by the state.
"""

import torch


def forward(x, h, c, W, U, b, wc):
    gates = x @ W + h @ U + b
    i, f, g, o = gates.chunk(4, 1)
    take = torch.sigmoid(i)
    keep = torch.sigmoid(f)
    new = torch.tanh(g)
    show = torch.sigmoid(o)
    c_next = keep * c + take * new
    squashed = torch.tanh(c_next)
    h_next = show * squashed
    out = c_next * wc + h_next
    return out


def example_inputs():
    g = torch.Generator().manual_seed(31)
    x = torch.randn(5, 3, generator=g)
    h = torch.randn(5, 7, generator=g) * 0.5
    c = torch.randn(5, 7, generator=g)
    W = torch.randn(3, 28, generator=g) * 0.5
    U = torch.randn(7, 28, generator=g) * 0.4
    b = torch.randn(28, generator=g) * 0.1
    wc = torch.randn(5, 7, generator=g)
    return x, h, c, W, U, b, wc
