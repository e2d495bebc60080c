"""A selective state-space layer: a linear recurrence whose speed depends on the input.

The scan is a plain loop over time; the state of each channel decays and takes in what comes.
Sizes: n sequences, t time steps, d channels, s numbers of state per channel.
"""

import torch
import torch.nn.functional as F


def forward(xs, A_log, Wdt, bdt, WB, WC, D):
    """Sequences `xs` [n, t, d]; the same shape comes out."""
    A = -torch.exp(A_log)
    delta = F.softplus(xs @ Wdt + bdt)
    B = xs @ WB
    C = xs @ WC
    decay = torch.exp(delta.unsqueeze(-1) * A)
    inflow = (delta * xs).unsqueeze(-1) * B.unsqueeze(2)
    state = torch.zeros_like(inflow[:, 0])
    ys = []
    for i in range(xs.shape[1]):
        state = decay[:, i] * state + inflow[:, i]
        y = (state * C[:, i].unsqueeze(1)).sum(-1)
        ys.append(y)
    out = torch.stack(ys, dim=1) + D * xs
    return out


def example_inputs(n=3, t=5, d=6, s=4, seed=11):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    xs = torch.randn(n, t, d, generator=g)
    A_log = torch.randn(d, s, generator=g) * 0.3
    Wdt = torch.randn(d, d, generator=g) * d**-0.5
    bdt = torch.randn(d, generator=g) * 0.1
    WB = torch.randn(d, s, generator=g) * d**-0.5
    WC = torch.randn(d, s, generator=g) * d**-0.5
    D = torch.randn(d, generator=g) * 0.1 + 1
    return xs, A_log, Wdt, bdt, WB, WC, D
