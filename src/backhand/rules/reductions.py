"""Sums, means, extrema and what is built from them."""

from __future__ import annotations

from typing import Any

from ..program.build import Var, op
from ..program.sizes import Dim, product
from .base import Context, Gradients, T, rule, sample

REDUCED = (
    sample(T((3, 4)), 0, keepdim=True),
    sample(T((3, 4)), 1),
    sample(T((2, 3, 4)), (0, 2)),
    sample(T((3, 4))),
    sample(T(())),
)


def axes(dim: Any, rank: int) -> tuple[int, ...]:
    """The reduced axes, non-negative and in order; ``None`` and ``()`` mean all."""
    if dim is None or dim == ():
        return tuple(range(rank))
    dims = dim if isinstance(dim, tuple) else (dim,)
    return tuple(sorted(d % max(rank, 1) for d in dims))


def restored(g: Var, x: Var, dim: Any, keepdim: bool) -> Var:
    """``g`` with the reduced axes put back at length 1 (``x`` gives the rank)."""
    if keepdim or x.rank == 0:
        return g
    reduced = axes(dim, x.rank)
    if len(reduced) == x.rank:
        return g  # a 0-d gradient broadcasts by itself
    for axis in reduced:
        g = op.unsqueeze(g, axis)
    return g


def spread(g: Var, x: Var, dim: Any, keepdim: bool) -> Var:
    """``g`` broadcast back over the reduced axes: what a sum's backward pass is."""
    back: Var = op.expand(restored(g, x, dim, keepdim), x.shape)
    return back


def count(x: Var, dim: Any) -> Dim:
    """How many elements each result is made from."""
    return product(tuple(x.shape[a] for a in axes(dim, x.rank)) if x.rank else ())


@rule("sum", REDUCED, tex={"x": "1"})
def _sum(c: Context) -> Gradients:
    return {"x": spread(c.g, c.x, c["dim"], c["keepdim"])}


@rule("mean", REDUCED, tex={"x": "1/n"})
def _mean(c: Context) -> Gradients:
    n = count(c.x, c["dim"])
    # divided before it is spread: the same numbers, and less work
    return {"x": spread(c.g / n, c.x, c["dim"], c["keepdim"])}


@rule("max_dim", (sample(T((3, 4), "distinct"), 1, keepdim=True), sample(T((3, 4), "ties"), 0)),
      exactness="subgradient", ties="the first of equal elements gets the whole gradient")
def _max_dim(c: Context) -> Gradients:
    return {"x": to_chosen(c, c.ys[1])}


def to_chosen(c: Context, indices: Var) -> Var:
    """The upstream put where ``indices`` (along ``dim``) point, zero elsewhere."""
    x, g, dim = c.x, c.g, c["dim"]
    if x.rank == 0:
        return g
    if not c["keepdim"]:
        g, indices = op.unsqueeze(g, dim), op.unsqueeze(indices, dim)
    placed: Var = op.scatter(op.zeros_like(x), dim, indices, g)
    return placed


__all__ = ["axes", "count", "restored", "spread", "to_chosen"]
