"""What a drop-in operator does otherwise than people write it, for the sake of time and memory.

Elements are picked before functions are applied, not after: ``x.exp()[range(n), Y]`` is
``x[range(n), Y].exp()``, and the other elements are never made. A one-hot row that is added to a
tensor is added where it is not zero: no matrix of zeros and ones is made, and no pass is made over
it. Both are what experienced authors of kernels write; neither makes a text clearer, so that the
forms for people keep their rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..longhand import Plan
from ..program.build import SizeContext, Var, op
from ..program.ir import Node, Program, Step, Value, map_arg, without_dead_nodes
from ..program.loops import Extent
from ..program.ops import get_op
from ..program.sizes import Dim
from .sketch import NO_FAKE, Sketch, Unsketched

# Picking pays where at most one element in so many is wanted.
FEW = 8
# Elementwise by their cost, but where an element stands counts: it is not the same after a pick.
PLACED = frozenset({"tril", "triu", "glu", "prelu", "stored", "copy", "fill"})


def lean(plan: Plan, context: SizeContext) -> Plan:
    """The plan with both passes rewritten; what is saved stays the same."""
    kept = {v.name for v in plan.saved}
    forward = _Picks(plan.forward, context).run(kept)
    program = _Rows(plan.backward.program, context).run()
    return replace(plan, forward=forward, backward=replace(plan.backward, program=program))


class _Stays(Exception):
    """Something that is left as it is."""


class _Rewriting(ABC):
    """A program gone through node by node, each of them replaced by others or left as it is."""

    def __init__(self, program: Program, context: SizeContext) -> None:
        self.program = program
        self.producers = program.producers()
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
            except (_Stays, Unsketched):
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
        """The node's operator applied to other operands."""
        made: Var = self.builder.emit(
            get_op(node.op), tuple(map_arg(a, operand) for a in node.args)
        )
        return made


# elements picked first


class _Picks(_Rewriting):
    """Picks moved in front of the elementwise operators whose results they pick from."""

    def instead(self, node: Node) -> Var:
        if node.op not in ("index", "gather"):
            raise _Stays
        x = node.args[0]
        assert isinstance(x, Value)
        few = self.extent.elements(node.outs[0]) * FEW <= self.extent.elements(x)
        if not few or not self._elementwise(x):
            raise _Stays
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
                raise _Stays
            return pick.broadcast(v)

        try:
            if node is None:
                raise _Stays
            made = self.again(node, operand)
        except _Stays:
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

    def __init__(self, rewriting: _Picks, node: Node) -> None:
        self.rewriting = rewriting
        self.node = node
        assert isinstance(node.args[0], Value)
        self.shape = node.args[0].shape

    def of(self, value: Value) -> Var:
        """The pick itself."""
        x = self.node.args[0]
        assert isinstance(x, Value)
        swapped = {x.name: value}
        return self.rewriting.again(
            self.node, lambda v: self.rewriting.var(swapped.get(v.name, v))
        )

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
            raise _Stays
        if shape[dim] != 1:
            raise _Stays
        return self.rewriting.var(value)


class _Index(_Pick):
    """``x[i, Y]`` with an index of one shape for every axis."""

    def broadcast(self, value: Value) -> Var:
        indices = self.node.args[1]
        assert isinstance(indices, tuple)
        if any(not isinstance(i, Value) or i.dtype == "bool" for i in indices):
            raise _Stays
        if len(indices) != len(self.shape) or len({i.shape for i in indices}) != 1:
            raise _Stays
        r = self.rewriting
        offset = len(self.shape) - len(value.shape)
        open_axes = [k for k, d in enumerate(value.shape) if d != 1]
        if not open_axes and offset:
            if value.shape:
                raise _Stays
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


# one-hot rows


@dataclass
class _Row:
    """``base·scale`` with ``src`` added at the hot places; factors are kept until the end.

    ``scale`` is applied to the base and to the row; ``own`` to the row alone.
    """

    base: Var | None = None
    own: list[tuple[str, Any]] = field(default_factory=list)
    scale: list[tuple[str, Any]] = field(default_factory=list)


class _Rows(_Rewriting):
    """One-hot rows added to tensors: added where they are not zero."""

    def __init__(self, program: Program, context: SizeContext) -> None:
        super().__init__(program, context)
        self.readers: dict[str, list[Node]] = {}
        for node in program.nodes():
            for v in node.operands():
                self.readers.setdefault(v.name, []).append(node)
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
        return not other.shape or (
            len(other.shape) <= len(out.shape) and other.shape[-1] == 1
        )

    def _whole(self, node: Node, current: Value) -> bool:
        """Whether the first thing that the row is added to is a tensor of its shape."""
        others = [a for a in node.args[:2] if isinstance(a, Value) and a.name != current.name]
        return bool(others) and (others[0].shape, others[0].dtype) == (
            node.outs[0].shape, node.outs[0].dtype
        )

    def instead(self, node: Node) -> Var:
        if node.outs[0].name not in self.ends:
            raise _Stays
        hot, way = self.ends[node.outs[0].name]
        row = _Row()
        current = hot.outs[0]
        for step in way:
            self._follow(row, step, current)
            current = step.outs[0]
        assert row.base is not None
        scale = self._product(row.scale)
        if isinstance(scale, Var) and any(scale.value in n.outs for n in self.builder.nodes):
            scale = self._named(scale, "scale")
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
            raise _Stays  # a row of plain numbers, or one that is cast on the way
        if dtype == "float16" and len(row.scale) > 1:
            raise _Stays  # a product of scales may leave its range where the gradient does not
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
            raise _Stays
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

    def _named(self, var: Var, stem: str) -> Var:
        """The variable with a name to print, since it is read more than once."""
        value = replace(var.value, var=self.builder.fresh(stem))
        self.builder.nodes = [
            replace(n, outs=(value,)) if n.outs == (var.value,) else n for n in self.builder.nodes
        ]
        return self.var(value)

    def _scaled(self, base: Var, scale: Any) -> Var:
        if isinstance(scale, Var):
            return scale * base
        return base if scale == 1 else -base


__all__ = ["lean"]
