"""Cross-entropy in eight lines

Nothing new in any line, but counts and logits are each read twice. The gradient of the row maxima
is a sum that comes to zero but for rounding: shifting all scores of a row changes no probability.
"""

import torch


def forward(logits, Yb):
    n = logits.shape[0]
    logit_maxes = logits.max(1, keepdim=True).values
    norm_logits = logits - logit_maxes
    counts = norm_logits.exp()
    counts_sum = counts.sum(1, keepdim=True)
    counts_sum_inv = counts_sum**-1
    probs = counts * counts_sum_inv
    logprobs = probs.log()
    loss = -logprobs[range(n), Yb].mean()
    return loss


def example_inputs():
    g = torch.Generator().manual_seed(15)
    logits = torch.randn(5, 7, generator=g) * 2
    Yb = torch.tensor([3, 0, 3, 6, 1])
    return logits, Yb
