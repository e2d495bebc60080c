"""A number that scales a whole tensor goes past the sums and products of matrices that read it.

``d = (dloss / n * 2) * diff`` with ``d.sum(0)``, ``d @ W.T`` and ``x.T @ d`` is a pass over a large
tensor that is not needed: each of the three may read ``diff`` and be scaled where it is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ...program.build import SizeContext, Var
from ...program.ir import Node, Program, Value
from ...program.loops import role
from .rewriting import Rewriting, Stays

SUMS = frozenset({"sum", "mean"})
PRODUCTS = frozenset({"matmul", "mm", "bmm", "mv"})
TURNED = frozenset({"transpose", "t", "permute", "identity"})


@dataclass(frozen=True)
class _Scaled:
    """A value that is ``scale`` times another; ``views`` lead from that to the value."""

    base: Value
    scale: Value
    views: tuple[Node, ...] = ()


class Linear(Rewriting):
    """Scaled tensors whose readers are all linear, read without their scale."""

    def __init__(self, program: Program, context: SizeContext) -> None:
        super().__init__(program, context)
        self.results = {v.name for v in program.outputs}
        self.scaled: dict[str, _Scaled] = {}
        for node in program.nodes():
            found = self._found(node)
            if found is not None and self._linear(node.outs[0]):
                self._note(node.outs[0], found)

    def _found(self, node: Node) -> _Scaled | None:
        out = node.outs[0]
        if node.op != "mul" or not out.floating:
            return None
        a, b = node.args
        if not isinstance(a, Value) or not isinstance(b, Value):
            return None
        for scale, base in ((a, b), (b, a)):
            alone = not scale.shape and base.shape == out.shape and len(out.shape) > 0
            if alone and scale.dtype == base.dtype == out.dtype and self._stored(base):
                return _Scaled(base, scale)
        return None

    def _stored(self, value: Value) -> bool:
        """Whether a value lies in memory however it is read."""
        node = self.producers.get(value.name)
        return node is None or role(node.op) == "kernel"

    def _linear(self, value: Value) -> bool:
        """Whether all that reads a value, through views, would rather read it unscaled."""
        if value.name in self.results:
            return False
        for reader in self.readers.get(value.name, []):
            operands = [v.name for v in reader.operands()]
            if operands.count(value.name) != 1:
                return False
            if reader.op in TURNED:
                if not self._linear(reader.outs[0]):
                    return False
            elif not self._gains(reader, value):
                return False
        return bool(self.readers.get(value.name))

    def _note(self, value: Value, found: _Scaled) -> None:
        self.scaled[value.name] = found
        for reader in self.readers[value.name]:
            if reader.op in TURNED:
                views = found.views if reader.op == "identity" else (*found.views, reader)
                self._note(reader.outs[0], _Scaled(found.base, found.scale, views))

    def _gains(self, node: Node, value: Value) -> bool:
        """Whether an operator is linear in a value, and its result or the other operand small."""
        if node.op not in PRODUCTS and node.op not in SUMS:
            return False
        others = [v for v in node.operands() if v.name != value.name]
        least = min(self.extent.elements(v) for v in (*others, node.outs[0]))
        return node.outs[0].dtype == value.dtype and least * 2 <= self.extent.elements(value)

    def instead(self, node: Node) -> Var:
        operands = [v for v in node.operands() if v.name in self.scaled]
        if node.op in TURNED or len(operands) != 1:
            raise Stays
        (value,) = operands
        found = self.scaled[value.name]
        scale = self.var(found.scale)
        other = next((v for v in node.operands() if v.name != value.name), None)
        result = self.extent.elements(node.outs[0])
        outside = other is None or result <= self.extent.elements(other)

        def operand(v: Value) -> Var:
            if v.name != value.name:
                return self.var(v) if outside else scale * self.var(v)
            base = self.var(found.base)
            for view in found.views:
                base = self.alike(view, partial(_instead, base))
            return base

        made = self.alike(node, operand)
        return scale * made if outside else made


def _instead(var: Var, _: Value) -> Var:
    return var


__all__ = ["Linear"]
