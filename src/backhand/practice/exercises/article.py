"""The whole network

Embedding, linear layer, batch norm, tanh, linear layer, cross-entropy: every line is one that you
have written before. Work from the loss backwards and check often.
"""

import torch


def forward(C, Xb, W1, b1, bngain, bnbias, W2, b2, Yb):
    n = Xb.shape[0]
    emb = C[Xb]
    embcat = emb.view(emb.shape[0], -1)
    hprebn = embcat @ W1 + b1
    bnmeani = 1/n*hprebn.sum(0, keepdim=True)
    bndiff = hprebn - bnmeani
    bndiff2 = bndiff**2
    bnvar = 1/(n-1)*(bndiff2).sum(0, keepdim=True)
    bnvar_inv = (bnvar + 1e-5)**-0.5
    bnraw = bndiff * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    h = torch.tanh(hpreact)
    logits = h @ W2 + b2
    logit_maxes = logits.max(1, keepdim=True).values
    norm_logits = logits - logit_maxes
    counts = norm_logits.exp()
    counts_sum = counts.sum(1, keepdims=True)
    counts_sum_inv = counts_sum**-1
    probs = counts * counts_sum_inv
    logprobs = probs.log()
    loss = -logprobs[range(n), Yb].mean()
    return loss


def example_inputs():
    g = torch.Generator().manual_seed(21)
    C = torch.randn(13, 2, generator=g)
    Xb = torch.tensor(
        [[1, 0, 3], [3, 3, 1], [0, 7, 3], [10, 1, 1], [5, 0, 7], [2, 2, 5], [12, 0, 0]]
    )
    W1 = torch.randn(6, 5, generator=g) * 0.6
    b1 = torch.randn(5, generator=g) * 0.1
    bngain = torch.randn(1, 5, generator=g) * 0.2 + 1.2
    bnbias = torch.randn(1, 5, generator=g) * 0.1
    W2 = torch.randn(5, 13, generator=g) * 0.3
    b2 = torch.randn(13, generator=g) * 0.1
    Yb = torch.tensor([0, 3, 12, 3, 7, 5, 0])
    return C, Xb, W1, b1, bngain, bnbias, W2, b2, Yb
