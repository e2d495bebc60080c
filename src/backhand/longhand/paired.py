"""Kernels with a further result for the backward pass, run once and not twice.

Attention gives its output; its backward kernel wants the log-sum-exp of every row of scores, too,
and the kernel that gives both is run again for that, to the same bits. Where the forward pass may
hand on more than its outputs it runs that kernel in the first place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..program.ir import Node, Program, Value, map_arg
from ..program.ops import get_op
from .naming import unique_name
from .passes import map_values, without_unread_inputs
from .walk import Backward

# The operator of the forward pass that each of these gives the first result of.
PAIRS = {"flash_attention": "attention"}


def run_once(forward: Program, derived: Backward) -> tuple[Program, Backward]:
    """The programs with such kernels in the forward one alone."""
    same = _made_again(forward, derived.program)
    first = {_key(n.op, n, same): n for n in forward.nodes() if n.op in PAIRS.values()}
    every = (*forward.values(), *derived.program.values())
    taken = {text for v in every for text in (v.name, v.var) if text}
    kernels: dict[str, Node] = {}  # by the forward value that each of them makes
    instead: dict[str, Value] = {}
    for node in derived.program.nodes():
        twin = first.get(_key(PAIRS[node.op], node, same)) if node.op in PAIRS else None
        if twin is None:
            continue
        result, *more = twin.outs[0], *node.outs[1:]
        kernel = kernels.get(result.name)
        if kernel is None:
            args = tuple(map_arg(a, lambda v: same.get(v.name, v)) for a in node.args)
            names = (unique_name(f"{result.var or result.name}_lse", taken) for _ in more)
            outs = [replace(v, name=name, var=None) for v, name in zip(more, names, strict=True)]
            kernel = kernels[result.name] = Node(node.op, args, (result, *outs))
        instead |= {v.name: k for v, k in zip(node.outs, kernel.outs, strict=True)}
    if not kernels:
        return forward, derived

    def of(node: Node) -> Node:
        return kernels.get(node.outs[0].name, node)

    steps = [replace(s, nodes=tuple(map(of, s.nodes))) for s in forward.steps]
    back = [
        replace(s, nodes=tuple(n for n in s.nodes if n.outs[0].name not in instead))
        for s in derived.program.steps
    ]
    program = replace(derived.program, steps=tuple(s for s in back if s.nodes))
    program = map_values(program, lambda v: instead.get(v.name, v))
    inputs = {v.name: v for v in (*program.inputs, *instead.values())}
    program = without_unread_inputs(replace(program, inputs=tuple(inputs.values())))
    return replace(forward, steps=tuple(steps)), replace(derived, program=program)


def _made_again(forward: Program, program: Program) -> dict[str, Value]:
    """By the name of a value that the backward pass makes again: the forward value that it is."""
    first = {_key(n.op, n, {}): n for n in forward.nodes()}
    same: dict[str, Value] = {}
    for node in program.nodes():
        twin = first.get(_key(node.op, node, same))
        if twin is not None and not get_op(node.op).random:
            same |= {v.name: t for v, t in zip(node.outs, twin.outs, strict=True)}
    return same


def _key(op: str, node: Node, same: Mapping[str, Value]) -> Any:
    """What an operator computes: its name and its arguments by theirs."""

    def called(v: Value) -> str:
        return f"value {same.get(v.name, v).name}"

    given = get_op(node.op).named(tuple(map_arg(a, called) for a in node.args))
    return op, tuple(sorted((name, repr(arg)) for name, arg in given.items()))


__all__ = ["run_once"]
