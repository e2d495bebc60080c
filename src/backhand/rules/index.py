"""Indexing, gathering and scattering."""

from __future__ import annotations

from ..program.build import op
from .base import Context, Gradients, T, rule, sample

ROWS = T((5,), "index", high=4, grad=False)


@rule("index", (sample(T((4, 3)), (ROWS,)),
                sample(T((5, 6)), (T((5,), "index", high=5, grad=False), T((5,), "index", high=6, grad=False))),
                sample(T((4, 3)), (T((2, 5), "index", high=4, grad=False),))),
      tex={"x": "\\sum_{\\sigma(i)=j} g_i"})
def _index(c: Context) -> Gradients:
    return {"x": op.index_put(op.zeros_like(c.x), c["indices"], c.g, accumulate=True)}
