"""Readings of operators that pick elements, and of those that put them back: deltas."""

from __future__ import annotations

from typing import Any

from ..program.ir import Value
from ..program.sizes import Dim
from . import coefficients as co
from .expr import Delta, Expr, IndexTerm, Red, Ref, Via
from .normal import add, delta, mul, reduce, rename_index, substitute
from .read import Reader, Unreadable, axis, leaf, reading, shifted


@reading("index")
def _index(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    """``x[arange(n), Y]``: an element picked per position."""
    x, indices = args["x"], args["indices"]
    rank = _picked_rank(indices)
    picks = [pick(r, t, x.shape[k], rank) for k, t in enumerate(indices)]
    after = len(indices)
    names: dict[str, IndexTerm] = {axis(k): p for k, p in enumerate(picks)}
    names |= {axis(k): axis(k - after + rank) for k in range(after, len(x.shape))}
    return substitute(r.of(x), names)


def _picked_rank(indices: tuple[Any, ...]) -> int:
    if any(not isinstance(t, Value) or not t.dtype.startswith("int") for t in indices):
        raise Unreadable("an index that is no tensor of integers")
    return max(len(t.shape) for t in indices)


def pick(r: Reader, index: Value, size: Dim, rank: int) -> IndexTerm:
    """Where an index tensor points, position by position."""
    offset = rank - len(index.shape)
    if index.name in r.counters:
        if r.counters[index.name] != size or len(index.shape) != 1:
            raise Unreadable("a counter of another length")
        return axis(offset)
    found = r.known.get(index.name)
    if found is not None and not _is_leaf(found, index):
        raise Unreadable("an index that is computed")
    places = tuple(axis(offset + k) for k, d in enumerate(index.shape) if d != 1)
    return Via(index.name, places)


def _is_leaf(expr: Expr, value: Value) -> bool:
    return expr == leaf(value)


@reading("index_put")
def _index_put(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    """Values put where ``index`` picks: a delta per axis."""
    x, indices, values = args["x"], args["indices"], args["values"]
    if not args["accumulate"]:
        raise Unreadable("an update that overwrites")
    rank = _picked_rank(indices)
    sizes = next(t.shape for t in indices if len(t.shape) == rank)
    given = shifted(
        r.of(values), len(values.shape), rank + len(x.shape) - len(indices) - len(values.shape)
    )
    local = {axis(k): f"p{k}" for k in range(rank)}
    rest = {axis(rank + k): axis(len(indices) + k) for k in range(len(x.shape) - len(indices))}
    found = substitute(given, {**local, **rest})
    for k, t in enumerate(indices):
        where = pick(r, t, x.shape[k], rank)
        found = mul(found, delta(axis(k), rename_index(where, local)))
    for k in range(rank):
        found = reduce(found, f"p{k}", co.number(sizes[k]))
    _no_sum_of_deltas(found)
    return add(r.of(x), found)


def _no_sum_of_deltas(expr: Expr) -> None:
    """A sum over everything that points somewhere is a scatter: no business of the algebra."""
    for atom in expr.atoms():
        if isinstance(atom, Red) and any(isinstance(a, Delta) for a, _ in atom.mono.factors):
            raise Unreadable("a scatter")


@reading("scatter", "scatter_add")
def _scatter(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    """One value per row put at ``index`` into zeros."""
    x, dim, index, src = args["x"], args["dim"] % len(out.shape), args["index"], args["src"]
    if not r.of(x).is_zero or index.shape[dim] != 1 or not isinstance(src, Value):
        raise Unreadable("a scatter")
    _same_rows(out, index, dim)
    where = _pointer(r, index)
    if isinstance(where, Expr):
        raise Unreadable("an index that is computed")
    return mul(r.of(src), delta(axis(dim), where))


def _same_rows(x: Value, index: Value, dim: int) -> None:
    """An index may have fewer rows than what it points into; then only these are picked."""
    for k, (a, b) in enumerate(zip(x.shape, index.shape, strict=True)):
        if k != dim and a != b:
            raise Unreadable(
                f"a gather along axis {dim} whose index has {b} places along axis {k} where the "
                f"tensor has {a}, and they need not be equal: `x[range(n), Y]`, or the same name "
                "for both sizes, says that they are"
            )


def _pointer(r: Reader, index: Value) -> IndexTerm | Expr:
    found = r.of(index)
    if len(found.terms) == 1 and found.terms[0][1] == 1 and len(found.terms[0][0].factors) == 1:
        atom, q = found.terms[0][0].factors[0]
        if isinstance(atom, Ref) and q == 1 and all(isinstance(i, str) for i in atom.index):
            return Via(atom.name, atom.index)
    return found


@reading("gather")
def _gather(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x, dim, index = args["x"], args["dim"] % len(out.shape), args["index"]
    _same_rows(x, index, dim)
    where = _pointer(r, index)
    if isinstance(where, Expr):
        raise Unreadable("an index that is computed")
    return substitute(r.of(x), {axis(dim): where})


@reading("one_hot")
def _one_hot(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    where = _pointer(r, args["x"])
    if isinstance(where, Expr):
        raise Unreadable("an index that is computed")
    return delta(axis(len(out.shape) - 1), where)
