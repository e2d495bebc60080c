"""Remainders, rounding, signs and comparisons: linear or constant between steps."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import UnsupportedError
from ..program.build import Var, op
from .base import Context, Gradients, T, nondifferentiable, plain, rule, sample, unary
from .elementwise import ANY, PAIRS

REMAINDERS = (
    sample(T((3, 4)), T((3, 4), "positive")),
    sample(T((3, 1)), T((1, 4), "positive")),
    sample(T((3, 4)), 0.7),
)


def _remainder(c: Context, mode: str) -> Gradients:
    if not isinstance(c["x"], Var):
        raise UnsupportedError(
            f"torch has no derivative of {c.node.op} with a number on the left",
            hint="make the number a tensor: torch.full_like(other, number)",
        )
    out: dict[str, Var] = {"x": c.g}
    if c.needs("other"):
        out["other"] = -c.g * op.div_mode(c.x, c["other"], rounding_mode=mode)
    return out


@rule(
    "remainder",
    REMAINDERS,
    exactness="almost everywhere",
    tex={"x": "1", "other": "-\\lfloor x/other \\rfloor"},
    domain="the same at the steps",
)
def _python_remainder(c: Context) -> Gradients:
    return _remainder(c, "floor")


@rule(
    "fmod",
    REMAINDERS,
    exactness="almost everywhere",
    tex={"x": "1", "other": "-\\operatorname{trunc}(x/other)"},
    domain="the same at the steps",
)
def _fmod(c: Context) -> Gradients:
    return _remainder(c, "trunc")


STEPS = (0.0, -0.0, 1.0, -1.0, 0.5, math.inf, math.nan)
_NOTHING: dict[str, Callable[[Var, Var, Var], Var]] = {
    **dict.fromkeys(("floor", "ceil", "trunc", "sign"), lambda g, x, y: op.zeros_like(g)),
    # autograd's zero stays one even where it meets an infinite local gradient
    "sgn": lambda g, x, y: op.sgn_backward(g),
}
for _name, _nothing in _NOTHING.items():
    unary(
        _name,
        _nothing,
        ANY,
        tex="0",
        exactness="almost everywhere",
        domain="0 at the steps too",
        special=STEPS,
    )


@plain("sgn_backward")
def _sgn_backward(g: Var) -> Var:
    return op.zeros_like(g)


unary(
    "frac",
    lambda g, x, y: g,
    ANY,
    tex="1",
    exactness="almost everywhere",
    domain="1 at the steps too",
    special=STEPS,
)


@rule(
    "round",
    (sample(T((3, 4))), sample(T((3, 4)), decimals=1)),
    exactness="almost everywhere",
    tex={"x": "0"},
    domain="0 at the steps too",
    special=STEPS,
)
def _round(c: Context) -> Gradients:
    return {"x": op.zeros_like(c.g)}


@rule(
    "div_mode",
    (
        sample(T((3, 4)), T((3, 4), "positive"), rounding_mode="floor"),
        sample(T((3, 1)), T((1, 4), "positive"), rounding_mode="trunc"),
    ),
    exactness="almost everywhere",
    tex={"x": "0", "other": "0"},
    domain="0 at the steps too",
)
def _div_mode(c: Context) -> Gradients:
    zero = op.zeros_like(c.g)
    return {"x": zero, "other": zero}


@rule(
    "nextafter",
    (sample(T((3, 4)), T((3, 4))), sample(T((3, 1)), T((1, 4)))),
    tex={"x": "1", "other": "0"},
    ties="where x equals other the gradient of x is 0",
)
def _nextafter(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    return {
        "x": op.where(op.ne(x, other), c.g, 0.0) if c.needs("x") else None,
        "other": op.zeros_like(c.g) if c.needs("other") else None,
    }


@rule(
    "copysign",
    PAIRS,
    exactness="subgradient",
    domain="at x = 0 the gradient is 0",
    tex={"x": "y/x", "other": "0"},
    special=(0.0, -0.0),
)
def _copysign(c: Context) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        ratio = op.masked_fill(c.y / c.x, c.x.eq(0), 0)
        out["x"] = c.g * ratio
    if c.needs("other"):
        out["other"] = op.zeros_like(c.g)
    return out


def _refuse(name: str, what: str, *samples: object) -> None:
    """A rule for an operator that torch itself cannot differentiate: it says so."""

    @rule(name, (sample(*samples),))
    def refuse(c: Context) -> Gradients:
        raise UnsupportedError(f"torch has no derivative of {name}", hint=what)


_refuse(
    "floor_divide",
    "use torch.floor(x / y), whose gradient is 0, or detach the operands",
    T((3, 4), grad=False),
    T((3, 4), "positive", grad=False),
)
_refuse(
    "heaviside",
    "use (x > 0).to(x.dtype), or detach the operands",
    T((3, 4), grad=False),
    T((3, 4), grad=False),
)

unary(
    "angle",
    lambda g, x, y: op.zeros_like(x),
    ANY,
    tex="0",
    exactness="almost everywhere",
    domain="0 at NaN too",
    special=(0.0, -0.0, math.nan),
)
nondifferentiable("comparisons are piecewise constant", "eq", "ne", "lt", "le", "gt", "ge")
nondifferentiable(
    "the result is true or false",
    "isnan",
    "isinf",
    "isfinite",
    "isposinf",
    "isneginf",
    "signbit",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
)
nondifferentiable(
    "it works on whole numbers", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"
)
