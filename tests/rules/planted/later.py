"""Forgotten upstreams, and what only one of the later checks can see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backhand.checking.compare import CLOSE
from backhand.program.build import Var, op
from backhand.rules import RULES, Context
from backhand.rules.base import Gradients
from backhand.rules.linalg import swapped
from backhand.rules.reductions import count, restored, spread

from .base import ALMOST, BROKEN, FIRST_ORDER, REFUSED, centred, wrong

# The upstream.


@wrong("sin", "upstream forgotten")
def local_gradient_alone(c: Context) -> Gradients:
    return {"x": op.cos(c.x)}


@wrong("sum", "upstream forgotten")
def ones_for_the_upstream(c: Context) -> Gradients:
    return {"x": op.ones_like(c.x)}


@wrong("dot", "upstream forgotten")
def upstream_of_one_side_only(c: Context) -> Gradients:
    return {"x": c.g * c["tensor"], "tensor": c.x}


@wrong("unbind", "upstream forgotten", "gradient")
def unread_pieces_repeat_another(c: Context) -> Gradients:
    found = next(g for g in c.gs if g is not None)
    return {"x": op.stack(tuple(found if g is None else g for g in c.gs), c["dim"])}


# What only one of the later checks can see.


@wrong("exp", "dtype", "gradient", missed=ALMOST)
def rounded_to_single_precision(c: Context) -> Gradients:
    return {"x": op.to(c.g * c.y, "float32")}


@wrong("mv", "dtype", "dtypes", missed=FIRST_ORDER, verdict=BROKEN)
def multiplied_in_double_precision(c: Context) -> Gradients:
    g = op.to(c.g, "float64")
    return {"x": op.unsqueeze(c.g, -1) * c["vec"], "vec": swapped(c.x) @ g}


@wrong("sin", "second order", "second", missed=("gradient", "plain", "differences", "special"))
def slope_taken_for_constant(c: Context) -> Gradients:
    return {"x": c.g * op.stop_gradient(op.cos(c.x))}


_matmul = RULES["matmul"].vjp


@wrong("matmul", "second order", "second", missed=("gradient", "differences"))
def operand_cut_off(c: Context) -> Gradients:
    out = _matmul(c)
    return {**out, "x": op.stop_gradient(out["x"])} if c.needs("x") else out


@wrong("reshape", "empty", "empty", missed=FIRST_ORDER, verdict=REFUSED)
def first_size_left_to_torch(c: Context) -> Gradients:
    return {"x": op.reshape(c.g, (-1, *c.x.shape[1:]) if c.x.rank else ())}


@wrong("var", "empty", "empty", missed=FIRST_ORDER)
def never_divided_by_zero(c: Context) -> Gradients:
    g = restored(c.g, c.x, c["dim"], c["keepdim"])
    dof = max(count(c.x, c["dim"]) - c["correction"], 1)
    return {"x": (g * (2.0 / dof)) * centred(c)}


@wrong("sum", "symbolic sizes", "captured", missed=FIRST_ORDER, verdict=BROKEN)
def sizes_of_the_example(c: Context) -> Gradients:
    hint = c.x.builder.context.hint
    g = restored(c.g, c.x, c["dim"], c["keepdim"])
    return {"x": op.expand(g, tuple(hint(d) for d in c.x.shape))}


# Right on paper, in another order than torch's: not the same bits.


@wrong("div", "rounding", "gradient", missed=("differences", "second"), verdict=CLOSE)
def divided_by_the_square(c: Context) -> Gradients:
    x, other = c["x"], c["other"]
    second = -c.g * x / (other * other) if c.needs("other") else None
    return {"x": c.g / other if c.needs("x") else None, "other": second}


@wrong("mean", "rounding", "gradient", missed=ALMOST, verdict=CLOSE)
def times_the_reciprocal(c: Context) -> Gradients:
    n = count(c.x, c["dim"])
    return {"x": spread(c.g * (1 / n), c.x, c["dim"], c["keepdim"])}


@wrong("tanh", "rounding", "gradient", missed=ALMOST, verdict=CLOSE)
def without_the_kernel(c: Context) -> Gradients:
    return {"x": c.g * (1 - c.y**2)}


# Formulas and NumPy functions, by operator: (operator, name, the mistake, a rule that uses it).


def _softmax_without_its_sum(g: Var, y: Var, dim: int, input_dtype: str) -> Var:
    return g * y


def _tanh_of_the_input(g: Var, y: Var) -> Var:
    return g * (1 - op.tanh(y) ** 2)


def _silu_gate_alone(g: Var, x: Var) -> Var:
    return g * op.sigmoid(x)


FORMULAS: list[tuple[str, Callable[..., Any], str]] = [
    ("softmax_backward", _softmax_without_its_sum, "softmax"),
    ("tanh_backward", _tanh_of_the_input, "tanh"),
    ("silu_backward", _silu_gate_alone, "silu"),
]
REFERENCES: list[tuple[str, Callable[..., Any], str]] = [
    ("flip", lambda x, dims: np.flip(x), "flip"),
    ("cumsum", lambda x, dim, dtype: np.cumsum(x, axis=-1) if x.ndim else x, "cumsum"),
    ("cos", lambda x: np.sin(x), "sin"),
]
