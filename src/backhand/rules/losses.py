"""Losses that torch runs as kernels of their own; the others are composites and decompose."""

from __future__ import annotations

from typing import Any

from ..errors import UnsupportedError
from ..program.build import Var, many, op
from ..program.sizes import Dim, product
from .base import Context, Gradients, T, kernel, nondifferentiable, plain, rule, sample

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}
NONE, MEAN = 0, 1
PAIRS = (
    sample(T((3, 4)), T((3, 4))),
    sample(T((3, 4)), T((3, 4)), reduction="sum"),
    sample(T((3, 4)), T((3, 4)), reduction="none"),
    sample(T(()), T(())),
)


def number(c: Context) -> int:
    """The reduction as torch's kernels take it."""
    return REDUCTIONS[c["reduction"]]


def per_element(g: Var, x: Var, reduction: int) -> Var:
    """What the reduction sends back to each element of the loss."""
    return g / _count(x) if reduction == MEAN else g


def _count(x: Var) -> Dim:
    return product(x.shape)


def full(g: Var, x: Var) -> Var:
    """``g`` at the shape of ``x``."""
    out: Var = g if g.shape == x.shape else op.expand(g, x.shape)
    return out


@rule("mse_loss", PAIRS, tex={"x": "2(x - t)/n", "target": "-2(x - t)/n"})
def _mse_loss(c: Context) -> Gradients:
    x, target, r = c.x, c["target"], number(c)
    return {
        "x": op.mse_loss_backward(c.g, x, target, r) if c.needs("x") else None,
        "target": op.mse_loss_backward(c.g, target, x, r) if c.needs("target") else None,
    }


@plain("mse_loss_backward")
def _mse_loss_backward(g: Var, x: Var, target: Var, reduction: int) -> Var:
    return per_element(g, x, reduction) * (2 * (x - target))


@rule(
    "smooth_l1_loss",
    PAIRS,
    tex={
        "x": "\\operatorname{clip}((x - t)/\\beta, -1, 1)/n",
        "target": "-\\operatorname{clip}((x - t)/\\beta, -1, 1)/n",
    },
)
def _smooth_l1_loss(c: Context) -> Gradients:
    x, target, r, beta = c.x, c["target"], number(c), c["beta"]
    return {
        "x": op.smooth_l1_loss_backward(c.g, x, target, r, beta) if c.needs("x") else None,
        "target": op.smooth_l1_loss_backward(c.g, target, x, r, beta)
        if c.needs("target")
        else None,
    }


@plain("smooth_l1_loss_backward")
def _smooth_l1_loss_backward(g: Var, x: Var, target: Var, reduction: int, beta: float) -> Var:
    slope = op.sign(x - target) if beta == 0 else op.clamp((x - target) / beta, -1, 1)
    return per_element(g, x, reduction) * slope


@rule(
    "huber_loss",
    PAIRS,
    tex={
        "x": "\\operatorname{clip}(x - t, -\\delta, \\delta)/n",
        "target": "-\\operatorname{clip}(x - t, -\\delta, \\delta)/n",
    },
)
def _huber_loss(c: Context) -> Gradients:
    x, target, r, delta = c.x, c["target"], number(c), c["delta"]
    return {
        "x": op.huber_loss_backward(c.g, x, target, r, delta) if c.needs("x") else None,
        "target": op.huber_loss_backward(c.g, target, x, r, delta) if c.needs("target") else None,
    }


@plain("huber_loss_backward")
def _huber_loss_backward(g: Var, x: Var, target: Var, reduction: int, delta: float) -> Var:
    return per_element(g, x, reduction) * op.clamp(x - target, -delta, delta)


@rule(
    "soft_margin_loss",
    (
        sample(T((3, 4)), T((3, 4), "unit", grad=False)),
        sample(T((3, 4)), T((3, 4), "unit", grad=False), reduction="sum"),
        sample(T((3, 4)), T((3, 4), "unit", grad=False), reduction="none"),
        sample(T(()), T((), "unit", grad=False)),
    ),
    tex={"x": "-t\\,\\sigma(-t x)/n"},
)
def _soft_margin_loss(c: Context) -> Gradients:
    _no_gradient_for(c, "target")
    return {"x": op.soft_margin_loss_backward(c.g, c.x, c["target"], number(c))}


@plain("soft_margin_loss_backward")
def _soft_margin_loss_backward(g: Var, x: Var, target: Var, reduction: int) -> Var:
    return per_element(g, x, reduction) * (-target * op.sigmoid(-target * x))


CLASSES = T((3,), "index", 4)


@rule(
    "multi_margin_loss",
    (sample(T((3, 4)), CLASSES), sample(T((3, 4)), CLASSES, 2, 0.5, reduction="sum")),
    exactness="subgradient",
    tex={
        "x": "\\tfrac{p}{n C}(a_j - \\delta_{jt}\\textstyle\\sum_k a_k),"
        "\\ a_j = [j \\ne t]\\,\\max(0, m - x_t + x_j)^{p-1}"
    },
    domain="a class that is just far enough away gets 0",
)
def _multi_margin_loss(c: Context) -> Gradients:
    _no_gradient_for(c, "weight")
    margins = (c["p"], c["margin"], c["weight"])
    return {"x": op.multi_margin_loss_backward(c.g, c.x, c["target"], *margins, number(c))}


@rule(
    "multilabel_margin_loss_forward",
    (sample(T((3, 4)), T((3, 4), "index", 4), 1),),
    exactness="subgradient",
    tex={
        "x": "(\\#\\{t : z_{tj} > 0\\}\\text{ or }-\\#\\{i : z_{ji} > 0\\})/(n C),"
        "\\ z_{ti} = 1 - x_t + x_i"
    },
    domain="a class that is just far enough away from a target gets 0",
)
def _multilabel_margin_loss(c: Context) -> Gradients:
    back = op.multilabel_margin_loss_backward(c.g, c.x, c["target"], c["reduction"], c.ys[1])
    return {"x": back}


def _no_gradient_for(c: Context, *names: str) -> None:
    for name in names:
        if c.needs(name):
            raise UnsupportedError(
                f"{c.node.op}: torch has no gradient for its {name}",
                None,
                f"leave the {name} out: derive(…, wrt=[names of the others])",
            )


OPEN = (
    sample(T((3, 4), "open"), T((3, 4), "open")),
    sample(T((3, 4), "open"), T((3, 4), "open"), reduction="sum"),
    sample(T((3, 4), "open"), T((3, 4), "open"), T((3, 4), "open", grad=False), reduction="none"),
)


@rule(
    "binary_cross_entropy",
    OPEN,
    domain="x (1 - x) is kept above 1e-12; the target's gradient is infinite at 0 and 1",
    tex={"x": "w\\,(x - t)/(n\\,x(1 - x))", "target": "-w\\ln(x/(1 - x))/n"},
)
def _binary_cross_entropy(c: Context) -> Gradients:
    _no_gradient_for(c, "weight")
    x, target, weight, r = c.x, c["target"], c["weight"], number(c)
    out: dict[str, Any] = {}
    if c.needs("x"):
        out["x"] = op.binary_cross_entropy_backward(c.g, x, target, weight, r)
    if c.needs("target"):
        back = -op.logit(x) * c.g
        if weight is not None:
            back = back * weight
        out["target"] = back / _count(x) if r == MEAN else back
    return out


@plain("binary_cross_entropy_backward")
def _binary_cross_entropy_backward(
    g: Var, x: Var, target: Var, weight: Var | None, reduction: int
) -> Var:
    slope = (x - target) / op.clamp(x * (1 - x), min=1e-12)
    if weight is not None:
        slope = slope * weight
    return per_element(g, x, reduction) * slope


@rule(
    "binary_cross_entropy_with_logits",
    (
        sample(T((3, 4)), T((3, 4), "open")),
        sample(T((3, 4)), T((3, 4), "open"), T((3, 4), "open", grad=False), reduction="sum"),
        sample(T((3, 4)), T((3, 4), "open"), pos_weight=T((4,), "positive", grad=False)),
    ),
    tex={
        "x": "w\\,((1 + (p - 1)\\,t)\\,\\sigma(x) - p\\,t)/n",
        "target": "w\\,(\\ln\\sigma(-x) - p\\ln\\sigma(x))/n",
    },
)
def _bce_with_logits(c: Context) -> Gradients:
    _no_gradient_for(c, "weight", "pos_weight")
    x, target, pos, r = c.x, c["target"], c["pos_weight"], number(c)
    out: dict[str, Any] = {}

    def weighted(back: Var) -> Var:
        if c["weight"] is not None:
            back = back * c["weight"]
        return back / _count(x) if r == MEAN else back

    if c.needs("x"):
        if pos is None:
            back = (op.sigmoid(x) - target) * c.g
        else:
            t = pos * target
            back = ((t + 1 - target) * op.sigmoid(x) - t) * c.g
        out["x"] = weighted(back)
    if c.needs("target"):
        slope = -x if pos is None else op.logsigmoid(-x) - pos * op.logsigmoid(x)
        out["target"] = weighted(slope * c.g)
    return out


@rule(
    "nll",
    (
        sample(T((3, 4)), CLASSES),
        sample(T((3, 4)), CLASSES, T((4,), "positive", grad=False)),
        sample(T((3, 4)), CLASSES, reduction="sum"),
        sample(T((3, 4)), CLASSES, reduction="none", ignore_index=1),
        sample(T((4,)), T((), "index", 4)),
        sample(T((2, 4, 3, 2)), T((2, 3, 2), "index", 4)),
    ),
    domain="ignored targets get 0; when every target is ignored the loss is NaN and the gradient 0",
    tex={"x": "-\\delta_{j,t_i}/n"},
)
def _nll_loss(c: Context) -> Gradients:
    _no_gradient_for(c, "weight")
    x, target, weight, r = c.x, c["target"], c["weight"], number(c)
    d = "2d" if x.rank == 4 else ""
    # the kernel's own sum of the targets' weights, so that not even its rounding differs
    total = getattr(many, f"nll_loss{d}_forward")(x, target, weight, r, c["ignore_index"])[1]
    back = getattr(op, f"nll_loss{d}_backward")
    return {"x": back(c.g, x, target, weight, r, c["ignore_index"], total)}


def _nll_loss_backward(
    g: Var,
    x: Var,
    target: Var,
    weight: Var | None,
    reduction: int,
    ignore_index: int,
    total_weight: Var,
) -> Var:
    classes = 0 if x.rank == 1 else 1
    counted = op.ne(target, ignore_index).called("counted")
    chosen = op.where(counted, target, 0).called("chosen")
    if weight is None:
        scale = g / op.sum(counted) if reduction == MEAN else g
    else:
        flat = op.index(weight, (op.reshape(chosen, (-1,)),))
        weights = (counted * op.reshape(flat, chosen.shape)).called("weights")
        scale = weights * (g / op.sum(weights) if reduction == MEAN else g)
    scale = op.where(counted, -scale, 0.0)
    placed: Var = op.scatter(
        op.zeros_like(x), classes, op.unsqueeze(chosen, classes), op.unsqueeze(scale, classes)
    )
    return placed


plain("nll_loss_backward")(_nll_loss_backward)
plain("nll_loss2d_backward")(_nll_loss_backward)


@rule(
    "pdist",
    (sample(T((4, 3))), sample(T((4, 3)), 1.0)),
    exactness="subgradient",
    tex={"x": "\\sum_j g_{ij}\\,\\partial\\lVert x_i - x_j\\rVert_p/\\partial x_i"},
    domain="0 where two points coincide",
)
def _pdist(c: Context) -> Gradients:
    return {"x": op.pdist_backward(op.contiguous(c.g), c.x, c["p"], c.y)}


@rule(
    "cdist_forward",
    (sample(T((3, 2)), T((4, 2)), 2.0, None), sample(T((2, 3, 2)), T((2, 4, 2)), 1.0, None)),
    exactness="subgradient",
    tex={
        "x1": "\\sum_j g_{ij}\\,\\partial\\lVert x_i - z_j\\rVert_p/\\partial x_i",
        "x2": "\\sum_i g_{ij}\\,\\partial\\lVert x_i - z_j\\rVert_p/\\partial z_j",
    },
    domain="0 where two points coincide",
)
def _cdist(c: Context) -> Gradients:
    x1, x2, p = c["x1"], c["x2"], c["p"]
    out: dict[str, Any] = {}
    if c.needs("x1"):
        out["x1"] = op.cdist_backward(op.contiguous(c.g), x1, x2, p, c.y)
    if c.needs("x2"):
        g, y = op.transpose(c.g, -2, -1), op.transpose(c.y, -2, -1)
        out["x2"] = op.cdist_backward(op.contiguous(g), x2, x1, p, op.contiguous(y))
    return out


IN_ITS_PLACE = "\\text{the same sum with } g \\text{ in the operand's place}"


@rule(
    "trilinear",
    (sample(T((3, 2)), T((2, 2, 4)), T((3, 4)), (1, 3), (0,), (1, 2), (2, 3)),),
    tex={"i1": IN_ITS_PLACE, "i2": IN_ITS_PLACE, "i3": IN_ITS_PLACE},
)
def _trilinear(c: Context) -> Gradients:
    a, b, d = c["i1"], c["i2"], c["i3"]
    e1, e2, e3, s = c["expand1"], c["expand2"], c["expand3"], c["sumdim"]
    g = c.g
    return {
        "i1": op.trilinear(g, b, d, s, e2, e3, e1) if c.needs("i1") else None,
        "i2": op.trilinear(a, g, d, e1, s, e3, e2) if c.needs("i2") else None,
        "i3": op.trilinear(a, b, g, e1, e2, s, e3) if c.needs("i3") else None,
    }


nondifferentiable(
    "it gives the weight of the targets that count", "nll_loss_forward", "nll_loss2d_forward"
)
kernel(
    "torch has no second derivative of it",
    "multi_margin_loss_backward",
    "multilabel_margin_loss_backward",
    "pdist_backward",
    "cdist_backward",
)
