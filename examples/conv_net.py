"""A small image classifier: two rounds of convolution, batch norm, ReLU and pooling.

Torch's own layers are taken whole here: each has one line in the backward pass.
Sizes: n images of c channels, s by s pixels, k classes.
"""

import torch
import torch.nn.functional as F


def forward(images, K1, gain1, bias1, K2, gain2, bias2, W, b, labels):
    """The loss of a batch: `images` [n, c, s, s], `labels` [n]."""
    conv1 = F.conv2d(images, K1, padding=1)
    norm1 = F.batch_norm(conv1, None, None, gain1, bias1, training=True)
    relu1 = F.relu(norm1)
    pool1 = F.max_pool2d(relu1, 2)
    conv2 = F.conv2d(pool1, K2, padding=1)
    norm2 = F.batch_norm(conv2, None, None, gain2, bias2, training=True)
    relu2 = F.relu(norm2)
    pool2 = relu2.mean((2, 3))
    logits = pool2 @ W + b
    loss = F.cross_entropy(logits, labels)
    return loss


def example_inputs(n=6, c=3, s=12, k=5, seed=5):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, c, s, s, generator=g)
    K1 = torch.randn(8, c, 3, 3, generator=g) * (2 / (9 * c)) ** 0.5
    gain1 = torch.randn(8, generator=g) * 0.1 + 1
    bias1 = torch.randn(8, generator=g) * 0.1
    K2 = torch.randn(10, 8, 3, 3, generator=g) * (2 / 72) ** 0.5
    gain2 = torch.randn(10, generator=g) * 0.1 + 1
    bias2 = torch.randn(10, generator=g) * 0.1
    W = torch.randn(10, k, generator=g) * 0.3
    b = torch.randn(k, generator=g) * 0.1
    labels = torch.randint(0, k, (n,), generator=g)
    return images, K1, gain1, bias1, K2, gain2, bias2, W, b, labels
