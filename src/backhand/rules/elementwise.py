"""Elementwise rules: arithmetic, powers, exponentials."""

from __future__ import annotations

from ..program.build import Var, op
from .base import Context, Gradients, T, nondifferentiable, plain, rule, sample, unary

ANY = (sample(T((3, 4))), sample(T(())))
POSITIVE = (sample(T((3, 4), "positive")),)
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
)


@rule("add", PAIRS, tex={"x": "1", "other": "1"})
def _add(c: Context) -> Gradients:
    return {"x": c.g, "other": c.g}


@rule("sub", PAIRS, tex={"x": "1", "other": "-1"})
def _sub(c: Context) -> Gradients:
    return {"x": c.g, "other": -c.g if c.needs("other") else None}


@rule("mul", PAIRS, tex={"x": "other", "other": "x"})
def _mul(c: Context) -> Gradients:
    return {
        "x": c.g * c["other"] if c.needs("x") else None,
        "other": c.g * c["x"] if c.needs("other") else None,
    }


@rule("div", PAIRS_POSITIVE, domain="at 0: x/0 has gradient inf or NaN, as in IEEE arithmetic")
def _div(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    return {
        "x": c.g / other if c.needs("x") else None,
        "other": -c.g * ((x / other) / other) if c.needs("other") else None,
    }


@rule("pow", (sample(T((3, 4), "positive"), 3), sample(T((3, 4), "positive"), -0.5)))
def _pow(c: Context) -> Gradients:
    x, e = c["x"], c["exponent"]
    out: dict[str, Var | None] = {}
    if c.needs("x"):
        if isinstance(e, Var):
            zero = op.zeros_like(c.g)
            out["x"] = op.where(e.eq(0.0), zero, c.g * (e * x ** (e - 1)))
        elif e == 0:
            out["x"] = op.zeros_like(x)
        elif e == 1:
            out["x"] = c.g
        elif e == 2:
            out["x"] = c.g * (2 * x)
        else:
            out["x"] = c.g * (e * x ** (e - 1))
    if c.needs("exponent"):
        base = x
        log = op.log(base) if isinstance(base, Var) else None
        assert log is not None
        cond = op.logical_and(base.eq(0), e >= 0)
        out["exponent"] = op.where(cond, op.zeros_like(c.g), c.g * (c.y * log))
    return out


unary("neg", lambda g, x, y: -g, ANY, tex="-1")
unary("exp", lambda g, x, y: g * y, ANY, tex="y")
unary("log", lambda g, x, y: g / x, POSITIVE, tex="1/x", domain="log(-1) is NaN, its gradient is -1")
unary("tanh", lambda g, x, y: op.tanh_backward(g, y), ANY, tex="1 - y^2")


@plain("tanh_backward")
def _tanh_backward(g: Var, y: Var) -> Var:
    return g * (1 - y**2)


unary("identity", lambda g, x, y: g, ANY, tex="1")
unary("clone", lambda g, x, y: g, ANY, tex="1")
nondifferentiable("its gradient is cut on purpose", "stop_gradient")
nondifferentiable("the result is constant", "zeros_like", "ones_like", "arange", "full")
nondifferentiable("comparisons are piecewise constant", "eq", "ne", "lt", "le", "gt", "ge")
