"""Fresh tensors and random numbers: nothing they are made from has a gradient."""

from __future__ import annotations

from ..program.build import op
from .base import Context, Gradients, T, nondifferentiable, rule, sample

nondifferentiable("a constant: its values do not depend on any input",
                  "eye", "full_like", "new_zeros")
nondifferentiable("random numbers: only the shape is taken from the input",
                  "rand_like", "randn_like", "rand", "randn", "bernoulli_mask")


@rule("bernoulli", (sample(T((3, 4), "open")),), exactness="almost everywhere", tex={"x": "0"},
      domain="the draw jumps between 0 and 1: its gradient is 0")
def _bernoulli(c: Context) -> Gradients:
    return {"x": op.zeros_like(c.g)}
