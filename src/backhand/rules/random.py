"""Fresh tensors and random numbers: nothing they are made from has a gradient."""

from __future__ import annotations

from ..program.build import op
from .base import Context, Gradients, T, nondifferentiable, rule, sample

nondifferentiable("a constant: its values do not depend on any input",
                  "eye", "full_like", "new_zeros", "linspace")
nondifferentiable("random numbers: only the shape is taken from the input",
                  "rand_like", "randn_like", "rand", "randn", "bernoulli_mask", "uniform", "normal",
                  "log_normal", "exponential", "cauchy", "geometric", "randint",
                  "randint_like", "randperm", "normal_of_size")
nondifferentiable("slopes for the negative elements: what they are multiplied by has the gradient",
                  "rrelu_with_noise")
nondifferentiable("the positions that were drawn are integers", "multinomial")
JUMPS = "a draw is no smooth function of its parameters: torch says 0 (mean + std * noise has one)"


@rule("bernoulli", (sample(T((3, 4), "open")),), exactness="almost everywhere", tex={"x": "0"},
      domain="the draw jumps between 0 and 1: its gradient is 0")
@rule("poisson", (sample(T((3, 4), "positive")),), exactness="almost everywhere", tex={"x": "0"},
      domain="the draw jumps between integers: its gradient is 0")
def _drawn(c: Context) -> Gradients:
    return {"x": op.zeros_like(c.g)}


@rule("normal_around", (sample(T((3, 4), "positive"), T((3, 4), "positive")),
                        sample(T((3, 4)), 0.5),
                        sample(0.0, T((3, 4), "positive"))),
      domain=JUMPS, tex={"mean": "0", "std": "0"})
def _normal_around(c: Context) -> Gradients:
    return {name: op.zeros_like(c.g) if c.needs(name) else None for name in ("mean", "std")}
