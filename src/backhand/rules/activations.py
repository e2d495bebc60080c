"""Activation functions.

torch computes their gradients with kernels of its own; the formula that each stands for is given
beside it and is what people read.
"""

from __future__ import annotations

import math

from ..program.build import Var, many, op
from .base import Context, Gradients, T, plain, rule, sample, unary
from .elementwise import ANY

FAR = (math.inf, -math.inf, math.nan)

unary("sigmoid", lambda g, x, y: op.sigmoid_backward(g, y), ANY, tex="y(1 - y)", special=FAR)


@plain("sigmoid_backward")
def _sigmoid_backward(g: Var, y: Var) -> Var:
    return g * (1 - y) * y


unary(
    "relu",
    lambda g, x, y: op.threshold_backward(g, y, 0),
    ANY,
    tex="[y > 0]",
    exactness="subgradient",
    domain="0 at 0, 1 at NaN",
    special=(0.0, -0.0, *FAR),
)


@rule(
    "threshold",
    (sample(T((3, 4)), 0.3, 20.0), sample(T((3, 4), "ties"), 1.0, 0.0)),
    tex={"x": "[x > threshold]"},
    exactness="subgradient",
    domain="0 at the threshold, 1 at NaN",
    special=FAR,
)
def _threshold(c: Context) -> Gradients:
    return {"x": op.threshold_backward(c.g, c.x, c["threshold"])}


@plain("threshold_backward")
def _threshold_backward(g: Var, x: Var, threshold: float) -> Var:
    return op.masked_fill(g, x <= threshold, 0)


unary(
    "silu",
    lambda g, x, y: op.silu_backward(g, x),
    ANY,
    tex="\\sigma(x)(1 + x(1 - \\sigma(x)))",
    special=FAR,
)


@plain("silu_backward")
def _silu_backward(g: Var, x: Var) -> Var:
    s = op.sigmoid(x).called("gate")
    return g * s * (1 + x * (1 - s))


unary(
    "mish",
    lambda g, x, y: op.mish_backward(g, x),
    ANY,
    tex="t + x\\,\\sigma(x)(1 - t^2),\\ t = \\tanh\\ln(1 + e^x)",
    special=FAR,
)


@plain("mish_backward")
def _mish_backward(g: Var, x: Var) -> Var:
    t = op.tanh(op.softplus(x)).called("gate")
    return g * (t + x * op.sigmoid(x) * (1 - t * t))


@rule(
    "gelu",
    (sample(T((3, 4))), sample(T((3, 4)), approximate="tanh")),
    tex={"x": "\\Phi(x) + x\\,\\varphi(x)"},
    special=FAR,
)
def _gelu(c: Context) -> Gradients:
    return {"x": op.gelu_backward(c.g, c.x, approximate=c["approximate"])}


@plain("gelu_backward")
def _gelu_backward(g: Var, x: Var, approximate: str) -> Var:
    if approximate == "none":
        cumulative = 0.5 * (1 + op.erf(x * math.sqrt(0.5)))
        density = op.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
        return g * (cumulative + x * density)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    t = op.tanh(inner).called("tanh")
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


@rule(
    "softplus",
    (sample(T((3, 4))), sample(T((3, 4)), 2, 0.5)),
    tex={"x": "\\sigma(\\beta x)"},
    domain="exactly 1 above the threshold",
    special=(20.0, 21.0, *FAR),
)
def _softplus(c: Context) -> Gradients:
    return {"x": op.softplus_backward(c.g, c.x, c["beta"], c["threshold"])}


@plain("softplus_backward")
def _softplus_backward(g: Var, x: Var, beta: float, threshold: float) -> Var:
    steep = x if beta == 1 else x * beta
    return op.where(steep > threshold, g, g * op.sigmoid(steep))


@rule(
    "elu",
    (sample(T((3, 4))), sample(T((3, 4)), 0.7, 1.3, 2.0)),
    exactness="subgradient",
    tex={"x": "s\\text{ or }s\\,\\alpha\\,\\iota\\,e^{\\iota x}"},
    domain="at 0 the slope of the negative side",
    special=(0.0, -0.0, *FAR),
)
def _elu(c: Context) -> Gradients:
    return {"x": op.elu_backward(c.g, c["alpha"], c["scale"], c["input_scale"], False, c.x)}


@rule(
    "celu",
    (sample(T((3, 4))), sample(T((3, 4)), 0.7)),
    exactness="subgradient",
    tex={"x": "1\\text{ or }e^{x/\\alpha}"},
    domain="at 0 the slope of the negative side",
    special=(0.0, -0.0, *FAR),
)
def _celu(c: Context) -> Gradients:
    alpha = c["alpha"]
    return {"x": op.elu_backward(c.g, alpha, 1, 1.0 / _as_float32(alpha), False, c.x)}


def _as_float32(number: float) -> float:
    """torch takes celu's alpha as a 32-bit float when it inverts it."""
    import struct

    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded


@plain("elu_backward")
def _elu_backward(
    g: Var, alpha: float, scale: float, input_scale: float, is_result: bool, x: Var
) -> Var:
    steep = x if input_scale == 1 else x * input_scale
    factor = input_scale * alpha * scale
    slope = op.exp(steep) if factor == 1 else op.exp(steep) * factor
    return op.where(x <= 0, g * slope, g if scale == 1 else g * scale)


@rule(
    "leaky_relu",
    (sample(T((3, 4))), sample(T((3, 4)), 0.2)),
    exactness="subgradient",
    tex={"x": "1\\text{ or }s"},
    domain="at 0 and at NaN the slope of the negative side",
    special=(0.0, -0.0, *FAR),
)
def _leaky_relu(c: Context) -> Gradients:
    return {"x": op.leaky_relu_backward(c.g, c.x, c["negative_slope"], False)}


@plain("leaky_relu_backward")
def _leaky_relu_backward(g: Var, x: Var, negative_slope: float, is_result: bool) -> Var:
    return op.where(x > 0, g, g * negative_slope)


@rule(
    "hardtanh",
    (sample(T((3, 4))), sample(T((3, 4)), -0.3, 0.6)),
    exactness="subgradient",
    tex={"x": "[min < x < max]"},
    domain="0 at both bounds (a clamp has 1 there)",
    special=(-1.0, 1.0, *FAR),
)
def _hardtanh(c: Context) -> Gradients:
    return {"x": op.hardtanh_backward(c.g, c.x, c["min_val"], c["max_val"])}


@plain("hardtanh_backward")
def _hardtanh_backward(g: Var, x: Var, min_val: float, max_val: float) -> Var:
    outside = op.logical_or(x <= min_val, x >= max_val)
    return op.masked_fill(g, outside, 0)


unary(
    "hardsigmoid",
    lambda g, x, y: op.hardsigmoid_backward(g, x),
    ANY,
    tex="[-3 < x < 3]/6",
    exactness="subgradient",
    domain="0 at -3 and at 3",
    special=(-3.0, 3.0, *FAR),
)


@plain("hardsigmoid_backward")
def _hardsigmoid_backward(g: Var, x: Var) -> Var:
    inside = op.logical_and(x > -3.0, x < 3.0)
    return op.where(inside, g * (1 / 6), 0.0)


unary(
    "hardswish",
    lambda g, x, y: op.hardswish_backward(g, x),
    ANY,
    tex="x/3 + 1/2\\text{ inside }(-3, 3)",
    exactness="subgradient",
    domain="0 at -3, 1 at 3",
    special=(-3.0, 3.0, *FAR),
)


@plain("hardswish_backward")
def _hardswish_backward(g: Var, x: Var) -> Var:
    return op.where(x <= -3.0, 0.0, op.where(x < 3.0, g * (x / 3 + 0.5), g))


def _outside(c: Context) -> Var:
    """The upstream where ``x`` lies outside the bounds (NaN does).

    At NaN torch's kernel gives 0 or the upstream, by the element's place in memory; and it has no
    version for symbolic sizes.
    """
    x, lambd = c.x, c["lambd"]
    return op.masked_fill(c.g, op.logical_and(x >= -lambd, x <= lambd), 0)


SHRINKS = (sample(T((3, 4))), sample(T((3, 4)), 0.2))


@rule(
    "hardshrink",
    SHRINKS,
    exactness="almost everywhere",
    tex={"x": "[|x| > \\lambda]"},
    domain="0 at the bounds",
    special=(-0.5, 0.5, *FAR),
)
def _hardshrink(c: Context) -> Gradients:
    return {"x": _outside(c)}


@rule(
    "softshrink",
    SHRINKS,
    exactness="subgradient",
    tex={"x": "[|x| > \\lambda]"},
    domain="0 at the bounds",
    special=(-0.5, 0.5, *FAR),
)
def _softshrink(c: Context) -> Gradients:
    return {"x": _outside(c)}


@rule("logsigmoid", ANY, tex={"x": "\\sigma(-x)"}, special=FAR)
def _logsigmoid(c: Context) -> Gradients:
    # the kernel wants what the forward kernel keeps for it: exp(-|x|)
    _, buffer = many.log_sigmoid_forward(c.x)
    return {"x": op.log_sigmoid_backward(c.g, c.x, buffer)}


@plain("log_sigmoid_backward")
def _log_sigmoid_backward(g: Var, x: Var, buffer: Var) -> Var:
    return g * op.sigmoid(-x)


@plain("log_sigmoid_forward")
def _log_sigmoid_forward(x: Var) -> tuple[Var, Var]:
    return op.logsigmoid(x), op.exp(-op.abs(x))


@rule(
    "prelu",
    (sample(T((3, 4)), T((1, 4))), sample(T((3, 4)), T((1, 1)))),
    exactness="subgradient",
    tex={"x": "1\\text{ or }w", "weight": "0\\text{ or }x"},
    domain="at 0 the slope of the negative side",
    special=(0.0, -0.0, *FAR),
)
def _prelu(c: Context) -> Gradients:
    x, weight = many.prelu_backward(c.g, c.x, c["weight"])
    return {"x": x, "weight": weight}


@plain("prelu_backward")
def _prelu_backward(g: Var, x: Var, weight: Var) -> tuple[Var, Var]:
    positive = x > 0
    return op.where(positive, g, g * weight), op.where(positive, 0.0, g * x)


@rule(
    "glu",
    (sample(T((3, 4))), sample(T((4, 3)), 0)),
    tex={"x": "(\\sigma(b),\\ a\\,\\sigma(b)(1 - \\sigma(b)))"},
)
def _glu(c: Context) -> Gradients:
    return {"x": op.glu_backward(c.g, c.x, c["dim"])}


@plain("glu_backward")
def _glu_backward(g: Var, x: Var, dim: int) -> Var:
    a, b = many.chunk(x, 2, dim)
    s = op.sigmoid(b)
    return op.cat((g * s, g * a * s * (1 - s)), dim)
