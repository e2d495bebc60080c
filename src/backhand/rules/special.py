"""Special functions: error functions, gamma functions, Bessel functions, entropies."""

from __future__ import annotations

import math

from ..errors import UnsupportedError
from ..program.build import Var, op
from .base import Context, Gradients, T, plain, rule, sample, unary
from .elementwise import ANY, PAIRS, POSITIVE

OPEN = (sample(T((3, 4), "open")), sample(T((), "open")))
UNIT = (sample(T((3, 4), "unit")), sample(T((), "unit")))
ROOT_PI = math.sqrt(math.pi)

unary(
    "erf",
    lambda g, x, y: 2.0 / ROOT_PI * op.exp(-(x**2)) * g,
    ANY,
    tex="\\tfrac{2}{\\sqrt\\pi} e^{-x^2}",
)
unary(
    "erfc",
    lambda g, x, y: -2.0 / ROOT_PI * op.exp(-(x**2)) * g,
    ANY,
    tex="-\\tfrac{2}{\\sqrt\\pi} e^{-x^2}",
)
unary(
    "special_erfcx",
    lambda g, x, y: (2.0 * x * y - 2.0 / ROOT_PI) * g,
    ANY,
    tex="2x\\,y - \\tfrac{2}{\\sqrt\\pi}",
)
unary(
    "erfinv",
    lambda g, x, y: 0.5 * ROOT_PI * op.exp(y**2) * g,
    UNIT,
    tex="\\tfrac{\\sqrt\\pi}{2} e^{y^2}",
    domain="inf at -1 and 1, NaN outside",
    special=(-1.0, 1.0, 2.0),
)
unary(
    "special_ndtri",
    lambda g, x, y: g * math.sqrt(2 * math.pi) * op.exp(op.square(y) / 2),
    OPEN,
    tex="\\sqrt{2\\pi}\\,e^{y^2/2}",
    domain="inf at 0 and 1, NaN outside",
    special=(0.0, 1.0, 2.0),
)
unary(
    "special_log_ndtr",
    lambda g, x, y: g / math.sqrt(2 * math.pi) * op.exp(-(y + x**2 / 2)),
    ANY,
    tex="e^{-(y + x^2/2)}/\\sqrt{2\\pi}",
)
unary(
    "special_entr",
    lambda g, x, y: g * -(1 + op.log(x)),
    POSITIVE,
    tex="-(1 + \\ln x)",
    domain="inf at 0, NaN below",
    special=(0.0, -1.0),
)

unary(
    "lgamma",
    lambda g, x, y: g * op.digamma(x),
    POSITIVE,
    tex="\\psi(x)",
    domain="at 0 and the negative integers torch's digamma decides",
    special=(0.0, -1.0),
)
unary("digamma", lambda g, x, y: g * op.polygamma(1, x), POSITIVE, tex="\\psi_1(x)")


@rule(
    "polygamma",
    (sample(1, T((3, 4), "positive")), sample(2, T((), "positive"))),
    tex={"x": "\\psi_{n+1}(x)"},
)
def _polygamma(c: Context) -> Gradients:
    return {"x": c.g * op.polygamma(c["n"] + 1, c.x)}


@rule(
    "mvlgamma",
    (sample(T((3, 4), "above"), 1), sample(T((3, 4), "above"), 2)),
    tex={"x": "\\sum_{j=1}^{p}\\psi(x + (1 - j)/2)"},
)
def _mvlgamma(c: Context) -> Gradients:
    p = c["p"]
    steps = op.arange(-p / 2.0 + 0.5, 0.5, 0.5, dtype=c.x.dtype, device=c.x)
    return {"x": c.g * op.sum(op.digamma(steps + op.unsqueeze(c.x, -1)), -1)}


@rule(
    "igamma",
    (sample(T((3, 4), "positive", grad=False), T((3, 4), "positive")),),
    tex={"other": "e^{(x - 1)\\ln other - other - \\ln\\Gamma(x)}"},
    domain="only the second argument is differentiable",
)
def _igamma(c: Context) -> Gradients:
    return {"other": c.g * _gamma_density(c)}


@rule(
    "igammac",
    (sample(T((3, 4), "positive", grad=False), T((3, 4), "positive")),),
    tex={"other": "-e^{(x - 1)\\ln other - other - \\ln\\Gamma(x)}"},
    domain="only the second argument is differentiable",
)
def _igammac(c: Context) -> Gradients:
    return {"other": -c.g * _gamma_density(c)}


def _gamma_density(c: Context) -> Var:
    if c.needs("x"):
        raise UnsupportedError(
            f"torch has no derivative of {c.node.op} with respect to its first argument",
            hint="detach the first argument",
        )
    a, x = c["x"], c["other"]
    return op.exp((a - 1) * op.log(x) - x - op.lgamma(a))


@rule(
    "special_zeta",
    (
        sample(T((3, 4), "above", grad=False), T((3, 4), "positive")),
        sample(2.0, T((3, 4), "positive")),
    ),
    tex={"other": "-x\\,\\zeta(x + 1, other)"},
    domain="only the second argument is differentiable",
)
def _zeta(c: Context) -> Gradients:
    if c.needs("x"):
        raise UnsupportedError(
            "torch has no derivative of zeta with respect to its first argument",
            hint="detach the first argument",
        )
    x, other = c["x"], c["other"]
    return {"other": c.g * -x * op.special_zeta(x + 1.0, other)}


LOGS = (
    sample(T((3, 4)), T((3, 4), "positive")),
    sample(T((3, 1)), T((1, 4), "positive")),
    sample(T((3, 4)), 2.5),
    sample(2.5, T((3, 4), "positive")),
)


@rule(
    "xlogy",
    LOGS,
    tex={"x": "\\ln other", "other": "x/other"},
    domain="where x is 0 and other is not positive the gradient of x is 0",
    special=(0.0, -1.0),
)
def _xlogy(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    out: dict[str, Var] = {}
    if c.needs("x"):
        logs = op.xlogy(c.g, other)
        if isinstance(other, Var):
            both = op.bitwise_and(x.eq(0.0), other <= 0.0)
            out["x"] = op.masked_fill(logs, both, 0.0)
        else:
            out["x"] = logs if other > 0 else op.masked_fill(logs, x.eq(0.0), 0.0)
    if c.needs("other"):
        out["other"] = c.g * x / other
    return out


@rule(
    "special_xlog1py",
    LOGS,
    tex={"x": "\\ln(1 + other)", "other": "x/(1 + other)"},
    domain="where x is 0 and other at most -1 the gradient of x is 0",
    special=(0.0, -1.0, -2.0),
)
def _xlog1py(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    out: dict[str, Var] = {}
    if c.needs("x"):
        logs = op.special_xlog1py(c.g, other)
        if isinstance(other, Var):
            both = op.bitwise_and(x.eq(0.0), other <= -1.0)
            out["x"] = op.masked_fill(logs, both, 0.0)
        else:
            out["x"] = logs if other > -1 else op.masked_fill(logs, x.eq(0.0), 0.0)
    if c.needs("other"):
        out["other"] = c.g * x / (other + 1)
    return out


@rule(
    "logaddexp",
    PAIRS[:4],
    tex={"x": "1/(1 + e^{other - x})", "other": "1/(1 + e^{x - other})"},
    domain="two equal infinities: NaN",
    special=(math.inf, -math.inf),
)
def _logaddexp(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    return {
        "x": c.g / (1 + op.exp(other - x)) if c.needs("x") else None,
        "other": c.g / (1 + op.exp(x - other)) if c.needs("other") else None,
    }


@rule(
    "logaddexp2",
    PAIRS[:4],
    tex={"x": "1/(1 + 2^{other - x})", "other": "1/(1 + 2^{x - other})"},
    domain="two equal infinities: NaN",
    special=(math.inf, -math.inf),
)
def _logaddexp2(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    return {
        "x": c.g / (1 + op.pow(2, other - x)) if c.needs("x") else None,
        "other": c.g / (1 + op.pow(2, x - other)) if c.needs("other") else None,
    }


@rule(
    "logit",
    (sample(T((3, 4), "open")), sample(T((3, 4), "open"), 0.1)),
    tex={"x": "1/(x(1 - x))"},
    exactness="almost everywhere",
    domain="NaN outside [0, 1]; with eps: 0 outside [eps, 1 - eps]",
    special=(0.0, 1.0, -0.5, 2.0),
)
def _logit(c: Context) -> Gradients:
    return {"x": op.logit_backward(c.g, c.x, c["eps"])}


@plain("logit_backward")
def _logit_backward(g: Var, x: Var, eps: float | None) -> Var:
    slope = g / (x * (1.0 - x))
    low = 0.0 if eps is None else eps
    inside = op.logical_and(x >= low, x <= 1.0 - low)
    outside = math.nan if eps is None else 0.0
    return op.where(inside, slope, outside)


# Modified Bessel functions of the first kind.

unary("i0", lambda g, x, y: g * op.special_i1(x), ANY, tex="I_1(x)")
unary(
    "special_i0e",
    lambda g, x, y: g * (op.special_i1e(x) - op.sgn(x) * y),
    ANY,
    tex="I_{1e}(x) - \\operatorname{sgn}(x)\\,y",
    exactness="subgradient",
    domain="0 at 0",
    special=(0.0, -0.0),
)
unary(
    "special_i1",
    lambda g, x, y: _i1(g, x, y),
    ANY,
    tex="I_0(x) - y/x",
    domain="1/2 at 0",
    special=(0.0, -0.0),
)
unary(
    "special_i1e",
    lambda g, x, y: _i1e(g, x, y),
    ANY,
    tex="I_{0e}(x) - y(\\operatorname{sgn} x + 1/x)",
    domain="1/2 at 0",
    special=(0.0, -0.0),
)

EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def _i1(g: Var, x: Var, y: Var) -> Var:
    tiny, safe = _away_from_zero(x)
    slope = op.i0(safe) - y * op.reciprocal(safe)
    return g * op.where(tiny, slope, 0.5)


def _i1e(g: Var, x: Var, y: Var) -> Var:
    tiny, safe = _away_from_zero(x)
    slope = op.special_i0e(safe) - y * (op.sgn(safe) + op.reciprocal(safe))
    return g * op.where(tiny, slope, 0.5)


def _away_from_zero(x: Var) -> tuple[Var, Var]:
    """Whether ``x`` is away from 0, and ``x`` with what is not replaced by the smallest step."""
    eps = EPSILON[x.dtype]
    away = op.abs(x) > eps
    return away, op.where(away, x, eps)
