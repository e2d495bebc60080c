"""Trigonometric and hyperbolic functions and their inverses."""

from __future__ import annotations

import math

from ..program.build import Var, op
from .base import Context, Gradients, T, plain, rule, sample, unary
from .elementwise import ANY, PAIRS

UNIT = (sample(T((3, 4), "unit")), sample(T((), "unit")))
ABOVE = (sample(T((3, 4), "above")), sample(T((), "above")))
ENDS = (-1.0, 1.0, 2.0)
OUTSIDE = "inf at the ends of the domain, NaN outside"

unary("sin", lambda g, x, y: g * op.cos(x), ANY, tex="\\cos x")
unary("cos", lambda g, x, y: g * -op.sin(x), ANY, tex="-\\sin x")
unary("tan", lambda g, x, y: g * (1 + y**2), ANY, tex="1 + y^2")
unary(
    "asin",
    lambda g, x, y: g * op.rsqrt(-x * x + 1),
    UNIT,
    tex="1/\\sqrt{1 - x^2}",
    domain=OUTSIDE,
    special=ENDS,
)
unary(
    "acos",
    lambda g, x, y: g * -op.rsqrt(-x * x + 1),
    UNIT,
    tex="-1/\\sqrt{1 - x^2}",
    domain="-inf at the ends of the domain, NaN outside",
    special=ENDS,
)
unary("atan", lambda g, x, y: g / (x * x + 1), ANY, tex="1/(1 + x^2)")


@rule(
    "atan2",
    PAIRS[:4],
    tex={"x": "other/(x^2 + other^2)", "other": "-x/(x^2 + other^2)"},
    domain="at the origin both gradients are 0",
    special=(0.0, -0.0),
)
def _atan2(c: Context) -> Gradients:
    x, other, g = c["x"], c["other"], c.g
    squares = x * x + other * other
    inverse = op.masked_fill(op.reciprocal(squares), squares.eq(0), 0)
    return {
        "x": g * other * inverse if c.needs("x") else None,
        "other": g * -x * inverse if c.needs("other") else None,
    }


@rule(
    "hypot",
    PAIRS[:4],
    tex={"x": "x/y", "other": "other/y"},
    domain="at the origin both gradients are NaN",
    special=(0.0, -0.0),
)
def _hypot(c: Context) -> Gradients:
    return {
        "x": c.g * c["x"] / c.y if c.needs("x") else None,
        "other": c.g * c["other"] / c.y if c.needs("other") else None,
    }


unary("sinh", lambda g, x, y: g * op.cosh(x), ANY, tex="\\cosh x")
unary("cosh", lambda g, x, y: g * op.sinh(x), ANY, tex="\\sinh x")
unary("tanh", lambda g, x, y: op.tanh_backward(g, y), ANY, tex="1 - y^2")


@plain("tanh_backward")
def _tanh_backward(g: Var, y: Var) -> Var:
    return g * (1 - y**2)


unary("asinh", lambda g, x, y: g * op.rsqrt(x**2 + 1), ANY, tex="1/\\sqrt{x^2 + 1}")
unary(
    "acosh",
    lambda g, x, y: g * op.rsqrt(x * x - 1),
    ABOVE,
    tex="1/\\sqrt{x^2 - 1}",
    domain="inf at 1, NaN below",
    special=(1.0, 0.5),
)
unary(
    "atanh",
    lambda g, x, y: g / (1 - x**2),
    UNIT,
    tex="1/(1 - x^2)",
    domain="inf at the ends of the domain, negative outside",
    special=ENDS,
)

# torch multiplies by the constant rounded to the gradient's precision
unary("deg2rad", lambda g, x, y: g * (math.pi / 180), ANY, tex="\\pi/180")
unary("rad2deg", lambda g, x, y: g * (180 / math.pi), ANY, tex="180/\\pi")
unary(
    "sinc",
    lambda g, x, y: _sinc(g, x),
    ANY,
    tex="(\\pi x\\cos\\pi x - \\sin\\pi x)/(\\pi x^2)",
    domain="0 at 0",
    special=(0.0, -0.0, 1.0),
)


def _sinc(g: Var, x: Var) -> Var:
    turns = x * math.pi
    bottom = x * x * math.pi
    slope: Var = g * ((turns * op.cos(turns) - op.sin(turns)) / bottom)
    return op.where(bottom.eq(0.0), 0.0, slope)
