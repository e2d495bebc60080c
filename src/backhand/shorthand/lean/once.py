"""What a program computes twice is computed once, and gets a name and a line of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from ...longhand import names_of_parts, unique_name
from ...program.ir import Node, Program, Value, map_arg, without_dead_nodes
from ...program.loops import Extent
from ...program.ops import get_op

# Made again wherever they are read: that costs nothing, and a name would be one more line.
FREE = frozenset({"view", "creation", "random"})


def once(program: Program, hints: Mapping[str, int]) -> Program:
    """The program with every large value computed once; ``hints`` are the example's sizes."""
    extent = Extent(hints)
    outputs = {v.name for v in program.outputs}
    first: dict[object, Node] = {}
    same: dict[str, str] = {}  # by name, the first value that is the same
    shared: dict[str, Value] = {}  # by name, what is read in its place
    for node in program.nodes():
        op = get_op(node.op)
        key = node.op, map_arg(node.args, lambda v: ("value", same.get(v.name, v.name)))
        twin = first.setdefault(key, node)
        if twin is node or op.random:
            continue
        for mine, theirs in zip(node.outs, twin.outs, strict=True):
            same[mine.name] = same.get(theirs.name, theirs.name)
            large = extent.elements(mine) > 1
            if op.kind not in FREE and large and mine.var is None and mine.name not in outputs:
                shared[mine.name] = theirs
    if not shared:
        return program
    parts = names_of_parts(program)
    program = without_dead_nodes(_mapped(program, shared))
    taken = {text for v in program.values() for text in (v.name, v.var) if text}
    taken |= {s.name for s in program.symbols}
    reads = Counter(v.name for node in program.nodes() for v in node.operands())
    named: dict[str, Value] = {}
    for value in {v.name: v for v in shared.values() if v.var is None}.values():
        if reads[value.name] > 1:
            part = parts[value.name]
            text = part if part == value.name else unique_name(part, taken)
            named[value.name] = replace(value, var=text)
    return _mapped(program, named)


def _mapped(program: Program, instead: Mapping[str, Value]) -> Program:
    """The program with values read in the place of others; one of the same name is renamed."""

    def fn(v: Value) -> Value:
        return instead.get(v.name, v)

    def made(v: Value) -> Value:
        other = instead.get(v.name)
        return other if other is not None and other.name == v.name else v

    steps = tuple(
        replace(
            step,
            nodes=tuple(
                Node(n.op, tuple(map_arg(a, fn) for a in n.args), tuple(map(made, n.outs)))
                for n in step.nodes
            ),
        )
        for step in program.steps
    )
    return replace(program, steps=steps, outputs=tuple(map(fn, program.outputs)))
