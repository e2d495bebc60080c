"""Views and re-arrangements: the gradient goes back to where the value came from."""

from __future__ import annotations

from ..program.build import op
from .base import Context, Gradients, T, rule, sample


@rule("view", (sample(T((3, 4)), (2, 6)), sample(T((3, 4)), (12,))), tex={"x": "1"})
def _view(c: Context) -> Gradients:
    return {"x": op.reshape(c.g, c.x.shape)}


@rule("reshape", (sample(T((3, 4)), (2, 6)), sample(T((3, 4)), (-1,))), tex={"x": "1"})
def _reshape(c: Context) -> Gradients:
    return {"x": op.reshape(c.g, c.x.shape)}
