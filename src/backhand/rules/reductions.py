"""Sums, means, spreads, extrema and norms along axes."""

from __future__ import annotations

import math
from typing import Any

from ..program.build import Var, op
from ..program.sizes import Dim, Scalar, Size, product
from .base import Context, Gradients, T, nondifferentiable, rule, sample

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
    return op.expand(restored(g, x, dim, keepdim), x.shape)


def every(dim: Any, x: Var) -> Any:
    """The reduced axes written out where "all of them" has no short form."""
    return axes(None, x.rank) if dim is None or dim == () else dim


def count(x: Var, dim: Any) -> Dim:
    """How many elements each result is made from."""
    return product(tuple(x.shape[a] for a in axes(dim, x.rank)) if x.rank else ())


@rule("sum", REDUCED, tex={"x": "1"})
def _sum(c: Context) -> Gradients:
    return {"x": spread(c.g, c.x, c["dim"], c["keepdim"])}


@rule("nansum", REDUCED, tex={"x": "[x\\text{ not NaN}]"}, special=(math.nan,))
def _nansum(c: Context) -> Gradients:
    g = c.g if c.g.dtype == c.x.dtype else op.to(c.g, c.x.dtype)
    back = spread(g, c.x, c["dim"], c["keepdim"])
    return {"x": back * op.logical_not(op.isnan(c.x))}


@rule("mean", REDUCED, tex={"x": "1/n"})
def _mean(c: Context) -> Gradients:
    n = count(c.x, c["dim"])
    # divided before it is spread: the same numbers, and less work
    return {"x": spread(c.g / n, c.x, c["dim"], c["keepdim"])}


# Variance and standard deviation.

SPREADS = (*REDUCED[:4], sample(T((5,)), correction=0), sample(T((4, 3)), 0, correction=2))


def _var(g: Var, x: Var, dim: Any, correction: Any, keepdim: bool) -> Var:
    """The gradient of a variance: ``2 / (n - correction) * g * (x - mean)``."""
    dof = _minus(count(x, dim), correction)
    if x.rank == 0 or dim is None:
        if isinstance(dof, (int, float)) and dof <= 0:
            # infinity times a difference of 0 is NaN, times any other it is infinity
            factor = op.where(x.eq(op.mean(x)), math.nan, math.inf)
            return g * op.to(factor, x.dtype)
        return (g * _two_over(dof)) * (x - op.mean(x))
    if x.rank > 1:
        g = restored(g, x, dim, keepdim)
    return (g * _two_over(dof)) * (x - op.mean(x, dim, keepdim=True))


def _minus(n: Dim, correction: Any) -> Any:
    if isinstance(n, Size) and not isinstance(correction, (int, Size)):
        return Scalar("sub", (n, correction))
    return n - correction


def _two_over(dof: Any) -> float | Scalar:
    if isinstance(dof, (Size, Scalar)):
        return Scalar("div", (2, dof))
    return 2.0 / dof if dof else math.inf


@rule(
    "var",
    SPREADS,
    tex={"x": "\\tfrac{2}{n - c}(x - \\bar x)"},
    domain="NaN (or inf) where n does not exceed the correction",
)
def _variance(c: Context) -> Gradients:
    return {"x": _var(c.g, c.x, c["dim"], c["correction"], c["keepdim"])}


def _std(g: Var, y: Var, c: Context) -> Var:
    g = op.masked_fill(g / (y * 2), y.eq(0), 0)
    return _var(g, c.x, c["dim"], c["correction"], c["keepdim"])


@rule(
    "std",
    SPREADS,
    tex={"x": "\\tfrac{1}{(n - c)\\,y}(x - \\bar x)"},
    exactness="subgradient",
    domain="0 for a constant; NaN for a single element",
)
def _deviation(c: Context) -> Gradients:
    return {"x": _std(c.g, c.y, c)}


def _with_mean(c: Context, first: Var | None) -> Gradients:
    second = c.gs[1]
    if second is not None:
        n = count(c.x, c["dim"])
        mean = spread(second / n, c.x, c["dim"], c["keepdim"])
        first = mean if first is None else first + mean
    return {"x": first}


@rule("var_mean", SPREADS, tex={"x": "\\tfrac{2}{n - c}(x - \\bar x),\\ 1/n"})
def _var_mean(c: Context) -> Gradients:
    g = c.gs[0]
    first = None if g is None else _var(g, c.x, c["dim"], c["correction"], c["keepdim"])
    return _with_mean(c, first)


@rule(
    "std_mean",
    SPREADS,
    tex={"x": "\\tfrac{1}{(n - c)\\,y}(x - \\bar x),\\ 1/n"},
    exactness="subgradient",
    domain="through std: 0 for a constant; NaN for a single element",
)
def _std_mean(c: Context) -> Gradients:
    g = c.gs[0]
    return _with_mean(c, None if g is None else _std(g, c.y, c))


# Extrema.

TIED = (*REDUCED, sample(T((3, 4), "ties"), 1), sample(T((3, 4), "ties")))
EVENLY = "equal elements share the gradient evenly"


def shared(c: Context, g: Var, y: Var) -> Var:
    """``g`` divided evenly among the elements that equal the result ``y``."""
    dim, keepdim = c["dim"], c["keepdim"]
    chosen = restored(y, c.x, dim, keepdim).eq(c.x)
    total = op.sum(chosen, every(dim, c.x), keepdim=True)
    return (restored(g, c.x, dim, keepdim) / total) * chosen


@rule(
    "amax",
    TIED,
    exactness="subgradient",
    ties=EVENLY,
    tex={"x": "[x = y]/\\#"},
    special=(math.inf,),
)
def _amax(c: Context) -> Gradients:
    return {"x": shared(c, c.g, c.y)}


@rule(
    "amin",
    TIED,
    exactness="subgradient",
    ties=EVENLY,
    tex={"x": "[x = y]/\\#"},
    special=(-math.inf,),
)
def _amin(c: Context) -> Gradients:
    return {"x": shared(c, c.g, c.y)}


@rule(
    "aminmax",
    (sample(T((3, 4)), dim=1), sample(T((3, 4))), sample(T((3, 4), "ties"), dim=0, keepdim=True)),
    exactness="subgradient",
    ties=EVENLY,
    tex={"x": "[x = y]/\\#"},
)
def _aminmax(c: Context) -> Gradients:
    out: Var | None = None
    for g, y in zip(c.gs, c.ys, strict=True):
        if g is not None:
            piece = shared(c, g, y)
            out = piece if out is None else out + piece
    return {"x": out}


WHOLE = (sample(T((3, 4))), sample(T(())), sample(T((3, 4), "ties")))


def _evenly(c: Context) -> Gradients:
    """The gradient shared by all elements that equal the result; NaN equals NaN here."""
    x, y = c.x, c.y
    chosen = op.logical_or(x.eq(y), op.logical_and(op.isnan(x), op.isnan(y)))
    return {"x": op.where(chosen, c.g / op.sum(chosen), 0.0)}


for _name in ("max", "min", "median", "nanmedian"):
    rule(
        _name,
        WHOLE,
        exactness="subgradient",
        ties=EVENLY,
        tex={"x": "[x = y]/\\#"},
        domain="a NaN result: the NaN elements share the gradient",
        special=(math.nan,),
    )(_evenly)


def to_chosen(c: Context, indices: Var, keepdim: bool | None = None) -> Var:
    """The upstream put where ``indices`` (along ``dim``) point, zero elsewhere."""
    x, g, dim = c.x, c.g, c["dim"]
    if x.rank == 0:
        return g
    if not (c["keepdim"] if keepdim is None else keepdim):
        g, indices = op.unsqueeze(g, dim), op.unsqueeze(indices, dim)
    return op.scatter(op.zeros_like(x), dim, indices, g)


ALONG = (
    sample(T((3, 4), "distinct"), 1, keepdim=True),
    sample(T((3, 4), "ties"), 0),
    sample(T((), "distinct"), 0),
)


def _chosen(c: Context) -> Gradients:
    return {"x": to_chosen(c, c.ys[1])}


for _name in ("max_dim", "min_dim"):
    rule(
        _name,
        ALONG,
        exactness="subgradient",
        tex={"x": "[i = \\text{index}]"},
        ties="the first of equal elements gets the whole gradient",
        special=(math.nan,),
    )(_chosen)
for _name in ("median_dim", "nanmedian_dim", "mode"):
    rule(
        _name,
        ALONG,
        exactness="subgradient",
        tex={"x": "[i = \\text{index}]"},
        ties="the element that the returned index names gets the whole gradient",
    )(_chosen)
rule(
    "kthvalue",
    (sample(T((3, 4), "distinct"), 2, 1, keepdim=True), sample(T((3, 4), "ties"), 2, 0)),
    exactness="subgradient",
    tex={"x": "[i = \\text{index}]"},
    ties="the element that the returned index names gets the whole gradient",
)(_chosen)
nondifferentiable("an index is a whole number", "argmax", "argmin", "argsort", "count_nonzero")
nondifferentiable("the result is true or false", "any", "all")


@rule(
    "logsumexp",
    REDUCED[:3],
    tex={"x": "e^{x - y}"},
    domain="NaN where every element is -inf",
    special=(-math.inf, math.inf),
)
def _logsumexp(c: Context) -> Gradients:
    dim, keepdim = c["dim"], c["keepdim"]
    g, y = restored(c.g, c.x, dim, keepdim), restored(c.y, c.x, dim, keepdim)
    return {"x": g * op.exp(c.x - y)}


# Products.


@rule(
    "prod",
    (
        sample(T((3, 4)), 0, keepdim=True),
        sample(T((3, 4)), 1),
        sample(T((3, 4))),
        sample(T((3, 4), "ties"), 1),
        sample(T((5,), "ties")),
        sample(T(())),
    ),
    tex={"x": "\\prod_{j \\ne i} x_j"},
    domain="with one zero only that element has a gradient; with two none has",
    special=(0.0, -0.0),
)
def _prod(c: Context) -> Gradients:
    x, g, y, dim = c.x, c.g, c.y, c["dim"]
    if x.dtype != g.dtype:
        x = op.to(x, g.dtype)
    if x.rank == 0:
        return {"x": g}
    if dim is None:
        flat = op.reshape(x, (-1,))
        zeros = op.sum(x.eq(0))
        # torch's order without zeros; with one, the products of the others, without division
        rest = op.reshape(g * others(flat, 0), x.shape)
        return {"x": op.where(zeros.eq(0), g * (y / x), op.where(zeros.eq(1), rest, 0.0))}
    if not c["keepdim"]:
        g, y = op.unsqueeze(g, dim), op.unsqueeze(y, dim)
    return {"x": op.where(op.any(x.eq(0)), g * others(x, dim), g * (y / x))}


def others(x: Var, dim: int) -> Var:
    """For each element the product of all others along an axis, without division."""
    dim %= x.rank
    if x.shape[dim] in (0, 1):
        return op.ones_like(x)
    ones = op.ones_like(op.slice(x, dim, None, 1))
    before = op.cumprod(op.cat((ones, op.slice(x, dim, None, -1)), dim), dim)
    behind = op.flip(op.slice(x, dim, 1, None), (dim,))
    after = op.flip(op.cumprod(op.cat((ones, behind), dim), dim), (dim,))
    return before * after
