"""Running sums, products and extrema; sorting."""

from __future__ import annotations

import math

from ..program.build import Var, op
from .base import Context, Gradients, T, rule, sample
from .reductions import to_chosen

ALONG = (sample(T((3, 4)), 1), sample(T((3, 4)), 0), sample(T((3, 1)), 1), sample(T(()), 0))
LOWEST = {
    "float64": -1.7976931348623157e308,
    "float32": -3.4028234663852886e38,
    "float16": -65504.0,
    "bfloat16": -3.3895313892515355e38,
}


def reversed_cumsum(g: Var, dim: int) -> Var:
    """The running sum from the end."""
    return op.flip(op.cumsum(op.flip(g, (dim,)), dim), (dim,))


def _single(x: Var, dim: int) -> bool:
    return x.rank == 0 or x.shape[dim] == 1


@rule("cumsum", ALONG, tex={"x": "[i \\le j]"})
def _cumsum(c: Context) -> Gradients:
    g, dim = c.g, c["dim"]
    if g.dtype != c.x.dtype:
        g = op.to(g, c.x.dtype)
    return {"x": g if _single(g, dim) else reversed_cumsum(g, dim)}


@rule(
    "cumprod",
    (*ALONG, sample(T((3, 4), "ties"), 1)),
    tex={"x": "[i \\le j]\\,y_j/x_i"},
    domain="from a row's first zero on, only that zero has a gradient, up to the second zero",
    special=(0.0, -0.0),
)
def _cumprod(c: Context) -> Gradients:
    x, y, g, dim = c.x, c.y, c.g, c["dim"]
    if g.dtype != x.dtype:
        g = op.to(g, x.dtype)
    if _single(x, dim):
        return {"x": g}
    product = y * g
    usual = reversed_cumsum(product, dim) / x
    zero = x.eq(0)
    zeros_so_far = op.cumsum(zero, dim)
    before = zeros_so_far.eq(0)
    early = reversed_cumsum(op.masked_fill(product, op.logical_not(before), 0.0), dim) / x
    # at the first zero: the product before it, times the running products from it to the second
    between = zeros_so_far.eq(1)
    first = op.logical_and(between, zero)
    behind = op.logical_and(between, op.logical_not(first))
    running = op.cumprod(op.masked_fill(x, op.logical_not(behind), 1.0), dim)
    late = op.sum(running * op.masked_fill(g, op.logical_not(between), 0.0), dim, keepdim=True)
    lead = op.prod(op.masked_fill(x, op.logical_not(before), 1.0), dim, keepdim=True)
    at_zero = op.where(first, late * lead, 0.0)
    return {"x": op.where(op.any(zero), op.where(before, early, at_zero), usual)}


@rule("logcumsumexp", ALONG, tex={"x": "[i \\le j]\\,e^{x_i - y_j}"}, special=(-math.inf, math.inf))
def _logcumsumexp(c: Context) -> Gradients:
    x, y, g, dim = c.x, c.y, c.g, c["dim"]
    if x.rank == 0:
        return {"x": g}
    size = op.log(op.abs(g))
    lowest = LOWEST[g.dtype]

    def part(mask: Var) -> Var:
        logs = op.flip(op.where(mask, size, lowest) - y, (dim,))
        out: Var = op.exp(op.flip(op.logcumsumexp(logs, dim), (dim,)) + x)
        return out

    # positive and negative upstreams apart, so that all stays in logarithms
    return {"x": part(g > 0) - part(g < 0)}


def _accumulated(c: Context) -> Gradients:
    return {"x": op.scatter_add(op.zeros_like(c.x), c["dim"], c.ys[1], c.g)}


for _name in ("cummax", "cummin"):
    rule(
        _name,
        (*ALONG, sample(T((3, 4), "ties"), 1)),
        exactness="subgradient",
        tex={"x": "\\sum_j [i = \\text{index}_j]"},
        ties="of equal elements the last one so far gets the gradient",
        special=(math.nan,),
    )(_accumulated)


@rule(
    "sort",
    (
        sample(T((3, 4), "distinct")),
        sample(T((3, 4), "distinct"), 0, descending=True),
        sample(T((3, 4), "ties"), 1, stable=True),
        sample(T((), "distinct")),
    ),
    tex={"x": "[i = \\text{index}_j]"},
    exactness="subgradient",
    ties="every element gets the gradient of the place it was put at",
)
def _sort(c: Context) -> Gradients:
    return {"x": to_chosen(c, c.ys[1], keepdim=True)}


@rule(
    "topk",
    (sample(T((3, 4), "distinct"), 2), sample(T((4, 3), "distinct"), 2, 0, largest=False)),
    tex={"x": "[i = \\text{index}_j]"},
    exactness="subgradient",
    ties="the elements that the returned indices name get the gradient",
)
def _topk(c: Context) -> Gradients:
    return {"x": to_chosen(c, c.ys[1], keepdim=True)}
