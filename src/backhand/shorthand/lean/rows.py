"""One-hot rows added to tensors: added where they are not zero.

No matrix of zeros and ones is made, and no pass is made over it. The way from the row to the end of
the sum is followed as long as it is affine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...program.build import SizeContext, Var, op
from ...program.ir import Node, Program, Value
from ...program.ops import get_op
from .rewriting import Rewriting, Stays


@dataclass
class _Row:
    """``base·scale`` with ``src`` added at the hot places; factors are kept until the end.

    ``scale`` is applied to the base and to the row; ``own`` to the row alone.
    """

    base: Var | None = None
    own: list[tuple[str, Any]] = field(default_factory=list)
    scale: list[tuple[str, Any]] = field(default_factory=list)


class Rows(Rewriting):
    """One-hot rows added to tensors: added where they are not zero."""

    def __init__(self, program: Program, context: SizeContext) -> None:
        super().__init__(program, context)
        self.results = Counter(v.name for v in program.outputs)
        # by the result that a row ends in: the way from the row to it
        self.ends: dict[str, tuple[Node, list[Node]]] = {}
        for node in program.nodes():
            if node.op == "one_hot":
                way = self._way(node)
                if way:
                    self.ends.setdefault(way[-1].outs[0].name, (node, way))

    def _way(self, hot: Node) -> list[Node]:
        """The operators through which the row goes, one after the other, as far as they let it."""
        shape = hot.outs[0].shape
        way: list[Node] = []
        current, added = hot.outs[0], 0
        last = 0
        while len(self.readers.get(current.name, ())) == 1 and not self.results[current.name]:
            (node,) = self.readers[current.name]
            if len(node.outs) != 1 or node.outs[0].shape != shape:
                break
            kind = self._kind(node, current)
            if kind is None or (kind == "added" and not added and not self._whole(node, current)):
                break
            added += kind == "added"
            way.append(node)
            if added:
                last = len(way)
            current = node.outs[0]
        return way[:last]

    def _kind(self, node: Node, current: Value) -> str | None:
        """What the node does to the row: it scales it, or adds something to it."""
        if node.op in ("neg", "identity"):
            return "scaled"
        if node.op == "to":
            return "scaled" if node.outs[0].floating and not current.floating else None
        if node.op not in ("mul", "div", "add", "sub"):
            return None
        a, b = node.args[:2]
        other = b if isinstance(a, Value) and a.name == current.name else a
        if isinstance(other, Value) and other.name == current.name:
            return None
        if node.op in ("add", "sub"):
            return "added"
        if node.op == "div" and other is a:
            return None
        return "scaled" if self._one_a_row(other, node.outs[0]) else None

    def _one_a_row(self, other: Any, out: Value) -> bool:
        if not isinstance(other, Value):
            return True
        return not other.shape or (len(other.shape) <= len(out.shape) and other.shape[-1] == 1)

    def _whole(self, node: Node, current: Value) -> bool:
        """Whether the first thing that the row is added to is a tensor of its shape."""
        others = [a for a in node.args[:2] if isinstance(a, Value) and a.name != current.name]
        return bool(others) and (others[0].shape, others[0].dtype) == (
            node.outs[0].shape,
            node.outs[0].dtype,
        )

    def instead(self, node: Node) -> Var:
        if node.outs[0].name not in self.ends:
            raise Stays
        hot, way = self.ends[node.outs[0].name]
        row = _Row()
        current = hot.outs[0]
        for step in way:
            self._follow(row, step, current)
            current = step.outs[0]
        assert row.base is not None
        scale = self._product(row.scale)
        if isinstance(scale, Var) and any(scale.value in n.outs for n in self.builder.nodes):
            scale = self.named(scale, "scale")
        places, _ = hot.args
        assert isinstance(places, Value)
        src = (
            self._times(self._viewed(scale), row.own)
            if isinstance(scale, Var)
            else self._product([*row.own, *row.scale])
        )
        base = self._scaled(row.base, scale)
        dtype = node.outs[0].dtype
        if not isinstance(src, Var) or (src.value.dtype, base.value.dtype) != (dtype, dtype):
            raise Stays  # a row of plain numbers, or one that is cast on the way
        if dtype == "float16" and len(row.scale) > 1:
            raise Stays  # a product of scales may leave its range where the gradient does not
        index = op.unsqueeze(self.var(places), len(places.shape))
        if src.shape != index.shape:
            src = op.expand(src, tuple(index.shape))
        made: Var = op.scatter_add(base, len(places.shape), index, src)
        return made

    def _follow(self, row: _Row, node: Node, current: Value) -> None:
        factors = row.own if row.base is None else row.scale
        if node.op in ("identity", "to"):
            return
        if node.op == "neg":
            factors.append(("neg", None))
            return
        a, b = node.args[:2]
        first = isinstance(a, Value) and a.name == current.name
        other: Any = b if first else a
        if isinstance(other, Value):
            other = self.var(other)
        if node.op in ("mul", "div"):
            factors.append((node.op, other))
            return
        if row.base is None:
            if node.op == "sub":
                if first:  # row − base
                    row.base = -other
                    return
                row.own.append(("neg", None))
            row.base = other
            return
        # something is added to base·scale + row: what has been scaled so far is settled
        base = self._scaled(row.base, self._product(row.scale))
        row.own, row.scale = [*row.own, *row.scale], []
        if node.op == "add":
            row.base = base + other
        elif first:
            row.base = base - other
        else:
            row.own.append(("neg", None))
            row.base = other - base

    def _product(self, factors: Sequence[tuple[str, Any]]) -> Any:
        """The factors of every row by themselves, tensors first; a number if there are no others.

        So a large tensor is gone over once, and not once a factor.
        """
        first = next((f for f in factors if f[0] == "mul" and isinstance(f[1], Var)), None)
        if first is not None:
            rest = [f for f in factors if f is not first]
            return self._times(first[1], sorted(rest, key=lambda f: not isinstance(f[1], Var)))
        if any(name != "neg" for name, _ in factors):
            raise Stays
        return -1 if len(factors) % 2 else 1

    def _times(self, var: Var, factors: Sequence[tuple[str, Any]]) -> Var:
        for name, factor in factors:
            var = -var if name == "neg" else getattr(op, name)(var, factor)
        return var

    def _viewed(self, var: Var) -> Var:
        """The variable; a view without a name is made again, and needs none."""
        node = self.producers.get(var.value.name)
        if node is None or var.value.var is not None or get_op(node.op).kind != "view":
            return var
        return self.again(node, self.var)

    def _scaled(self, base: Var, scale: Any) -> Var:
        if isinstance(scale, Var):
            return scale * base
        return base if scale == 1 else -base


__all__ = ["Rows"]
