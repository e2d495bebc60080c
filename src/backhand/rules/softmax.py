"""Softmax and log-softmax."""

from __future__ import annotations

from ..program.build import Var, op
from .base import Context, Gradients, T, plain, rule, sample

ALONG = (sample(T((3, 4)), 1), sample(T((2, 3, 4)), 1), sample(T((5,)), -1))


@rule("softmax", ALONG, tex={"x": "y_i(\\delta_{ij} - y_j)"})
def _softmax(c: Context) -> Gradients:
    return {"x": op.softmax_backward(c.g, c.y, c["dim"], c.x.dtype)}


@plain("softmax_backward")
def _softmax_backward(g: Var, y: Var, dim: int, input_dtype: str) -> Var:
    weighted = (g * y).called("weighted")
    return weighted - y * op.sum(weighted, dim, keepdim=True)


@rule("log_softmax", ALONG, tex={"x": "\\delta_{ij} - e^{y_j}"})
def _log_softmax(c: Context) -> Gradients:
    return {"x": op.log_softmax_backward(c.g, c.y, c["dim"], c.x.dtype)}


@plain("log_softmax_backward")
def _log_softmax_backward(g: Var, y: Var, dim: int, input_dtype: str) -> Var:
    return g - op.exp(y) * op.sum(g, dim, keepdim=True)


@rule("safe_softmax", ALONG, domain="a row of -inf gives 0 instead of NaN, and gets 0",
      tex={"x": "y_i(\\delta_{ij} - y_j)"})
def _safe_softmax(c: Context) -> Gradients:
    return {"x": op.softmax_backward(c.g, c.y, c["dim"], c.x.dtype)}
