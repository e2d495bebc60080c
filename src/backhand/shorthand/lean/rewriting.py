"""A program rewritten node by node, where that makes it leaner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

from ...program.build import SizeContext, Var
from ...program.ir import Node, Program, Step, Value, map_arg, without_dead_nodes
from ...program.loops import Extent
from ...program.ops import get_op
from ..sketch import NO_FAKE, Sketch, Unsketched


class Stays(Exception):
    """Something that is left as it is."""


class Rewriting(ABC):
    """A program gone through node by node, each of them replaced by others or left as it is."""

    def __init__(self, program: Program, context: SizeContext) -> None:
        self.program = program
        self.producers = program.producers()
        self.readers: dict[str, list[Node]] = {}  # each as often as it reads the value
        for node in program.nodes():
            for v in node.operands():
                self.readers.setdefault(v.name, []).append(node)
        taken = {v.name for v in program.values()} | {v.var for v in program.values() if v.var}
        self.builder = Sketch(context, taken | {s.name for s in program.symbols})
        self.extent = Extent(context.hints())

    def run(self, kept: set[str] | None = None) -> Program:
        steps = [replace(s, nodes=self._nodes(s)) for s in self.program.steps]
        return without_dead_nodes(replace(self.program, steps=tuple(steps)), kept)

    def _nodes(self, step: Step) -> tuple[Node, ...]:
        out: list[Node] = []
        for node in step.nodes:
            self.builder.nodes = []
            try:
                made = self.instead(node)
            except (Stays, Unsketched):
                out.append(node)
                continue
            last = replace(self.builder.nodes[-1], outs=node.outs)
            assert self.builder.nodes[-1].outs[0].name == made.value.name
            out += [*self.builder.nodes[:-1], last]
        return tuple(out)

    @abstractmethod
    def instead(self, node: Node) -> Var:
        """What takes the place of the node's result, as the last node that is recorded."""

    def var(self, value: Value) -> Var:
        return Var(self.builder, value, NO_FAKE)

    def again(self, node: Node, operand: Callable[[Value], Var]) -> Var:
        """The node's operator applied to other operands, of any shapes."""
        made: Var = self.builder.emit(
            get_op(node.op), tuple(map_arg(a, operand) for a in node.args)
        )
        return made

    def alike(self, node: Node, operand: Callable[[Value], Var]) -> Var:
        """The same for operands of the same shapes, so that nothing has to be known of it."""
        value = replace(node.outs[0], name=self.builder.fresh(), var=None)
        args = tuple(map_arg(a, lambda v: operand(v).value) for a in node.args)
        self.builder.nodes.append(Node(node.op, args, (value,)))
        return self.var(value)

    def named(self, var: Var, stem: str) -> Var:
        """A variable just made, with a name to print, since it is read more than once."""
        value = replace(var.value, var=self.builder.fresh(stem))
        self.builder.nodes = [
            replace(n, outs=(value,)) if n.outs == (var.value,) else n for n in self.builder.nodes
        ]
        return self.var(value)
