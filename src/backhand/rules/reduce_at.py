"""Reductions into chosen places: ``scatter_reduce`` and ``index_reduce``."""

from __future__ import annotations

from collections.abc import Callable

from ..program.build import Var, op
from .base import Context, Gradients, T, rule, sample
from .index import in_the_shape_of_src

WAYS = ("prod", "mean", "amax", "amin")
ROWS = T((2, 3), "index", high=3, grad=False)
LINE = T((6,), "index", high=4, grad=False)
TIES = "equal extrema share the gradient of their place evenly"
PRODUCT = "a product with two zeros in one place: torch has no second derivative there"

OWN = "g\\,\\frac{\\partial y}{\\partial x}"
TAKEN = "g_{\\sigma}\\,\\frac{\\partial y_{\\sigma}}{\\partial s}"


class _Places:
    """The places that a source goes to: how to read them, add to them, and clear them."""

    def __init__(self, c: Context) -> None:
        self.where = (c["dim"], c["index"])
        self.whole = c.node.op == "scatter_reduce"

    def taken(self, x: Var) -> Var:
        out: Var = op.gather(x, *self.where) if self.whole else op.index_select(x, *self.where)
        return out

    def added(self, x: Var, source: Var) -> Var:
        add = op.scatter_add if self.whole else op.index_add
        return add(x, *self.where, source)

    def cleared(self, x: Var) -> Var:
        return (op.scatter if self.whole else op.index_fill)(x, *self.where, 0)


@rule("scatter_reduce",
      (*(sample(T((4, 3)), 0, ROWS, T((2, 3)), way) for way in ("sum", *WAYS)),
       *(sample(T((4, 3)), 0, ROWS, T((2, 3)), way, include_self=False) for way in WAYS),
       sample(T((4, 3), "ties"), 0, ROWS, T((2, 3), "ties"), "amax"),
       sample(T((4, 3), "ties"), 0, ROWS, T((2, 3), "ties"), "prod")),
      exactness="subgradient", ties=TIES, domain=PRODUCT, tex={"x": OWN, "src": TAKEN})
@rule("index_reduce",
      (*(sample(T((4, 3)), 0, LINE, T((6, 3)), way) for way in WAYS),
       *(sample(T((4, 3)), 0, LINE, T((6, 3)), way, include_self=False) for way in WAYS),
       sample(T((4, 3), "ties"), 0, LINE, T((6, 3), "ties"), "amax")),
      exactness="subgradient", ties=TIES, domain=PRODUCT, tex={"x": OWN, "source": TAKEN})
def _reduce_at(c: Context) -> Gradients:
    at = _Places(c)
    source = "src" if at.whole else "source"
    x_part, source_part = _WAYS[c["reduce"]](c, at, c[source])
    if not c["include_self"]:
        x_part = at.cleared(x_part)
    if at.whole:
        source_part = in_the_shape_of_src(c, source_part)
    return {"x": x_part, source: source_part}


def _sum(c: Context, at: _Places, src: Var) -> tuple[Var, Var]:
    return c.g, at.taken(c.g)


def _mean(c: Context, at: _Places, src: Var) -> tuple[Var, Var]:
    own = op.ones_like(c.g) if c["include_self"] else op.zeros_like(c.g)
    count = at.added(own, op.ones_like(src))
    count = op.masked_fill(count, count.eq(0), 1)
    return c.g / count, at.taken(c.g) / at.taken(count)


def _extreme(c: Context, at: _Places, src: Var) -> tuple[Var, Var]:
    own = op.to(c.x.eq(c.y), c.x.dtype)
    theirs = op.to(src.eq(at.taken(c.y)), c.x.dtype)
    share = c.g / at.added(own, theirs)
    return own * share, theirs * at.taken(share)


def _prod(c: Context, at: _Places, src: Var) -> tuple[Var, Var]:
    how = {"include_self": c["include_self"]}
    reduced = op.scatter_reduce if at.whole else op.index_reduce
    own = op.masked_fill(c.x, c.x.eq(0), 1)
    of_x = c.g * reduced(own, *at.where, src, "prod", **how) / own
    zero = src.eq(0)
    zeros = at.taken(at.added(op.zeros_like(c.x), op.to(zero, c.x.dtype)))
    single = op.logical_and(zero, zeros.eq(1))
    # where a place took one zero, that zero has the product of all the others
    others = reduced(c.x, *at.where, op.masked_fill(src, single, 1), "prod", **how)
    usual = at.taken(c.g * c.y) / op.masked_fill(src, zero, 1)
    return of_x, op.where(single, at.taken(c.g * others), usual)


_WAYS: dict[str, Callable[[Context, _Places, Var], tuple[Var, Var]]] = {
    "sum": _sum,
    "prod": _prod,
    "mean": _mean,
    "amax": _extreme,
    "amin": _extreme,
}
