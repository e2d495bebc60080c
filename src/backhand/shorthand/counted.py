"""Indices that count from the end, where a closed form has rows that cannot.

``x[range(n), Y]`` takes -1 for the last column; a one-hot row and ``gather`` refuse it. What runs
says ``Y % k`` where the forward pass indexes with ``Y``. The text for people does so only where the
example's indices are counted from the end, or are computed: nearly all labels are not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..longhand import unique_name
from ..program.ir import Arg, Node, Program, Value, values_in
from ..program.loops import base
from ..program.ops import get_op

# Operators of the forward pass whose indices may be negative.
FROM_END = frozenset({"index", "index_put", "index_put_at"})
# What these give is counted from the front.
FROM_FRONT = frozenset(
    {
        "arange", "argmax", "argmin", "argsort", "sort", "topk", "max_dim", "min_dim", "remainder",
        "randperm", "multinomial", "median_dim", "kthvalue", "mode",
    }
)  # fmt: skip

ROWS = frozenset({"one_hot", "gather"})


def rows_of(program: Program, forward: Program) -> frozenset[str]:
    """What the forward pass indexes with, and the backward pass has one-hot rows or picks of."""
    makers = {**forward.producers(), **program.producers()}
    pointers = {
        base(v, makers).name
        for node in forward.nodes()
        if node.op in FROM_END
        for v in values_in(get_op(node.op).named(node.args)["indices"])
        if v.dtype.startswith("int")
    }
    placed = {base(_places(n), makers).name for n in program.nodes() if n.op in ROWS}
    return frozenset(
        p for p in pointers & placed if p not in makers or makers[p].op not in FROM_FRONT
    )


def counted_from_front(
    program: Program, forward: Program, trusted: Collection[str] = ()
) -> Program:
    """The backward program with one-hot rows and picks at ``Y % k`` where ``Y`` may be negative.

    ``trusted`` are inputs that are not, by name.
    """
    rows = rows_of(program, forward) - {*trusted}
    if not rows:
        return program
    makers = {**forward.producers(), **program.producers()}
    taken = {v.name for v in (*forward.values(), *program.values())}

    def counted(node: Node) -> list[Node]:
        if node.op not in ROWS or base(_places(node), makers).name not in rows:
            return [node]
        places = _places(node)
        value = replace(places, name=unique_name(f"{places.name}_from_front", taken), var=None)
        args = tuple(value if a is places else a for a in node.args)
        return [Node("remainder", (places, _length(node)), (value,)), replace(node, args=args)]

    steps = [
        replace(step, nodes=tuple(n for node in step.nodes for n in counted(node)))
        for step in program.steps
    ]
    return replace(program, steps=tuple(steps))


def _places(node: Node) -> Value:
    places = node.args[get_op(node.op).index("x" if node.op == "one_hot" else "index")]
    assert isinstance(places, Value)
    return places


def _length(node: Node) -> Arg:
    """How many places there are to point at."""
    if node.op == "one_hot":
        return node.args[get_op(node.op).index("num_classes")]
    x, dim = node.args[:2]
    assert isinstance(x, Value) and isinstance(dim, int)
    return x.shape[dim]


__all__ = ["counted_from_front"]
