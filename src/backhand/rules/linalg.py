"""Contractions: matrix products in all ranks."""

from __future__ import annotations

from ..program.build import Var, op
from .base import Context, Gradients, T, rule, sample

MATMULS = (
    sample(T((3, 4)), T((4, 5))),
    sample(T((4,)), T((4,))),
    sample(T((4,)), T((4, 5))),
    sample(T((3, 4)), T((4,))),
    sample(T((2, 3, 4)), T((4, 5))),
    sample(T((2, 3, 4)), T((2, 4, 5))),
    sample(T((2, 1, 3, 4)), T((5, 4, 2))),
    sample(T((2, 3, 4)), T((4,))),
    sample(T((4,)), T((2, 4, 3))),
    sample(T((3, 4)), T((2, 4, 5))),
)


def swapped(x: Var) -> Var:
    """The matrix transpose: the last two axes exchanged."""
    out: Var = op.t(x) if x.rank == 2 else op.transpose(x, -2, -1)
    return out


def _rows(x: Var) -> Var:
    """All leading axes joined: a matrix of the vectors along the last axis."""
    return x if x.rank == 2 else op.flatten(x, 0, -2)


@rule("matmul", MATMULS, tex={"x": "g\\,B^\\top", "other": "A^\\top g"})
def _matmul(c: Context) -> Gradients:
    a, b, g = c["x"], c["other"], c.g
    out: dict[str, Var] = {}
    if a.rank == 1 and b.rank == 1:
        return {"x": g * b, "other": g * a}
    if a.rank == 1:
        column, g_row = op.unsqueeze(a, 1), op.unsqueeze(g, -2)
        if c.needs("x"):
            out["x"] = op.squeeze(g_row @ swapped(b), -2)
        if c.needs("other"):
            out["other"] = column * g_row if b.rank == 2 else column @ g_row
        return out
    if b.rank == 1:
        if c.needs("x"):
            out["x"] = op.unsqueeze(g, -1) * b
        if c.needs("other"):
            if a.rank == 2:
                out["other"] = swapped(a) @ g
            else:
                out["other"] = swapped(_rows(a)) @ op.flatten(g)
        return out
    if c.needs("x"):
        out["x"] = g @ swapped(b)
    if c.needs("other"):
        out["other"] = swapped(_rows(a)) @ _rows(g) if b.rank == 2 else swapped(a) @ g
    return out
