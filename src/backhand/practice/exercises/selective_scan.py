"""A selective scan

A state that decays and takes in, at a speed that depends on the input. Go back through time step
by step: the gradient of a state is what its own output says plus what the next state hands back.
"""

import torch


def forward(x, delta, A, B, C):
    decay = torch.exp(delta.unsqueeze(3) * A)
    drive = delta * x
    inflow = drive.unsqueeze(3) * B.unsqueeze(2)
    s1 = inflow[:, 0]
    s2 = decay[:, 1] * s1 + inflow[:, 1]
    s3 = decay[:, 2] * s2 + inflow[:, 2]
    states = torch.stack([s1, s2, s3], dim=1)
    out = torch.einsum("ntds,nts->ntd", states, C)
    return out


def example_inputs():
    g = torch.Generator().manual_seed(36)
    x = torch.randn(5, 3, 7, generator=g)
    delta = torch.rand(5, 3, 7, generator=g) + 0.2
    A = -torch.rand(7, 2, generator=g)
    B = torch.randn(5, 3, 2, generator=g)
    C = torch.randn(5, 3, 2, generator=g)
    return x, delta, A, B, C
