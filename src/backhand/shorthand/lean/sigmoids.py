"""``1 + tanh(u)`` as ``2 * sigmoid(2 * u)``, and ``1 - tanh(u)**2`` as four times ``s * (1 - s)``.

An exponential takes less time than a hyperbolic tangent, and where ``tanh(u)`` is near -1 or 1
these keep the digits that the sum and the difference cancel. A tangent that is read in any other
way is left, since it would have to be computed all the same.
"""

from __future__ import annotations

from typing import Any

from ...program.build import SizeContext, Var, op
from ...program.ir import Node, Program, Value
from .rewriting import Rewriting, Stays


class Sigmoids(Rewriting):
    """Tangents replaced where all their readers gain."""

    def __init__(self, program: Program, context: SizeContext) -> None:
        super().__init__(program, context)
        self.tangent: dict[str, Node] = {}  # by the value that is replaced
        self.uses: dict[str, int] = {}  # of the logistic function, by what it is of
        self.made: dict[str, Var] = {}

    def run(self, kept: set[str] | None = None) -> Program:
        keep = {v.name for v in self.program.outputs} | (kept or set())
        for node in self.program.nodes():
            if node.op == "tanh" and node.outs[0].name not in keep:
                self._found(node, keep)
        return super().run(kept) if self.tangent else self.program

    def _found(self, tanh: Node, keep: set[str]) -> None:
        sums: list[Node] = []
        differences: list[Node] = []
        for node in self.readers.get(tanh.outs[0].name, []):
            if node.op == "add" and 1 in _numbers(node):
                sums.append(node)
                continue
            if not _square(node) or node.outs[0].name in keep:
                return
            for reader in self.readers.get(node.outs[0].name, []):
                if reader.op != "sub" or reader.args[0] != 1:
                    return
                differences.append(reader)
        found = {n.outs[0].name: tanh for n in (*sums, *differences)}
        self.tangent.update(found)
        u = tanh.args[0]
        assert isinstance(u, Value)
        ones = {n.outs[0].name for n in sums}
        self.uses[u.name] = self.uses.get(u.name, 0) + sum(1 if n in ones else 2 for n in found)

    def instead(self, node: Node) -> Var:
        tanh = self.tangent.get(node.outs[0].name)
        if tanh is None:
            raise Stays
        s = self._sigmoid(tanh.args[0])
        return 2 * s if node.op == "add" else 4 * s * (1 - s)

    def _sigmoid(self, u: Any) -> Var:
        if u.name not in self.made:
            made = op.sigmoid(2 * self.var(u))
            if self.uses[u.name] > 1:
                made = self.named(made, f"{u.var or 'part'}_sigmoid")
            self.made[u.name] = made
        return self.made[u.name]


def _numbers(node: Node) -> list[Any]:
    return [a for a in node.args if isinstance(a, (int, float)) and not isinstance(a, bool)]


def _square(node: Node) -> bool:
    if node.op == "square":
        return True
    if node.op == "pow":
        return bool(node.args[1] == 2)
    return node.op == "mul" and node.args[0] == node.args[1]


__all__ = ["Sigmoids"]
