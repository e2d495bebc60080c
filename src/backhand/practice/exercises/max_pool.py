"""Max-pool

Of each window only the largest cell was read. The places are known from going forward: they count
the cells of one image in reading order.
"""

import torch
import torch.nn.functional as F


def forward(x, w):
    pooled, places = F.max_pool2d(x, 2, return_indices=True)
    out = pooled * w
    return out


def example_inputs():
    g = torch.Generator().manual_seed(29)
    x = torch.randn(5, 2, 7, 11, generator=g)
    w = torch.randn(5, 2, 3, 5, generator=g)
    return x, w
