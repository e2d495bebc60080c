"""A GRU cell

The old state is read four times: by both gates, by the candidate through the reset gate, and by
the blend at the end. The blend reads its gate twice, once as one minus it.
"""

import torch


def forward(x, h, Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc):
    az = x @ Wz + h @ Uz + bz
    update = torch.sigmoid(az)
    ar = x @ Wr + h @ Ur + br
    reset = torch.sigmoid(ar)
    kept = reset * h
    ac = x @ Wc + kept @ Uc + bc
    candidate = torch.tanh(ac)
    out = (1 - update) * candidate + update * h
    return out


def example_inputs():
    g = torch.Generator().manual_seed(32)
    x = torch.randn(5, 3, generator=g)
    h = torch.randn(5, 7, generator=g) * 0.5
    weights = []
    for _ in range(3):
        weights.append(torch.randn(3, 7, generator=g) * 0.5)
        weights.append(torch.randn(7, 7, generator=g) * 0.4)
        weights.append(torch.randn(7, generator=g) * 0.1)
    return x, h, *weights
