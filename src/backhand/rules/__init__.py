"""One vector-Jacobian product per operator, by topic. Importing this package fills the registry."""

from __future__ import annotations

from . import elementwise, index, linalg, movement, reductions, softmax
from .base import NONDIFFERENTIABLE, PLAIN, RULES, Context, Rule, Sample, T, unruled

__all__ = [
    "NONDIFFERENTIABLE",
    "PLAIN",
    "RULES",
    "Context",
    "Rule",
    "Sample",
    "T",
    "elementwise",
    "index",
    "linalg",
    "movement",
    "reductions",
    "softmax",
    "unruled",
]
