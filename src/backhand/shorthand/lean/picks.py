"""Elements picked before functions are applied to them: ``x[i, Y].exp()``, not ``x.exp()[i, Y]``.

The other elements are never made, and what is picked has the same bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from ...program.build import Var, op
from ...program.ir import Node, Value
from ...program.ops import get_op
from ...program.sizes import Dim
from .rewriting import Rewriting, Stays

# Picking pays where at most one element in so many is wanted.
FEW = 8
# Elementwise by their cost, but where an element stands counts: it is not the same after a pick.
PLACED = frozenset({"tril", "triu", "glu", "prelu", "stored", "copy", "fill"})


class Picks(Rewriting):
    """Picks moved in front of the elementwise operators whose results they pick from."""

    def instead(self, node: Node) -> Var:
        if node.op not in ("index", "gather"):
            raise Stays
        x = node.args[0]
        assert isinstance(x, Value)
        few = self.extent.elements(node.outs[0]) * FEW <= self.extent.elements(x)
        if not few or not self._elementwise(x):
            raise Stays
        pick = _Gather(self, node) if node.op == "gather" else _Index(self, node)
        return self._picked(x, pick, {})

    def _elementwise(self, value: Value) -> Node | None:
        node = self.producers.get(value.name)
        if node is None or len(node.outs) != 1 or get_op(node.op).random:
            return None
        return node if get_op(node.op).kind == "elementwise" and node.op not in PLACED else None

    def _picked(self, value: Value, pick: _Pick, known: dict[str, Var]) -> Var:
        """The picked elements of a value that has the shape that is picked from."""
        if value.name in known:
            return known[value.name]
        node = self._elementwise(value)
        mark = len(self.builder.nodes)

        def operand(v: Value) -> Var:
            if v.shape == value.shape:
                return self._picked(v, pick, known)
            if any(d not in (1, e) for d, e in zip(v.shape[::-1], pick.shape[::-1], strict=False)):
                raise Stays
            return pick.broadcast(v)

        try:
            if node is None:
                raise Stays
            made = self.again(node, operand)
        except Stays:
            del self.builder.nodes[mark:]
            for name in [n for n, v in known.items() if not self._recorded(v)]:
                del known[name]
            made = pick.of(value)
        known[value.name] = made
        return made

    def _recorded(self, var: Var) -> bool:
        return any(o.name == var.value.name for n in self.builder.nodes for o in n.outs)


class _Pick(ABC):
    """Which elements a node picks: of values of the picked shape, and of those that broadcast."""

    def __init__(self, rewriting: Picks, node: Node) -> None:
        self.rewriting = rewriting
        self.node = node
        assert isinstance(node.args[0], Value)
        self.shape = node.args[0].shape

    def of(self, value: Value) -> Var:
        """The pick itself."""
        x = self.node.args[0]
        assert isinstance(x, Value)
        swapped = {x.name: value}
        return self.rewriting.again(self.node, lambda v: self.rewriting.var(swapped.get(v.name, v)))

    @abstractmethod
    def broadcast(self, value: Value) -> Var:
        """The elements of a value that broadcasts to the shape that is picked from."""


class _Gather(_Pick):
    """``x.gather(1, Y)`` with one place for every row: what has one column serves as it is."""

    def broadcast(self, value: Value) -> Var:
        _, dim, index = self.node.args
        assert isinstance(dim, int) and isinstance(index, Value)
        rank = len(self.shape)
        dim %= rank
        shape = (1,) * (rank - len(value.shape)) + value.shape
        if any(index.shape[k] != d for k, d in enumerate(self.shape) if k != dim):
            raise Stays
        if shape[dim] != 1:
            raise Stays
        return self.rewriting.var(value)


class _Index(_Pick):
    """``x[i, Y]`` with an index of one shape for every axis."""

    def broadcast(self, value: Value) -> Var:
        indices = self.node.args[1]
        assert isinstance(indices, tuple)
        if any(not isinstance(i, Value) or i.dtype == "bool" for i in indices):
            raise Stays
        if len(indices) != len(self.shape) or len({i.shape for i in indices}) != 1:
            raise Stays
        r = self.rewriting
        offset = len(self.shape) - len(value.shape)
        open_axes = [k for k, d in enumerate(value.shape) if d != 1]
        if not open_axes and offset:
            if value.shape:
                raise Stays
            return r.var(value)
        var = r.var(value)
        for k in reversed([k for k, d in enumerate(value.shape) if d == 1]):
            var = op.squeeze(var, k)
        wanted = [indices[k + offset] for k in open_axes]
        if len(wanted) == 1 and self._all_of_them(wanted[0], var.shape[0]):
            return var
        return op.index(var, tuple(map(r.var, wanted))) if wanted else var

    def _all_of_them(self, index: Value, size: Dim) -> bool:
        """Whether the index is ``arange(size)``, which picks everything in order."""
        node = self.rewriting.producers.get(index.name)
        return node is not None and node.op == "arange" and node.args[:3] == (0, size, 1)


__all__ = ["Picks"]
