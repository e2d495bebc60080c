"""Two hidden layers of ReLU and a mean squared error.

The smallest network worth going back through: three times the same linear layer, a kink, a mean.
Sizes: n examples, i inputs, d hidden units, o outputs.
"""

import torch


def forward(x, W1, b1, W2, b2, W3, b3, y):
    """The loss of a batch: inputs `x` [n, i], targets `y` [n, o]."""
    h1pre = x @ W1 + b1
    h1 = torch.relu(h1pre)
    h2pre = h1 @ W2 + b2
    h2 = torch.relu(h2pre)
    pred = h2 @ W3 + b3
    diff = pred - y
    loss = (diff**2).mean()
    return loss


def example_inputs(n=32, i=8, d=20, o=3, seed=1):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, i, generator=g)
    W1 = torch.randn(i, d, generator=g) * (2 / i) ** 0.5
    b1 = torch.randn(d, generator=g) * 0.1
    W2 = torch.randn(d, d, generator=g) * (2 / d) ** 0.5
    b2 = torch.randn(d, generator=g) * 0.1
    W3 = torch.randn(d, o, generator=g) * (1 / d) ** 0.5
    b3 = torch.randn(o, generator=g) * 0.1
    y = torch.randn(n, o, generator=g)
    return x, W1, b1, W2, b2, W3, b3, y
