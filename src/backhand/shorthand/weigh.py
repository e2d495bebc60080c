"""What a few lines of a backward pass cost, to choose between two spellings of the same region.

Memory is counted as everywhere else (``program/loops.py``): how often a large tensor is read or
written comes first, then what has to be saved, then how many operators there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import total_ordering

from ..longhand.passes import again
from ..program.cost import LARGE, saved_names, weight
from ..program.ir import Node, Program, Step, Value
from ..program.loops import Extent, loops
from ..program.ops import get_op

# Functions that take several times as long as a product; the same one of the same values is
# counted once, since compilers, and people, compute it once.
FUNCTIONS = frozenset(
    {"exp", "expm1", "log", "log1p", "sigmoid", "tanh", "erf", "softplus", "sin", "cos"}
)
FUNCTION = 3.0


@total_ordering
@dataclass(frozen=True)
class Weight:
    """Passes over large tensors, bytes saved, operators (small ones count a tenth)."""

    passes: int
    saved: int
    operators: float

    def __lt__(self, other: Weight) -> bool:
        return (self.passes, self.saved, self.operators) < (
            other.passes,
            other.saved,
            other.operators,
        )


class Scales:
    """Weighs lines of one backward pass. ``shared``: its nodes that carry no gradient."""

    def __init__(self, forward: Program, shared: Sequence[Node], hints: Mapping[str, int]) -> None:
        self.extent = Extent(hints)
        self.shared = {v.name: n for n in shared for v in n.outs}
        self.producers = forward.producers()
        self.known = {v.name: v for v in forward.values()}
        self.named = {v.name for v in forward.values() if v.var is not None}

    def weigh(self, nodes: Sequence[Node], targets: Sequence[Value]) -> Weight:
        """The cost of a region's nodes; what is large is so beside the region's largest tensor."""
        program = self._program(nodes, targets)
        sizes = [self.extent.elements(v) for v in program.values()]
        threshold = int(LARGE * max(sizes, default=1))
        found = loops(program, self.extent.sizes, threshold)
        parts = [n for loop in found for n in (*loop.reads.values(), *loop.writes.values())]
        made = {v.name for n in program.nodes() for v in n.outs}
        # the network is not gone through for every region of it
        kept = saved_names(self.known, self.producers, program) - made
        return Weight(
            sum(n >= threshold for n in parts),
            sum(weight(self.known[name], self.extent) for name in kept),
            round(self._operators(program.nodes(), threshold), 3),
        )

    def large(self, value: Value, beside: int) -> bool:
        return self.extent.elements(value) >= LARGE * beside

    def _operators(self, nodes: Iterable[Node], threshold: int) -> float:
        total, made = 0.0, set()
        for node in nodes:
            factor = 1.0
            if node.op in FUNCTIONS:
                call = (node.op, *(v.name for v in node.operands()))
                factor = 0.0 if call in made else FUNCTION
                made.add(call)
            total += factor * self._operator(node, threshold)
        return total

    def _operator(self, node: Node, threshold: int) -> float:
        if get_op(node.op).kind == "view" or node.op == "identity":
            return 0.0
        values = (*node.operands(), *node.outs)
        return 1.0 if any(self.extent.elements(v) >= threshold for v in values) else 0.1

    def _program(self, nodes: Sequence[Node], targets: Sequence[Value]) -> Program:
        """The nodes with those before them that they need and that are run again anyway."""
        made = {v.name for n in nodes for v in n.outs}
        before: list[Node] = []
        inputs: dict[str, Value] = {}

        def need(value: Value) -> None:
            if value.name in made:
                return
            made.add(value.name)
            node = self.shared.get(value.name) or again(value, self.producers, self.named)
            if node is None:
                inputs[value.name] = value
                return
            made.update(out.name for out in node.outs)
            for operand in node.operands():
                need(operand)
            before.append(node)

        for node in nodes:
            for value in node.operands():
                need(value)
        step = Step("", (*before, *nodes))
        return Program("", tuple(inputs.values()), (step,), tuple(targets))


__all__ = ["Scales", "Weight"]
