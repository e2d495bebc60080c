"""Focal loss: cross entropy that looks away from what is already right.

The loss of an example is scaled by (1 - p)^gamma, p being the probability of its true class.
Sizes: n examples, i inputs, k classes.
"""

import torch


def forward(x, W, b, labels, gamma=2.0):
    """The loss of a batch: inputs `x` [n, i], `labels` [n]."""
    n = x.shape[0]
    logits = x @ W + b
    logprobs = torch.log_softmax(logits, 1)
    logp = logprobs[torch.arange(n), labels]
    p = logp.exp()
    focus = (1 - p) ** gamma
    losses = -focus * logp
    loss = losses.mean()
    return loss


def example_inputs(n=20, i=7, k=5, seed=10):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, i, generator=g)
    W = torch.randn(i, k, generator=g) * 0.5
    b = torch.randn(k, generator=g) * 0.1
    labels = torch.randint(0, k, (n,), generator=g)
    return x, W, b, labels
