"""Mean squared error and hinge

Two losses on two predictions, weighed and added. Each is a mean, so every example gets one part
in n of the upstream.
"""

import torch


def forward(pred, target, score, label):
    error = pred - target
    squared = error**2
    mse = squared.mean()
    margin = 1 - label * score
    hinges = torch.relu(margin)
    hinge = hinges.mean()
    loss = mse + 0.3 * hinge
    return loss


def example_inputs():
    g = torch.Generator().manual_seed(14)
    pred = torch.randn(5, 3, generator=g)
    target = torch.randn(5, 3, generator=g)
    score = torch.randn(7, generator=g) * 2
    label = torch.tensor([1, -1, 1, 1, -1, 1, -1])
    return pred, target, score, label
