"""Gradients at wrong places: ties and edges, support, elements read twice, kernels."""

from __future__ import annotations

from typing import Any

from backhand.program.build import Var, many, op
from backhand.rules import Context
from backhand.rules.base import Gradients
from backhand.rules.reductions import restored, to_chosen
from backhand.rules.views import zeros_for

from .base import ALMOST, wrong

# Ties, kinks and edges: right almost everywhere, which is where differences look.


@wrong("amax", "tie", "gradient", missed=ALMOST)
def every_maximum_gets_it_all(c: Context) -> Gradients:
    dim, keepdim = c["dim"], c["keepdim"]
    chosen = restored(c.y, c.x, dim, keepdim).eq(c.x)
    return {"x": restored(c.g, c.x, dim, keepdim) * chosen}


@wrong("max_dim", "tie", "gradient", missed=ALMOST)
def shared_among_the_maxima(c: Context) -> Gradients:
    if c.x.rank == 0:
        return {"x": c.g}
    dim, keepdim = c["dim"], c["keepdim"]
    chosen = restored(c.y, c.x, dim, keepdim).eq(c.x)
    total = op.sum(chosen, dim, keepdim=True)
    return {"x": (restored(c.g, c.x, dim, keepdim) / total) * chosen}


@wrong("maximum", "tie", "gradient", "special", missed=ALMOST)
def first_of_equal_operands(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    return {
        "x": op.masked_fill(c.g, x < other, 0),
        "other": op.masked_fill(c.g, x >= other, 0),
    }


@wrong("abs", "tie", "special", missed=("gradient", "differences", "second"))
def slope_one_at_zero(c: Context) -> Gradients:
    return {"x": op.where(c.x >= 0, c.g, -c.g)}


@wrong("clamp", "tie", "special", missed=("gradient", "differences"))
def nothing_at_the_bounds(c: Context) -> Gradients:
    x, low, high = c.x, c["min"], c["max"]
    inside = [x > low] if low is not None else []
    inside += [x < high] if high is not None else []
    both = inside[0] if len(inside) == 1 else op.logical_and(*inside)
    out: dict[str, Var] = {"x": op.where(both, c.g, 0.0)}
    if c.needs("min"):
        below = x < low if high is None else op.logical_and(x < low, low < high)
        out["min"] = op.where(below, c.g, 0.0)
    if c.needs("max"):
        above = x > high if low is None else op.logical_or(x > high, high < low)
        out["max"] = op.where(above, c.g, 0.0)
    return out


@wrong("relu", "tie", "special", missed=("gradient", "differences"))
def nothing_at_nan(c: Context) -> Gradients:
    return {"x": op.where(c.x > 0, c.g, 0.0)}


@wrong("softplus", "tie", "gradient", "special")
def no_threshold(c: Context) -> Gradients:
    return {"x": c.g * op.sigmoid(c.x * c["beta"])}


@wrong("prod", "tie", "gradient", "special")
def divided_by_a_zero(c: Context) -> Gradients:
    dim, keepdim = c["dim"], c["keepdim"] or c["dim"] is None
    return {"x": restored(c.g, c.x, dim, keepdim) * (restored(c.y, c.x, dim, keepdim) / c.x)}


# Support: elements that should have a gradient, or should not.


@wrong("tril", "support")
def diagonal_left_out(c: Context) -> Gradients:
    return {"x": op.tril(c.g, c["diagonal"] - 1)}


@wrong("where", "support")
def branches_exchanged(c: Context) -> Gradients:
    condition = c["condition"]
    return {
        "x": op.where(condition, 0.0, c.g) if c.needs("x") else None,
        "other": op.where(condition, c.g, 0.0) if c.needs("other") else None,
    }


@wrong("slice", "support")
def one_place_further(c: Context) -> Gradients:
    place = (c["dim"], c["start"], c["end"], c["step"])
    back = op.slice_scatter(zeros_for(c.x, c.g), c.g, *place)
    return {"x": op.roll(back, 1, c["dim"])}


@wrong("scatter", "support", "gradient")
def overwritten_elements_keep_theirs(c: Context) -> Gradients:
    return {"x": c.g, "src": op.gather(c.g, c["dim"], c["index"]) if c.needs("src") else None}


@wrong("embedding", "support", "gradient")
def padding_gets_a_gradient(c: Context) -> Gradients:
    rows = c["weight"].shape[0]
    return {"weight": op.embedding_backward(c.g, c["indices"], rows, -1, False)}


@wrong("constant_pad_nd", "support")
def border_at_the_other_end(c: Context) -> Gradients:
    pad = c["pad"]
    swapped_ends = tuple(pad[i + 1 - 2 * (i % 2)] for i in range(len(pad)))
    return {"x": op.constant_pad_nd(c.g, tuple(-p for p in swapped_ends))}


# Elements that are read several times.


@wrong("gather", "duplicates")
def last_reader_wins(c: Context) -> Gradients:
    return {"x": op.scatter(zeros_for(c.x, c.g), c["dim"], c["index"], c.g)}


@wrong("index", "duplicates")
def put_without_accumulating(c: Context) -> Gradients:
    back = op.index_put_at(zeros_for(c.x, c.g), c["indices"], c.g, accumulate=False)
    return {"x": back}


@wrong("unfold", "duplicates")
def overlap_counted_once(c: Context) -> Gradients:
    ones = op.ones_like(c.g)
    dim = c["dimension"] % c.x.rank
    where = (c.x.shape, dim, c["size"], c["step"])
    times = op.clamp(op.unfold_backward(ones, *where), 1)
    return {"x": op.unfold_backward(c.g, *where) / times}


@wrong("cummax", "duplicates")
def one_reader_per_maximum(c: Context) -> Gradients:
    if c.x.rank == 0:
        return {"x": c.g}
    return {"x": to_chosen(c, c.ys[1], keepdim=True)}


# Convolutions.


@wrong("convolution1d", "kernel")
def kernel_flipped(c: Context) -> Gradients:
    return _convolved(c, weight=op.flip(c["weight"], (-1,)))


@wrong("convolution2d", "kernel")
def shifted_by_the_padding(c: Context) -> Gradients:
    out = _convolved(c)
    return {**out, "x": op.roll(out["x"], _pair(c["padding"])[1], -1)}


@wrong("convolution2d", "kernel")
def bias_averaged(c: Context) -> Gradients:
    out = dict(_convolved(c))
    if c.needs("bias"):
        out["bias"] = op.mean(c.g, (0, 2, 3))
    return out


def _pair(value: Any, n: int = 2) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,) * n


def _convolved(c: Context, weight: Var | None = None) -> Gradients:
    n = c.x.rank - 2
    bias = None if c["bias"] is None else c["bias"].shape
    how = [_pair(c[k], n) for k in ("stride", "padding", "dilation")]
    wanted = tuple(c.needs(k) for k in ("x", "weight", "bias"))
    out = many.convolution_backward(
        c.g, c.x, c["weight"] if weight is None else weight, bias, *how, False, (0,) * n,
        c["groups"], wanted,
    )  # fmt: skip
    return {k: v for k, v in zip(("x", "weight", "bias"), out, strict=True) if c.needs(k)}
