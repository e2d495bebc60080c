"""Max over an axis

Only the largest entry of a row was read by the maximum, so only that entry gets its gradient.
Here each row is read a second time, by the difference.
"""

import torch


def forward(x, w):
    top, place = x.max(1, keepdim=True)
    shifted = x - top
    out = shifted * w
    return out


def example_inputs():
    g = torch.Generator().manual_seed(11)
    x = torch.randn(5, 7, generator=g)
    w = torch.randn(5, 7, generator=g)
    return x, w
