"""Elementwise rules: arithmetic, powers, exponentials, logarithms, rounding, comparisons."""

from __future__ import annotations

import math
from typing import Any

from ..errors import UnsupportedError
from ..program.build import Var, op
from ..program.sizes import Scalar, Size
from .base import Context, Gradients, T, nondifferentiable, rule, sample, unary

ANY = (sample(T((3, 4))), sample(T(())))
POSITIVE = (sample(T((3, 4), "positive")), sample(T((), "positive")))
PAIRS = (
    sample(T((3, 4)), T((3, 4))),
    sample(T((3, 4)), T((4,))),
    sample(T((3, 1)), T((1, 4))),
    sample(T(()), T((2, 3))),
    sample(T((3, 4)), 2.5),
)
PAIRS_POSITIVE = (
    sample(T((3, 4), "positive"), T((3, 4), "positive")),
    sample(T((3, 1), "positive"), T((1, 4), "positive")),
    sample(T((3, 4), "positive"), 2.5),
)
LN2 = math.log(2.0)


# Sums and products.


@rule("add", PAIRS, tex={"x": "1", "other": "1"})
def _add(c: Context) -> Gradients:
    return {"x": c.g, "other": c.g}


@rule("sub", PAIRS, tex={"x": "1", "other": "-1"})
def _sub(c: Context) -> Gradients:
    return {"x": c.g, "other": -c.g if c.needs("other") else None}


SCALED = (
    sample(T((3, 4)), T((3, 4)), alpha=2),
    sample(T((3, 1)), T((1, 4)), alpha=-0.5),
    sample(T((3, 4)), T(()), alpha=1.0),
)


@rule("add_alpha", SCALED, tex={"x": "1", "other": "\\alpha"})
def _add_alpha(c: Context) -> Gradients:
    return {"x": c.g, "other": scaled(c.g, c["alpha"]) if c.needs("other") else None}


@rule("sub_alpha", SCALED, tex={"x": "1", "other": "-\\alpha"})
def _sub_alpha(c: Context) -> Gradients:
    return {"x": c.g, "other": scaled(-c.g, c["alpha"]) if c.needs("other") else None}


@rule("rsub_alpha", SCALED, tex={"x": "-\\alpha", "other": "1"})
def _rsub_alpha(c: Context) -> Gradients:
    return {"x": scaled(-c.g, c["alpha"]) if c.needs("x") else None, "other": c.g}


def scaled(g: Var, factor: Any) -> Var:
    """``g`` times a number; itself when the number is one."""
    return g if factor == 1 else g * factor


@rule("mul", PAIRS, tex={"x": "other", "other": "x"})
def _mul(c: Context) -> Gradients:
    return {
        "x": c.g * c["other"] if c.needs("x") else None,
        "other": c.g * c["x"] if c.needs("other") else None,
    }


@rule(
    "div",
    PAIRS_POSITIVE,
    tex={"x": "1/other", "other": "-x/other^2"},
    domain="at 0: x/0 has gradient inf or NaN, as in IEEE arithmetic",
    special=(0.0, math.inf, math.nan),
)
def _div(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    return {
        "x": c.g / other if c.needs("x") else None,
        "other": -c.g * ((x / other) / other) if c.needs("other") else None,
    }


@rule(
    "addcmul",
    (
        sample(T((3, 4)), T((3, 4)), T((3, 4))),
        sample(T((3, 4)), T((3, 1)), T((1, 4)), value=-0.5),
    ),
    tex={"x": "1", "tensor1": "v\\,tensor2", "tensor2": "v\\,tensor1"},
)
def _addcmul(c: Context) -> Gradients:
    first, second, value = c["tensor1"], c["tensor2"], c["value"]
    return {
        "x": c.g,
        "tensor1": c.g * scaled(second, value) if c.needs("tensor1") else None,
        "tensor2": c.g * scaled(first, value) if c.needs("tensor2") else None,
    }


@rule(
    "addcdiv",
    (
        sample(T((3, 4)), T((3, 4)), T((3, 4), "positive")),
        sample(T((3, 4)), T((3, 1)), T((1, 4), "positive"), value=-0.5),
    ),
    tex={"x": "1", "tensor1": "v/tensor2", "tensor2": "-v\\,tensor1/tensor2^2"},
    domain="where tensor2 is 0 the gradient is inf or NaN, as in IEEE arithmetic",
)
def _addcdiv(c: Context) -> Gradients:
    top, bottom, value = c["tensor1"], c["tensor2"], c["value"]
    out: dict[str, Var] = {"x": c.g}
    if c.needs("tensor1"):
        # a number over a tensor is a reciprocal and a product in torch: two roundings, not one
        top_value = value if value == 1 else op.full_like(bottom, value)
        out["tensor1"] = c.g * (top_value / bottom)
    if c.needs("tensor2"):
        out["tensor2"] = -c.g * (scaled(top, value) / (bottom * bottom))
    return out


@rule(
    "lerp",
    (
        sample(T((3, 4)), T((3, 4)), 0.3),
        sample(T((3, 4)), T((4,)), T((3, 1))),
    ),
    tex={"x": "1 - w", "end": "w", "weight": "end - x"},
)
def _lerp(c: Context) -> Gradients:
    weight = c["weight"]
    return {
        "x": c.g * (1 - weight) if c.needs("x") else None,
        "end": c.g * weight if c.needs("end") else None,
        "weight": c.g * (c["end"] - c.x) if c.needs("weight") else None,
    }


# Powers. torch multiplies the exponent and the power first, then the upstream.


@rule(
    "pow",
    (
        sample(T((3, 4), "positive"), 3),
        sample(T((3, 4), "positive"), -0.5),
        sample(T((3, 4)), 2),
        sample(T((3, 4)), 1),
        sample(T((3, 4)), 0),
        sample(T((3, 1), "positive"), T((1, 4))),
        sample(2.0, T((3, 4))),
        sample(0, T((3, 4), "positive")),
    ),
    tex={"x": "exponent\\,x^{exponent-1}", "exponent": "y\\ln x"},
    domain=(
        "x**0 has gradient 0 everywhere; 0**e: inf for 0 < e < 1; for the exponent 0 at x = 0 and "
        "e >= 0, NaN for x < 0"
    ),
    special=(0.0, -0.0, 1.0, math.inf, math.nan),
)
def _pow(c: Context) -> Gradients:
    x, e = c["x"], c["exponent"]
    out: dict[str, Var | None] = {}
    if c.needs("x"):
        out["x"] = _pow_base(c.g, x, e)
    if c.needs("exponent"):
        out["exponent"] = _pow_exponent(c.g, x, e, c.y)
    return out


def _pow_base(g: Var, x: Var, e: Any) -> Var:
    if isinstance(e, Var):
        return op.where(e.eq(0.0), 0.0, g * (e * x ** (e - 1)))
    if isinstance(e, (Scalar, Size)):
        sized: Var = x ** less_one(e) * e
        return g * sized
    if e == 0:
        return op.zeros_like(x)
    if e == 1:
        return g
    if e == 2:
        return g * (2 * x)
    slope: Var = e * x ** (e - 1)
    return g * slope


def less_one(e: Scalar | Size) -> Any:
    """A number made from sizes, minus one."""
    return Scalar("sub", (e, 1)) if isinstance(e, Scalar) else e - 1


def _pow_exponent(g: Var, x: Any, e: Var, y: Var) -> Var:
    if isinstance(x, Var):
        base = x if x.dtype == y.dtype else op.to(x, y.dtype)
        cond = op.logical_and(x.eq(0), e >= 0)
        return g * op.where(cond, 0.0, y * op.log(base))
    if not isinstance(x, (int, float)):
        raise UnsupportedError("a size as the base of a power with a tensor exponent")
    if x == 0:
        return g * op.where(e >= 0, 0.0, y * -math.inf)
    return g * (y * (math.log(x) if x > 0 else math.nan))


unary("square", lambda g, x, y: g * (2 * x), ANY, tex="2x")
unary(
    "sqrt",
    lambda g, x, y: g / (2 * y),
    POSITIVE,
    tex="1/(2y)",
    domain="at 0 the gradient is inf; below 0 it is NaN",
    special=(0.0, -0.0, -1.0, math.inf),
)
unary(
    "rsqrt",
    lambda g, x, y: (-0.5 * g) * y**3,
    POSITIVE,
    tex="-y^3/2",
    domain="at 0 the gradient is -inf; below 0 it is NaN",
    special=(0.0, -0.0, -1.0, math.inf),
)
unary(
    "reciprocal",
    lambda g, x, y: -g * (y * y),
    POSITIVE,
    tex="-y^2",
    domain="at 0 the gradient is -inf",
    special=(0.0, -0.0, math.inf),
)


# Signs, exponentials, logarithms.

unary("neg", lambda g, x, y: -g, ANY, tex="-1")
unary(
    "abs",
    lambda g, x, y: g * op.sgn(x),
    ANY,
    tex="\\operatorname{sgn} x",
    exactness="subgradient",
    domain="at 0 the gradient is 0",
    special=(0.0, -0.0, math.inf, math.nan),
)
unary("exp", lambda g, x, y: g * y, ANY, tex="y")
unary("exp2", lambda g, x, y: g * y * LN2, ANY, tex="y\\ln 2")
unary("expm1", lambda g, x, y: g * (y + 1), ANY, tex="y + 1")
BELOW = "below the domain the value is NaN, the gradient is the formula's"
unary("log", lambda g, x, y: g / x, POSITIVE, tex="1/x", domain=BELOW, special=(0.0, -1.0))
unary(
    "log2",
    lambda g, x, y: g / (x * 0.6931471805599453),
    POSITIVE,
    tex="1/(x\\ln 2)",
    domain=BELOW,
    special=(0.0, -1.0),
)
unary(
    "log10",
    lambda g, x, y: g / (x * 2.3025850929940456),
    POSITIVE,
    tex="1/(x\\ln 10)",
    domain=BELOW,
    special=(0.0, -1.0),
)
unary(
    "log1p",
    lambda g, x, y: g / (x + 1),
    POSITIVE,
    tex="1/(1 + x)",
    domain=BELOW,
    special=(0.0, -1.0, -2.0),
)


@rule(
    "ldexp",
    (sample(T((3, 4)), T((3, 4))), sample(T((3, 1)), T((1, 4)))),
    tex={"x": "2^{other}", "other": "y\\ln 2"},
)
def _ldexp(c: Context) -> Gradients:
    return {
        "x": c.g * op.pow(2, c["other"]) if c.needs("x") else None,
        "other": c.g * c.y * LN2 if c.needs("other") else None,
    }


@rule(
    "frexp",
    (sample(T((3, 4))),),
    tex={"x": "2^{-exponent}"},
    exactness="almost everywhere",
    domain="at a power of two the slope on its larger side",
    special=(0.5, 1.0, -1.0, -2.0),
)
def _frexp(c: Context) -> Gradients:
    return {"x": c.g / op.exp2(c.ys[1])}


unary("identity", lambda g, x, y: g, ANY, tex="1")
unary("clone", lambda g, x, y: g, ANY, tex="1")
unary("contiguous", lambda g, x, y: g, ANY, tex="1")


@rule(
    "to",
    (sample(T((3, 4)), "float64"), sample(T((3, 4)), "float32")),
    tex={"x": "1"},
    domain="the gradient is cast back to the dtype of x",
)
def _to(c: Context) -> Gradients:
    return {"x": c.g}


@rule(
    "stored",
    (sample(T((3, 4)), "float64"), sample(T((3, 4)), "float32")),
    tex={"x": "1"},
    domain="the result of an update in place: its gradient has the dtype that is updated",
)
def _stored(c: Context) -> Gradients:
    return {"x": c.g}


nondifferentiable("its gradient is cut on purpose", "stop_gradient")
nondifferentiable("the result is constant", "zeros_like", "ones_like", "arange", "full")
