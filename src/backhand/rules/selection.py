"""Choosing between values: where, clamp, maximum, masks, triangles."""

from __future__ import annotations

import math

from ..program.build import Var, op
from .base import Context, Gradients, T, rule, sample
from .elementwise import PAIRS

MASK = T((3, 4), "bool", grad=False)
TIED = (*PAIRS[:4], sample(T((3, 4), "ties"), T((3, 4), "ties")))
EDGES = (0.0, -0.0, math.inf, -math.inf, math.nan)


@rule(
    "where",
    (
        sample(MASK, T((3, 4)), T((3, 4))),
        sample(MASK, T((3, 1)), T((1, 4))),
        sample(MASK, T((3, 4)), 0.0),
        sample(MASK, 0.0, T(())),
    ),
    tex={"x": "[c]", "other": "[\\lnot c]"},
    domain="an infinite slope in the branch not taken still gives NaN: 0 * inf",
)
def _where(c: Context) -> Gradients:
    condition = c["condition"]
    return {
        "x": op.where(condition, c.g, 0.0) if c.needs("x") else None,
        "other": op.where(condition, 0.0, c.g) if c.needs("other") else None,
    }


@rule(
    "clamp",
    (
        sample(T((3, 4)), -0.5, 0.5),
        sample(T((3, 4)), -0.5),
        sample(T((3, 4)), None, 0.5),
        sample(T((3, 4)), T((4,)), T((3, 1))),
        sample(T((3, 4)), T((3, 4))),
        sample(T((3, 4)), None, T(())),
    ),
    exactness="subgradient",
    ties="at a bound x keeps the whole gradient and the bound gets none",
    tex={
        "x": "[min \\le x \\le max]",
        "min": "[x < min < max]",
        "max": "[x > max \\lor max < min]",
    },
    domain="NaN gets no gradient",
    special=(-0.5, 0.5, math.nan),
)
def _clamp(c: Context) -> Gradients:
    x, low, high, g = c.x, c["min"], c["max"], c.g
    out: dict[str, Var] = {}
    if c.needs("x"):
        if low is not None and high is not None:
            out["x"] = op.where(op.logical_and(x >= low, x <= high), g, 0.0)
        elif low is not None:
            out["x"] = op.where(x >= low, g, 0.0)
        else:
            out["x"] = op.where(x <= high, g, 0.0)
    if c.needs("min"):
        below = x < low
        below = below if high is None else op.logical_and(below, low < high)
        out["min"] = op.where(below, g, 0.0)
    if c.needs("max"):
        above = x > high
        above = above if low is None else op.logical_or(above, high < low)
        out["max"] = op.where(above, g, 0.0)
    return out


ONE_BOUND = (sample(T((3, 4)), 0.2), sample(T((3, 4)), T((4,))), sample(T((3, 4), "ties"), 1.0))


@rule(
    "clamp_min",
    ONE_BOUND,
    exactness="subgradient",
    ties="at the bound x keeps the whole gradient and the bound gets none",
    tex={"x": "[x \\ge min]", "min": "[x < min]"},
    special=(0.2, math.nan),
)
def _clamp_min(c: Context) -> Gradients:
    low = c["min"]
    return {
        "x": op.where(c.x >= low, c.g, 0.0) if c.needs("x") else None,
        "min": op.where(c.x < low, c.g, 0.0) if c.needs("min") else None,
    }


@rule(
    "clamp_max",
    ONE_BOUND,
    exactness="subgradient",
    ties="at the bound x keeps the whole gradient and the bound gets none",
    tex={"x": "[x \\le max]", "max": "[x > max]"},
    special=(0.2, math.nan),
)
def _clamp_max(c: Context) -> Gradients:
    high = c["max"]
    return {
        "x": op.where(c.x <= high, c.g, 0.0) if c.needs("x") else None,
        "max": op.where(c.x > high, c.g, 0.0) if c.needs("max") else None,
    }


def _shared(g: Var, x: Var, other: Var, lost: Var) -> Var:
    """Half of ``g`` where the operands are equal, none where this one lost."""
    return op.masked_fill(op.where(x.eq(other), g / 2, g), lost, 0)


HALVES = "equal operands get half of the gradient each"


@rule(
    "maximum",
    TIED,
    exactness="subgradient",
    ties=HALVES,
    domain="where an operand is NaN both get the whole gradient",
    tex={"x": "[x > other]", "other": "[other > x]"},
    special=EDGES,
)
def _maximum(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    return {
        "x": _shared(c.g, x, other, x < other) if c.needs("x") else None,
        "other": _shared(c.g, x, other, x > other) if c.needs("other") else None,
    }


@rule(
    "minimum",
    TIED,
    exactness="subgradient",
    ties=HALVES,
    domain="where an operand is NaN both get the whole gradient",
    tex={"x": "[x < other]", "other": "[other < x]"},
    special=EDGES,
)
def _minimum(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    return {
        "x": _shared(c.g, x, other, x > other) if c.needs("x") else None,
        "other": _shared(c.g, x, other, x < other) if c.needs("other") else None,
    }


def _winner(c: Context, first_wins: Var) -> Gradients:
    """The whole gradient to one side: the first operand unless it lost; never to a NaN alone."""
    first = op.logical_or(first_wins, op.isnan(c["other"]))
    return {
        "x": op.masked_fill(c.g, op.logical_not(first), 0) if c.needs("x") else None,
        "other": op.masked_fill(c.g, first, 0) if c.needs("other") else None,
    }


@rule(
    "fmax",
    TIED,
    exactness="subgradient",
    ties="of equal operands the first gets the gradient",
    domain="a NaN operand gets none, unless both are NaN: then the first gets it",
    tex={"x": "[x \\ge other]", "other": "[other > x]"},
    special=EDGES,
)
def _fmax(c: Context) -> Gradients:
    return _winner(c, c["x"] >= c["other"])


@rule(
    "fmin",
    TIED,
    exactness="subgradient",
    ties="of equal operands the first gets the gradient",
    domain="a NaN operand gets none, unless both are NaN: then the first gets it",
    tex={"x": "[x \\le other]", "other": "[other < x]"},
    special=EDGES,
)
def _fmin(c: Context) -> Gradients:
    return _winner(c, c["x"] <= c["other"])


@rule(
    "nan_to_num",
    (sample(T((3, 4))), sample(T((3, 4), "special"), 1.0, 2.0, -2.0)),
    tex={"x": "[x\\text{ finite}]"},
    special=EDGES,
)
def _nan_to_num(c: Context) -> Gradients:
    return {"x": c.g * op.isfinite(c.x)}


@rule(
    "masked_fill",
    (
        sample(T((3, 4)), MASK, 0.5),
        sample(T((3, 4)), T((4,), "bool", grad=False), -math.inf),
        sample(T((3, 4)), MASK, T(())),
    ),
    tex={"x": "[\\lnot mask]", "value": "\\sum [mask]"},
)
def _masked_fill(c: Context) -> Gradients:
    mask = c["mask"]
    return {
        "x": op.masked_fill(c.g, mask, 0) if c.needs("x") else None,
        "value": op.sum(op.where(mask, c.g, 0.0)) if c.needs("value") else None,
    }


TRIANGLES = (sample(T((3, 4))), sample(T((4, 3)), 1), sample(T((2, 3, 3)), -1))


@rule("tril", TRIANGLES, tex={"x": "[j \\le i + k]"})
def _tril(c: Context) -> Gradients:
    return {"x": op.tril(c.g, c["diagonal"])}


@rule("triu", TRIANGLES, tex={"x": "[j \\ge i + k]"})
def _triu(c: Context) -> Gradients:
    return {"x": op.triu(c.g, c["diagonal"])}


@rule(
    "fill",
    (sample(T((3, 4)), 0.5), sample(T((3, 4)), T(()))),
    tex={"x": "0", "value": "\\sum g"},
)
def _fill(c: Context) -> Gradients:
    return {
        "x": op.zeros_like(c.g) if c.needs("x") else None,
        "value": op.sum(c.g) if c.needs("value") else None,
    }


@rule(
    "copy",
    (sample(T((3, 4)), T((3, 4))), sample(T((3, 4)), T((4,))), sample(T((3, 4)), T(()))),
    tex={"x": "0", "src": "g"},
)
def _copy(c: Context) -> Gradients:
    src = c["src"]  # cast before a broadcast is undone: the sum is taken in the dtype of src
    return {
        "x": op.zeros_like(c.g) if c.needs("x") else None,
        "src": c.g if c.g.dtype == src.dtype else op.to(c.g, src.dtype),
    }
