"""The article's network, and its backward pass written out by hand.

`forward` predicts the next letter of a name from the letters before it: an embedding, a linear
layer, batch norm, tanh, a second linear layer, cross entropy, each cut into steps small enough to
go back through one at a time. `backward_by_hand` goes back through them, one line per gradient:
`d{x}` is the gradient of the loss with respect to `x`, and has the shape of `x`.

    backhand derive examples/article.py:forward
    backhand verify examples/article.py:forward

Sizes in the comments: n examples, t letters of context, e numbers per letter, d hidden units,
k letters.
"""

import torch
import torch.nn.functional as F


# fmt: off
def forward(C, Xb, W1, b1, bngain, bnbias, W2, b2, Yb):
    """The loss of a batch: contexts `Xb` [n, t], next letters `Yb` [n]."""
    n = Xb.shape[0]
    # every letter of a context becomes a vector, and a context one long row
    emb = C[Xb]
    embcat = emb.view(emb.shape[0], -1)
    # first linear layer
    hprebn = embcat @ W1 + b1
    # batch norm, over the n examples of the batch
    bnmeani = 1/n*hprebn.sum(0, keepdim=True)
    bndiff = hprebn - bnmeani
    bndiff2 = bndiff**2
    bnvar = 1/(n-1)*(bndiff2).sum(0, keepdim=True)
    bnvar_inv = (bnvar + 1e-5)**-0.5
    bnraw = bndiff * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    # squashed to (-1, 1)
    h = torch.tanh(hpreact)
    # second linear layer: one score per letter
    logits = h @ W2 + b2
    # cross entropy, in steps small enough to go back through one at a time
    logit_maxes = logits.max(1, keepdim=True).values
    norm_logits = logits - logit_maxes
    counts = norm_logits.exp()
    counts_sum = counts.sum(1, keepdims=True)
    counts_sum_inv = counts_sum**-1
    probs = counts * counts_sum_inv
    logprobs = probs.log()
    loss = -logprobs[range(n), Yb].mean()
    return loss


def backward_by_hand(C, Xb, W1, b1, bngain, bnbias, W2, b2, Yb):
    """Every gradient of `forward`, by name: its 26 lines, then the two fused ones."""
    n = Xb.shape[0]

    # The forward pass once more: going back needs the values met on the way.
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

    # loss = -logprobs[range(n), Yb].mean()
    # The mean hands 1/n of -1 to each entry that was picked, and nothing to the others.
    dlogprobs = torch.zeros_like(logprobs)  # [n, k]
    dlogprobs[range(n), Yb] = -1.0 / n

    # logprobs = probs.log()
    dprobs = dlogprobs / probs  # [n, k]

    # probs = counts * counts_sum_inv
    # counts_sum_inv was stretched over k columns, so its gradient is added up over them.
    dcounts_sum_inv = (counts * dprobs).sum(1, keepdim=True)  # [n, 1]

    # counts_sum_inv = counts_sum**-1
    dcounts_sum = -counts_sum**-2 * dcounts_sum_inv  # [n, 1]

    # counts is used twice: in probs = counts * counts_sum_inv, and in
    # counts_sum = counts.sum(1, keepdims=True), which hands the same number to every column.
    dcounts = dcounts_sum + counts_sum_inv * dprobs  # [n, k]

    # counts = norm_logits.exp(), and an exponential is its own derivative
    dnorm_logits = counts * dcounts  # [n, k]

    # norm_logits = logits - logit_maxes
    # Zero but for rounding: softmax does not notice a shift of the whole row.
    dlogit_maxes = -dnorm_logits.sum(1, keepdim=True)  # [n, 1]

    # logits is used twice: in the difference above, and in
    # logit_maxes = logits.max(1, keepdim=True).values, which only its largest entry reaches.
    dlogits = dnorm_logits + F.one_hot(logits.argmax(1), logits.shape[1]) * dlogit_maxes  # [n, k]

    # logits = h @ W2 + b2
    # The two transposes are the only way in which the shapes fit; b2 was added to every row.
    dh = dlogits @ W2.T  # [n, d]
    dW2 = h.T @ dlogits  # [d, k]
    db2 = dlogits.sum(0)  # [k]

    # h = torch.tanh(hpreact)
    dhpreact = (1 - h**2) * dh  # [n, d]

    # hpreact = bngain * bnraw + bnbias
    # bngain and bnbias are one row used by all n examples; keepdim keeps them a row.
    dbngain = (bnraw * dhpreact).sum(0, keepdim=True)  # [1, d]
    dbnbias = dhpreact.sum(0, keepdim=True)  # [1, d]
    dbnraw = bngain * dhpreact  # [n, d]

    # bnraw = bndiff * bnvar_inv
    dbnvar_inv = (bndiff * dbnraw).sum(0, keepdim=True)  # [1, d]

    # bnvar_inv = (bnvar + 1e-5)**-0.5
    dbnvar = -0.5 * (bnvar + 1e-5)**-1.5 * dbnvar_inv  # [1, d]

    # bnvar = 1/(n-1)*(bndiff2).sum(0, keepdim=True)
    # A sum hands its gradient to each of its n terms: a row becomes n equal rows.
    dbndiff2 = (1/(n-1) * dbnvar).expand(bndiff2.shape)  # [n, d]

    # bndiff is used twice: in bnraw = bndiff * bnvar_inv and in bndiff2 = bndiff**2.
    dbndiff = bnvar_inv * dbnraw + 2 * bndiff * dbndiff2  # [n, d]

    # bndiff = hprebn - bnmeani
    dbnmeani = -dbndiff.sum(0, keepdim=True)  # [1, d]

    # hprebn is used twice: in the difference, and in bnmeani = 1/n*hprebn.sum(0, keepdim=True).
    dhprebn = dbndiff + 1/n * dbnmeani  # [n, d]

    # hprebn = embcat @ W1 + b1
    # db1 is zero but for rounding: batch norm takes away whatever shifts a whole column.
    dembcat = dhprebn @ W1.T  # [n, t*e]
    dW1 = embcat.T @ dhprebn  # [t*e, d]
    db1 = dhprebn.sum(0)  # [d]

    # embcat = emb.view(emb.shape[0], -1)
    # A view moves no value: entry (i, j, m) of emb is entry (i, e*j + m) of embcat. Its gradient
    # therefore holds the same numbers, laid out as emb is.
    demb = dembcat.view(emb.shape)  # [n, t, e]

    # emb = C[Xb]
    # Row C[x] was copied to every place (i, j) where Xb[i, j] is x. Those copies are uses of the
    # row, so its gradient is the sum of theirs; a letter that is not in Xb gets zero.
    dC = torch.zeros_like(C).index_put((Xb,), demb, accumulate=True)  # [k, e]

    # Exercise 2: from loss to logits at once. What the softmax says, less what is true.
    dlogits_fused = (F.softmax(logits, 1) - F.one_hot(Yb, logits.shape[1])) / n  # [n, k]

    # Exercise 3: from hpreact to hprebn at once. What came back, less its mean over the batch,
    # less the part of it that goes along with bnraw.
    dhprebn_fused = bngain * bnvar_inv / n * (
        n * dhpreact - dhpreact.sum(0) - n / (n-1) * bnraw * (dhpreact * bnraw).sum(0)
    )  # [n, d]

    return {
        "dlogprobs": dlogprobs, "dprobs": dprobs, "dcounts_sum_inv": dcounts_sum_inv,
        "dcounts_sum": dcounts_sum, "dcounts": dcounts, "dnorm_logits": dnorm_logits,
        "dlogit_maxes": dlogit_maxes, "dlogits": dlogits, "dh": dh, "dW2": dW2, "db2": db2,
        "dhpreact": dhpreact, "dbngain": dbngain, "dbnbias": dbnbias, "dbnraw": dbnraw,
        "dbnvar_inv": dbnvar_inv, "dbnvar": dbnvar, "dbndiff2": dbndiff2, "dbndiff": dbndiff,
        "dbnmeani": dbnmeani, "dhprebn": dhprebn, "dembcat": dembcat, "dW1": dW1, "db1": db1,
        "demb": demb, "dC": dC, "dlogits_fused": dlogits_fused, "dhprebn_fused": dhprebn_fused,
    }
# fmt: on


def example_inputs(n=32, d=64, k=27, t=3, e=10, seed=2147483647):
    """Inputs of `forward` in its order, the same at every call.

    No parameter is left at zero or one: a gradient that is zero everywhere hides mistakes.
    """
    g = torch.Generator().manual_seed(seed)
    C = torch.randn(k, e, generator=g)
    W1 = torch.randn(t * e, d, generator=g) * (5 / 3) / (t * e) ** 0.5
    b1 = torch.randn(d, generator=g) * 0.1
    W2 = torch.randn(d, k, generator=g) * 0.1
    b2 = torch.randn(k, generator=g) * 0.1
    bngain = torch.randn(1, d, generator=g) * 0.1 + 1.0
    bnbias = torch.randn(1, d, generator=g) * 0.1
    Xb = torch.randint(0, k, (n, t), generator=g)
    Yb = torch.randint(0, k, (n,), generator=g)
    return C, Xb, W1, b1, bngain, bnbias, W2, b2, Yb
