"""Tensors made in the likeness of others: nothing is kept only to say a shape and a dtype.

``torch.zeros_like(x)`` needs no element of ``x``. Where ``x`` is not at hand anyway it is made of
the sizes, on the device of a tensor that is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from ..program.ir import Arg, Node, Program, Value, map_arg
from ..program.loops import role

FILLS: Mapping[str, int] = {"zeros_like": 0, "ones_like": 1}


def elements_read(program: Program) -> Iterator[Value]:
    """The values whose elements a program reads, or that it gives back."""
    for node in program.nodes():
        if role(node.op) != "creation":
            yield from node.operands()
    yield from program.outputs


def made_of_sizes(program: Program, missing: Collection[str], near: Value) -> Program:
    """The program with nothing made in the likeness of ``missing`` values; ``near`` is at hand."""

    def fn(node: Node) -> Node:
        if role(node.op) != "creation" or not any(v.name in missing for v in node.operands()):
            return node
        out = node.outs[0]
        if node.op in ("zeros_like", "ones_like", "full_like", "new_zeros"):
            fill: Arg = FILLS.get(node.op, 0)
            if node.op == "full_like":
                fill = node.args[1]
            return Node("full", (out.shape, fill, out.dtype, near), node.outs)
        return replace(
            node,
            args=tuple(map_arg(a, lambda v: near if v.name in missing else v) for a in node.args),
        )

    steps = tuple(replace(s, nodes=tuple(map(fn, s.nodes))) for s in program.steps)
    return replace(program, steps=steps)


__all__ = ["elements_read", "made_of_sizes"]
