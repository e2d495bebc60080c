"""Norms and distances."""

from __future__ import annotations

import math
from typing import Any

from ..errors import UnsupportedError
from ..program.build import Var, op
from .base import Context, Gradients, T, rule, sample
from .reductions import axes, every, restored

NORMS = (
    sample(T((3, 4))),
    sample(T((3, 4)), 2, 1, keepdim=True),
    sample(T((3, 4)), 1, 0),
    sample(T((3, 4)), 3, 1),
    sample(T((3, 4)), 1.5, (0, 1)),
    sample(T((3, 4)), 0.5, 1),
    sample(T((3, 4)), math.inf, 1),
    sample(T((3, 4), "ties"), -math.inf, 1),
)


# The dtype in which torch (on a CPU) adds up what renorm measures.
WIDER = {"float16": "float32", "bfloat16": "float32", "float32": "float64"}


def norm_gradient(g: Var, x: Var, p: float, y: Var, dim: Any) -> Var | None:
    """The gradient of a ``p``-norm; ``g`` and ``y`` broadcast against ``x``. None: it has none."""
    if not isinstance(p, (int, float)):
        raise UnsupportedError("the order of a norm must be a number")
    if p == 0:
        return None
    if p == 1:
        return op.sgn(x) * g
    if p == 2:
        return g * op.masked_fill(x / y, y.eq(0), 0)
    if math.isinf(p):
        size = op.abs(x)
        chosen = op.logical_or(size.eq(y), op.isnan(size))
        return op.sgn(x) * ((g / op.sum(chosen, every(dim, x), keepdim=True)) * chosen)
    if p < 1:
        power = op.sgn(x) * op.masked_fill(op.abs(x) ** (p - 1), x.eq(0), 0)
        return power * g * y ** (1 - p)
    power = op.sgn(x) * op.abs(x) ** (p - 1) if p < 2 else x * op.abs(x) ** (p - 2)
    return power * op.masked_fill(g / y ** (p - 1), y.eq(0), 0)


@rule(
    "vector_norm",
    NORMS,
    tex={"x": "\\operatorname{sgn}(x)\\,|x|^{p-1}/y^{p-1}"},
    exactness="subgradient",
    ties="an infinite order: the largest elements share the gradient evenly",
    domain="0 where the norm is 0 (the square root of a sum of squares has NaN there)",
    special=(0.0, -0.0, math.nan),
)
def _vector_norm(c: Context) -> Gradients:
    x, dim, keepdim = c.x, c["dim"], c["keepdim"]
    g, y = restored(c.g, x, dim, keepdim), restored(c.y, x, dim, keepdim)
    return {"x": norm_gradient(g, x, c["ord"], y, dim)}


@rule(
    "dist",
    (sample(T((3, 4)), T((3, 4))), sample(T((3, 1)), T((1, 4)), 3), sample(T((3, 4)), T((4,)), 1)),
    exactness="subgradient",
    tex={
        "x": "\\partial\\lVert d\\rVert_p/\\partial d",
        "other": "-\\partial\\lVert d\\rVert_p/\\partial d",
    },
    domain="0 where the points coincide",
)
def _dist(c: Context) -> Gradients:
    g = norm_gradient(c.g, c["x"] - c["other"], c["p"], c.y, None)
    return {"x": g, "other": -g if g is not None and c.needs("other") else None}


@rule(
    "euclidean_dist",
    (sample(T((3, 4)), T((5, 4))), sample(T((2, 3, 4)), T((2, 5, 4)))),
    exactness="subgradient",
    tex={"x1": "\\sum_j (x_i - z_j)\\,g_{ij}/y_{ij}", "x2": "\\sum_i (z_j - x_i)\\,g_{ij}/y_{ij}"},
    domain="0 where two points coincide",
)
def _euclidean_dist(c: Context) -> Gradients:
    first, second = c["x1"], c["x2"]
    ratio = op.masked_fill(c.g / c.y, c.y.eq(0), 0)
    out: dict[str, Var] = {}
    if c.needs("x1"):
        out["x1"] = first * op.sum(ratio, -1, keepdim=True) - ratio @ second
    if c.needs("x2"):
        across = op.transpose(ratio, -2, -1)
        out["x2"] = second * op.unsqueeze(op.sum(ratio, -2), -1) - across @ first
    return out


@rule(
    "renorm",
    (sample(T((3, 4)), 2, 0, 1.0), sample(T((3, 4)), 1, 1, 0.5)),
    exactness="almost everywhere",
    tex={
        "x": "\\tfrac{m}{\\nu}(\\delta_{ij} - \\tfrac{x_i}{\\nu}\\,\\partial\\nu/\\partial x_j)"
        "\\text{ where } \\nu = \\lVert x\\rVert_p > m"
    },
    domain="slices at or below the bound pass the gradient on",
)
def _renorm(c: Context) -> Gradients:
    x, g, p, bound = c.x, c.g, c["p"], c["maxnorm"]
    others = tuple(a for a in axes(None, x.rank) if a != c["dim"] % x.rank)
    wide = WIDER.get(x.dtype)
    norm = op.vector_norm(x, p, others, keepdim=True, dtype=wide)
    total = op.sum(x * g, others, keepdim=True, dtype=wide)
    slope = norm_gradient(total, x, p, norm, others)
    inverse = op.reciprocal(norm + 1e-7)
    inner = g if slope is None else g - inverse * slope
    scaled = bound * inverse * inner
    if scaled.dtype != g.dtype:
        scaled = op.to(scaled, g.dtype)
    return {"x": op.where(norm > bound, scaled, g)}
