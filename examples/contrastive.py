"""The contrastive loss of CLIP: images and texts that belong together shall point the same way.

Every image picks its text among all texts of the batch, and every text its image.
Sizes: n pairs, i and j input features, d numbers in an embedding.
"""

import torch
import torch.nn.functional as F


def forward(images, texts, Wi, Wt, log_scale):
    """The loss of n pairs: `images` [n, i], `texts` [n, j], a learnt 0-d `log_scale`."""
    image_emb = images @ Wi
    text_emb = texts @ Wt
    # unit length: a dot product becomes a cosine
    image_unit = image_emb / image_emb.norm(dim=1, keepdim=True)
    text_unit = text_emb / text_emb.norm(dim=1, keepdim=True)
    logits = log_scale.exp() * image_unit @ text_unit.T
    pairs = torch.arange(logits.shape[0])
    loss_images = F.cross_entropy(logits, pairs)
    loss_texts = F.cross_entropy(logits.T, pairs)
    loss = (loss_images + loss_texts) / 2
    return loss


def example_inputs(n=12, i=10, j=14, d=8, seed=9):
    """Inputs of `forward` in its order."""
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(n, i, generator=g)
    texts = torch.randn(n, j, generator=g)
    Wi = torch.randn(i, d, generator=g) * i**-0.5
    Wt = torch.randn(j, d, generator=g) * j**-0.5
    log_scale = torch.tensor(1.5)
    return images, texts, Wi, Wt, log_scale
