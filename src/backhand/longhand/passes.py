"""Passes over backward programs: the plain spelling, and recomputing what is cheap."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from ..program.build import Builder, SizeContext, Var
from ..program.ir import Node, Program, Step, Value, map_arg, without_dead_nodes
from ..program.ops import get_op
from ..rules import PLAIN
from .tidy import tidy
from .walk import Backward


def expand_plain(derived: Backward, context: SizeContext, forward: Mapping[str, Var]) -> Backward:
    """The plain spelling: every kernel of torch's own replaced by the formula it stands for.

    ``forward`` gives the variables of the forward values.
    """
    if not any(node.op in PLAIN for node in derived.program.nodes()):
        return derived
    taken = {v.name for v in derived.program.values()} | set(forward)
    b = Builder(context, taken | {s.name for s in context.symbols})
    known: dict[str, Var] = {**forward, **derived.vars}
    steps: list[Step] = []
    for step in derived.program.steps:
        b.nodes = []
        renames: dict[str, Value] = {}
        for node in step.nodes:
            formula = PLAIN.get(node.op)
            if formula is None:
                b.nodes.append(node)
                continue
            args = tuple(map_arg(a, lambda v: Var(b, v, known[v.name])) for a in node.args)
            result = formula(*args)
            results = result if isinstance(result, (tuple, list)) else (result,)
            for out, var in zip(node.outs, results, strict=True):
                if var is not None:
                    known[out.name] = var
                    _carry_name(b, var, out, renames)
        nodes = tuple(_substituted(node, renames) for node in b.nodes)
        steps.append(replace(step, nodes=nodes))
    # a new value may have the name of one that the walk made and dropped
    known.update(b.vars)
    program = replace(derived.program, steps=tuple(steps))
    return replace(derived, program=_prune(program), vars=known)


def _carry_name(b: Builder, var: Var, out: Value, renames: dict[str, Value]) -> None:
    """Let the formula's value carry the name of the value that it replaces."""
    for i in range(len(b.nodes) - 1, -1, -1):
        node = b.nodes[i]
        for made in node.outs:
            if made.name == var.value.name and made.var is None:
                outs = tuple(out if o is made else o for o in node.outs)
                b.nodes[i] = replace(node, outs=outs)
                renames[made.name] = out
                return
    b.nodes.append(Node("identity", (var.value,), (out,)))


def _substituted(node: Node, values: Mapping[str, Value]) -> Node:
    """The node with some of the values it reads replaced, by name."""
    return replace(node, args=tuple(map_arg(a, lambda v: values.get(v.name, v)) for a in node.args))


def _prune(program: Program) -> Program:
    return without_unread_inputs(without_dead_nodes(program))


def without_unread_inputs(program: Program) -> Program:
    """The program without inputs that nothing reads."""
    used = {v.name for node in program.nodes() for v in node.operands()}
    used |= {v.name for v in program.outputs}
    return replace(program, inputs=tuple(v for v in program.inputs if v.name in used))


CHEAP = frozenset({"elementwise", "view", "creation"})


def recompute(derived: Backward, forward: Program) -> tuple[Backward, set[str]]:
    """Make anonymous forward values again where a single cheap operator does it.

    Returns the backward program and the names of the anonymous forward values that are still read:
    those the forward pass has to give a name.
    """
    producers = forward.producers()
    named = {v.name for v in forward.values() if v.var is not None}
    needed_names: set[str] = set()
    steps: list[Step] = []
    serial = 0
    for step in derived.program.steps:
        nodes: list[Node] = []
        made: dict[str, Value] = {}
        for node in step.nodes:
            for operand in node.operands():
                if operand.name in made or operand.var is not None:
                    continue
                source = again(operand, producers, named)
                if source is not None:
                    serial += 1
                    copy = replace(operand, name=f"{operand.name}_again{serial}")
                    nodes.append(replace(source, outs=(copy,)))
                    made[operand.name] = copy
                elif operand.name in producers:
                    needed_names.add(operand.name)
            nodes.append(_substituted(node, made))
        steps.append(replace(step, nodes=tuple(nodes)))
    program, instead = tidy(replace(derived.program, steps=tuple(steps)))
    gradients = {of: instead.get(name, name) for of, name in derived.gradients.items()}
    program = _prune_inputs(program, forward)
    return replace(derived, program=program, gradients=gradients), needed_names


def again(value: Value, producers: Mapping[str, Node], named: Collection[str]) -> Node | None:
    """The forward node that the backward pass runs again for a value, if it does that."""
    node = producers.get(value.name)
    cheap = node is not None and value.var is None and _cheap(node, named)
    return node if cheap else None


def _cheap(node: Node, named: Collection[str]) -> bool:
    if len(node.outs) > 1 or get_op(node.op).kind not in CHEAP:
        return False
    operands = list(node.operands())
    return len(operands) <= 1 and all(v.name in named for v in operands)


def _prune_inputs(program: Program, forward: Program) -> Program:
    """The program's inputs are what it reads and does not make itself."""
    made = {out.name for node in program.nodes() for out in node.outs}
    known = {v.name: v for v in (*forward.values(), *program.inputs)}
    read: dict[str, Value] = {}
    for node in program.nodes():
        for v in node.operands():
            if v.name not in made:
                read.setdefault(v.name, known.get(v.name, v))
    for v in program.outputs:
        if v.name not in made:
            read.setdefault(v.name, v)
    return replace(program, inputs=tuple(read.values()))


def map_values(program: Program, fn: Callable[[Value], Value]) -> Program:
    """The program with ``fn`` applied to every value."""
    steps = tuple(
        replace(
            step,
            nodes=tuple(
                replace(
                    node,
                    args=tuple(map_arg(a, fn) for a in node.args),
                    outs=tuple(fn(o) for o in node.outs),
                )
                for node in step.nodes
            ),
        )
        for step in program.steps
    )
    return replace(
        program,
        inputs=tuple(fn(v) for v in program.inputs),
        steps=steps,
        outputs=tuple(fn(v) for v in program.outputs),
    )
