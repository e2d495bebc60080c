"""Wrong formulas: signs, sums, transposes, terms, axes, operands and factors."""

from __future__ import annotations

from backhand.program.build import many, op
from backhand.rules import Context
from backhand.rules.base import Gradients
from backhand.rules.elementwise import scaled
from backhand.rules.linalg import swapped
from backhand.rules.reductions import count, restored, spread
from backhand.rules.scans import reversed_cumsum
from backhand.rules.views import zeros_for

from .base import centred, wrong

# Sign.


@wrong("sub", "sign")
def both_operands_alike(c: Context) -> Gradients:
    return {"x": c.g, "other": c.g}


@wrong("cos", "sign")
def cosine_without_its_minus(c: Context) -> Gradients:
    return {"x": c.g * op.sin(c.x)}


@wrong("div", "sign")
def denominator_pulls_upwards(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    second = c.g * ((x / other) / other) if c.needs("other") else None
    return {"x": c.g / other if c.needs("x") else None, "other": second}


@wrong("mse_loss", "sign")
def target_follows_the_prediction(c: Context) -> Gradients:
    back = op.mse_loss_backward(c.g, c.x, c["target"], _reduction(c))
    return {"x": back, "target": back}


@wrong("linalg_cross", "sign")
def cross_product_the_other_way(c: Context) -> Gradients:
    return {
        "x": op.linalg_cross(c.g, c["other"], dim=c["dim"]),
        "other": op.linalg_cross(c.g, c.x, dim=c["dim"]),
    }


@wrong("logsigmoid", "sign", "gradient", "differences", "special")
def sigmoid_of_x_for_minus_x(c: Context) -> Gradients:
    return {"x": c.g * op.sigmoid(c.x)}


@wrong("roll", "sign")
def rolled_on(c: Context) -> Gradients:
    return {"x": op.roll(c.g, c["shifts"], c["dims"])}


def _reduction(c: Context) -> int:
    return {"none": 0, "mean": 1, "sum": 2}[c["reduction"]]


# A sum that is missing, too many, or over something else.


@wrong("masked_fill", "reduction")
def value_gets_every_element(c: Context) -> Gradients:
    return {
        "x": op.masked_fill(c.g, c["mask"], 0),
        "value": op.sum(c.g) if c.needs("value") else None,
    }


@wrong("repeat", "reduction")
def only_the_first_copy(c: Context) -> Gradients:
    g = c.g
    if 0 in c["repeats"]:
        return {"x": op.new_zeros(g, c.x.shape)}
    for _ in range(g.rank - c.x.rank):
        g = op.select(g, 0, 0)
    for axis, size in enumerate(c.x.shape):
        g = op.slice(g, axis, None, size)
    return {"x": g}


@wrong("native_layer_norm", "reduction")
def one_weight_for_all_features(c: Context) -> Gradients:
    wanted = tuple(c.needs(name) for name in ("x", "weight", "bias"))
    saved = (c.ys[1], c.ys[2], c["weight"], c["bias"])
    dx, dweight, dbias = many.native_layer_norm_backward(
        c.g, c.x, c["normalized_shape"], *saved, wanted
    )
    weight = op.sum(dweight, 0, keepdim=True) if c.needs("weight") else None
    return {"x": dx, "weight": weight, "bias": dbias}


@wrong("fill", "reduction")
def mean_for_sum(c: Context) -> Gradients:
    return {"x": op.zeros_like(c.g), "value": op.mean(c.g) if c.needs("value") else None}


# Transposes.


@wrong("mm", "transpose")
def right_operand_of_the_transposed_product(c: Context) -> Gradients:
    return {"x": c.g @ swapped(c["mat2"]), "mat2": swapped(swapped(c.x) @ c.g)}


@wrong("permute", "transpose")
def same_permutation_again(c: Context) -> Gradients:
    return {"x": op.permute(c.g, c["dims"])}


@wrong("addr", "transpose")
def outer_product_turned(c: Context) -> Gradients:
    beta, alpha = c["beta"], c["alpha"]
    turned = op.reshape(c.g, tuple(reversed(c.g.shape)))
    return {
        "x": scaled(c.g, beta),
        "vec1": scaled(c.g @ c["vec2"], alpha),
        "vec2": scaled(turned @ c["vec1"], alpha),
    }


@wrong("linalg_inv", "transpose")
def inverse_not_transposed(c: Context) -> Gradients:
    return {"A": -(c.y @ (c.g @ c.y))}


@wrong("linalg_solve_triangular", "transpose")
def system_not_transposed(c: Context) -> Gradients:
    how = {k: c[k] for k in ("upper", "left", "unitriangular")}
    g_b = op.linalg_solve_triangular(c.x, c.g, **how)
    g_a = -(g_b @ swapped(c.y)) if c["left"] else -(swapped(c.y) @ g_b)
    unit = int(c["unitriangular"])
    return {"x": op.triu(g_a, unit) if c["upper"] else op.tril(g_a, -unit), "B": g_b}


@wrong("index_select", "transpose")
def columns_laid_down_as_rows(c: Context) -> Gradients:
    if c["dim"] == 0:
        return {"x": op.index_add(zeros_for(c.x, c.g), 0, c["index"], c.g)}
    turned = op.index_add(swapped(zeros_for(c.x, c.g)), 0, c["index"], swapped(c.g))
    return {"x": op.reshape(turned, c.x.shape)}


@wrong("sort", "transpose")
def permutation_not_inverted(c: Context) -> Gradients:
    return {"x": op.gather(c.g, c["dim"], c.ys[1])}


# Terms that were dropped.


@wrong("tan", "dropped term")
def tangent_without_its_one(c: Context) -> Gradients:
    return {"x": c.g * c.y**2}


@wrong("softmax", "dropped term")
def softmax_of_one_element(c: Context) -> Gradients:
    return {"x": c.g * c.y}


@wrong("silu", "dropped term")
def gate_taken_for_constant(c: Context) -> Gradients:
    return {"x": c.g * op.sigmoid(c.x)}


@wrong("var_mean", "dropped term")
def nothing_through_the_mean(c: Context) -> Gradients:
    g = c.gs[0]
    if g is None:
        return {"x": op.zeros_like(c.x)}
    dim, keepdim = c["dim"], c["keepdim"]
    g = restored(g, c.x, dim, keepdim)
    dof = count(c.x, dim) - c["correction"]
    return {"x": (g * (2 / dof)) * centred(c)}


@wrong("lerp", "dropped term")
def all_of_the_start(c: Context) -> Gradients:
    weight = c["weight"]
    return {
        "x": c.g,
        "end": c.g * weight,
        "weight": c.g * (c["end"] - c.x) if c.needs("weight") else None,
    }


@wrong("logsumexp", "dropped term")
def exponential_without_its_sum(c: Context) -> Gradients:
    return {"x": restored(c.g, c.x, c["dim"], c["keepdim"]) * op.exp(c.x)}


@wrong("glu", "dropped term")
def nothing_through_the_gate(c: Context) -> Gradients:
    a, b = many.chunk(c.x, 2, c["dim"])
    return {"x": op.cat((c.g * op.sigmoid(b), c.g * op.zeros_like(a)), c["dim"])}


# Axes.


@wrong("cumsum", "axis")
def running_sum_along_the_last_axis(c: Context) -> Gradients:
    return {"x": reversed_cumsum(c.g, -1) if c.x.rank else c.g}


@wrong("flip", "axis", "gradient", "differences")
def last_axis_not_turned(c: Context) -> Gradients:
    return {"x": op.flip(c.g, c["dims"][:-1])}


@wrong("log_softmax", "axis")
def normalised_along_the_first_axis(c: Context) -> Gradients:
    return {"x": c.g - op.exp(c.y) * op.sum(c.g, 0, keepdim=True)}


@wrong("stack", "axis")
def unstacked_in_reverse(c: Context) -> Gradients:
    n = len(c["tensors"])
    dim = c["dim"] % c.g.rank
    return {"tensors": tuple(op.select(c.g, dim, n - 1 - i) for i in range(n))}


@wrong("mean", "axis")
def counted_along_the_other_axes(c: Context) -> Gradients:
    reduced = c["dim"] if isinstance(c["dim"], tuple) else (c["dim"],)
    others = tuple(a for a in range(c.x.rank) if a not in reduced)
    return {"x": spread(c.g / count(c.x, others), c.x, c["dim"], c["keepdim"])}


# Output for input, and the other way round.


@wrong("exp", "output for input", "gradient", "differences", "special")
def slope_at_x_for_value(c: Context) -> Gradients:
    return {"x": c.g * c.x}


@wrong("sigmoid", "output for input")
def slope_of_the_output(c: Context) -> Gradients:
    return {"x": op.sigmoid_backward(c.g, c.x)}


@wrong("sqrt", "output for input")
def root_of_the_root(c: Context) -> Gradients:
    return {"x": c.g / (2 * c.x)}


@wrong("mul", "output for input", "gradient", "differences", "broadcast")
def own_operand(c: Context) -> Gradients:
    return {"x": c.g * c["x"], "other": c.g * c["other"] if c.needs("other") else None}


# Factors.


@wrong("square", "factor")
def without_the_two(c: Context) -> Gradients:
    return {"x": c.g * c.x}


@wrong("exp2", "factor")
def without_the_logarithm_of_two(c: Context) -> Gradients:
    return {"x": c.g * c.y}


@wrong("addmm", "factor")
def scale_of_the_product_lost(c: Context) -> Gradients:
    return {
        "x": scaled(c.g, c["beta"]),
        "mat1": c.g @ swapped(c["mat2"]),
        "mat2": swapped(c["mat1"]) @ c.g,
    }


@wrong("var", "factor")
def divided_by_n(c: Context) -> Gradients:
    g = restored(c.g, c.x, c["dim"], c["keepdim"])
    n = count(c.x, c["dim"])  # not n - correction
    return {"x": (g * (2.0 / n)) * centred(c)}


@wrong("mse_loss", "factor")
def mean_taken_for_sum(c: Context) -> Gradients:
    r = 2 if c["reduction"] == "mean" else _reduction(c)
    return {
        "x": op.mse_loss_backward(c.g, c.x, c["target"], r),
        "target": op.mse_loss_backward(c.g, c["target"], c.x, r),
    }


@wrong("avg_pool2d", "factor")
def padding_counted_or_not(c: Context) -> Gradients:
    how = [
        v if isinstance(v, tuple) else (v, v) for v in (c["kernel_size"], c["stride"], c["padding"])
    ]
    counted = not c["count_include_pad"]
    back = op.avg_pool2d_backward(c.g, c.x, *how, c["ceil_mode"], counted, c["divisor_override"])
    return {"x": back}
