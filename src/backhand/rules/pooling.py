"""Pooling and its inverses.

A maximum sends its upstream to the element that was chosen (the first of equal ones); an average
shares it among the window.
"""

from __future__ import annotations

from typing import Any

from ..program.build import Var, op
from .base import Context, Gradients, T, kernel, plain, rule, sample
from .index import LATER_WINS

FIRST = "the first of equal elements in a window gets the whole gradient"
CHOSEN = {"x": "\\sum_w [i = \\text{index}_w]"}


def _flat(v: Var, n: int) -> Var:
    """The last ``n`` axes as one."""
    out: Var = op.flatten(v, -n)
    return out


def _to_chosen(g: Var, x: Var, indices: Var, n: int) -> Var:
    """The upstream added up where ``indices`` (into the last ``n`` axes as one) point."""
    zero = op.zeros_like(x)
    if n == 1:
        placed: Var = op.scatter_add(zero, -1, indices, g)
        return placed
    flat = op.scatter_add(_flat(zero, n), -1, _flat(indices, n), _flat(g, n))
    out: Var = op.view(flat, x.shape)
    return out


def _max_pool(n: int) -> None:
    size = (6, 5) if n == 2 else (4, 4, 5)
    name = f"max_pool{n}d"

    @rule(
        f"{name}_with_indices",
        (
            sample(T((2, 3, *size), "distinct"), (2,) * n),
            sample(T((2, 3, *size), "ties"), (2,) * n, (1,) * n, (1,) * n),
            sample(T((2, *size)), (2,) * n, (2,) * n, (0,) * n, (1,) * n, True),
        ),
        exactness="subgradient",
        ties=FIRST,
        tex=CHOSEN,
    )
    def vjp(c: Context) -> Gradients:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        how = [_pair(c[name], n) for name in names[:4]]
        back = getattr(op, f"{name}_backward")
        return {"x": back(c.g, c.x, *how, c["ceil_mode"], c.ys[1])}

    @plain(f"{name}_backward")
    def formula(g: Var, x: Var, *rest: Any) -> Var:
        return _to_chosen(g, x, rest[-1], n)


def _pair(value: Any, n: int) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,) * n


def _avg_pool(n: int) -> None:
    size = (6, 5) if n == 2 else (4, 4, 5)
    name = f"avg_pool{n}d"

    @rule(
        name,
        (
            sample(T((2, 3, *size)), (2,) * n),
            sample(T((2, 3, *size)), (2,) * n, (1,) * n, (1,) * n, False, False),
            sample(T((2, 3, *size)), (2,) * n, (2,) * n, (0,) * n, True, True, 3),
        ),
        tex={"x": "1/k"},
    )
    def vjp(c: Context) -> Gradients:
        how = [_pair(c[k], n) for k in ("kernel_size", "stride", "padding")]
        odd = (c["ceil_mode"], c["count_include_pad"], c["divisor_override"])
        return {"x": getattr(op, f"{name}_backward")(c.g, c.x, *how, *odd)}


def _adaptive(n: int) -> None:
    size = (6, 5) if n == 2 else (4, 4, 5)

    @rule(f"_adaptive_avg_pool{n}d", (sample(T((2, 3, *size)), (2,) * n),), tex={"x": "1/k"})
    def average(c: Context) -> Gradients:
        return {"x": getattr(op, f"adaptive_avg_pool{n}d_backward")(c.g, c.x)}

    @rule(
        f"adaptive_max_pool{n}d",
        (sample(T((2, 3, *size), "distinct"), (2,) * n), sample(T((2, *size)), (3,) * n)),
        exactness="subgradient",
        ties=FIRST,
        tex=CHOSEN,
    )
    def maximum(c: Context) -> Gradients:
        back = getattr(op, f"adaptive_max_pool{n}d_backward")
        return {"x": back(c.g, c.x, c.ys[1])}

    @plain(f"adaptive_max_pool{n}d_backward")
    def formula(g: Var, x: Var, indices: Var) -> Var:
        return _to_chosen(g, x, indices, n)

    points = T((2, 3, n), "open", grad=False)

    @rule(
        f"fractional_max_pool{n}d",
        (sample(T((2, 3, *size), "distinct"), (2,) * n, (2,) * n, points),),
        exactness="subgradient",
        ties=FIRST,
        tex=CHOSEN,
    )
    def fractional(c: Context) -> Gradients:
        back = getattr(op, f"fractional_max_pool{n}d_backward")
        return {"x": back(c.g, c.x, c["kernel_size"], c["output_size"], c.ys[1])}

    @plain(f"fractional_max_pool{n}d_backward")
    def fractional_formula(g: Var, x: Var, kernel: Any, output_size: Any, indices: Var) -> Var:
        return _to_chosen(g, x, indices, n)


for _n in (2, 3):
    _max_pool(_n)
    _avg_pool(_n)
    _adaptive(_n)


def _unpooled(c: Context, n: int) -> Gradients:
    """Each element was written to one place: its gradient is read from there."""
    x = c.x
    taken = op.gather(_flat(c.g, n), -1, _flat(c["indices"], n))
    return {"x": op.view(taken, x.shape)}


@rule(
    "max_unpool2d",
    (sample(T((1, 2, 2)), T((1, 2, 2), "index", 4), (4, 4)),),
    ties=LATER_WINS,
    tex={"x": "g_{\\sigma}"},
)
def _max_unpool2d(c: Context) -> Gradients:
    return _unpooled(c, 2)


@rule(
    "max_unpool3d",
    (sample(T((1, 2, 2, 2)), T((1, 2, 2, 2), "index", 4), (4, 4, 4), (2, 2, 2), (0, 0, 0)),),
    ties=LATER_WINS,
    tex={"x": "g_{\\sigma}"},
)
def _max_unpool3d(c: Context) -> Gradients:
    return _unpooled(c, 3)


kernel(
    "an average again, over the windows that hold an element: its own gradient has no rule",
    *(f"{name}avg_pool{n}d_backward" for name in ("", "adaptive_") for n in (2, 3)),
)
