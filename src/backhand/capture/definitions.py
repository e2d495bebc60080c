"""Operators that torch defines by others with a look at the data, or behind autograd's back: the
same in plain sight.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

Tensor = torch.Tensor


def cov(
    x: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """torch reads the weights only to refuse bad ones and to warn."""
    x = x.reshape(1, -1) if x.dim() < 2 else x
    weights = fweights if aweights is None else aweights
    if fweights is not None and aweights is not None:
        weights = fweights * aweights
    # a tensor, as torch has it: dividing by it rounds as torch rounds
    total = x.new_full((), x.shape[1], dtype=torch.int64)
    total = total if weights is None else weights.sum()
    mean = (x if weights is None else x * weights).sum(1) / total
    if weights is not None and aweights is not None and correction != 0:
        freedom = total - correction * (weights * aweights).sum() / total
    else:
        freedom = total - correction
    freedom = freedom.masked_fill(freedom <= 0, 0)
    x = x - mean.unsqueeze(1)
    product = torch.mm(x, (x if weights is None else x * weights).t())
    return (product / freedom).squeeze()


def corrcoef(x: Tensor) -> Tensor:
    c = cov(x)
    if c.dim() == 0:
        return c / c
    spread = c.diagonal().sqrt()
    return (c / spread.unsqueeze(1) / spread.unsqueeze(0)).clamp(-1, 1)


def combinations(x: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """torch selects with a mask; which elements those are follows from the length alone."""
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = list(pick(range(x.shape[0]), r))
    if r == 0 or not chosen:
        return x[:0].reshape(0, r) if r else x[:0]
    return torch.stack([x[torch.tensor(column)] for column in zip(*chosen, strict=True)], 1)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """torch refuses negative variances, and clamps the others behind autograd's back."""
    if isinstance(var, float):
        var = var * torch.ones_like(input)
    if var.shape != input.shape and var.shape == input.shape[:-1]:
        var = var.unsqueeze(-1)
    var = torch.where(var < eps, eps + (var - var.detach()), var)
    loss = 0.5 * (torch.log(var) + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return loss if reduction == "none" else getattr(loss, reduction)()


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """torch clamps the norms behind autograd's back: below ``eps`` they have a gradient still."""
    common = torch.result_type(x1, x2)
    if x1.shape != x2.shape:
        x1, x2 = torch.broadcast_tensors(x1, x2)  # type: ignore[no-untyped-call]
    norms = [torch.linalg.vector_norm(x, 2, dim, keepdim=True) for x in (x1, x2)]
    least = x1.new_full((), eps, dtype=common)
    first, second = (torch.where(n < least, least + (n - n.detach()), n) for n in norms)
    ratio = x2 / second  # first, as torch has it: gradients are added up in this order
    return (x1 / first * ratio).sum(dim)


# Functions that torch writes in Python.
FUNCTIONS: dict[Any, Any] = {torch.nn.functional.gaussian_nll_loss: gaussian_nll_loss}
DEFINITIONS: dict[Any, Any] = {
    torch.ops.aten.cov.default: cov,
    torch.ops.aten.corrcoef.default: corrcoef,
    torch.ops.aten.combinations.default: combinations,
    torch.ops.aten.cosine_similarity.default: cosine_similarity,
}
