"""Regions that are the same up to names, such as those of a deep network's layers.

Two regions are compared operator by operator, with all that leads to them from values about which
nothing is known. What was found for one then holds for the other, with the names replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sympy

from ..program.ir import Node, Value, map_arg
from ..program.ops import get_op
from ..program.sizes import Scalar, Size
from .regions import Line, Region


class Difference(Exception):
    """The regions are not the same."""


class Twin:
    """The values and sizes of one region as those of another; raises ``Difference``.

    ``makers`` are the nodes that make values, forward and backward; ``leaf`` says whether nothing
    is known about a forward value; ``forward`` finds a node by its operator and arguments.
    """

    def __init__(
        self,
        one: Region,
        other: Region,
        makers: Mapping[str, Node],
        leaf: Callable[[Value], bool],
        forward: Mapping[tuple[Any, ...], Node],
    ) -> None:
        self.makers, self.leaf, self.forward = makers, leaf, forward
        self.values: dict[str, Value] = {}
        self.sizes: dict[sympy.Symbol, sympy.Expr] = {}
        self.stops = {v.name for v in one.given}
        if not len(one.nodes) == len(other.nodes):
            raise Difference
        self._all(one.given, other.given)
        for a, b in zip(one.nodes, other.nodes, strict=True):
            self._node(a, b)
        if [self.values[v.name].name for v in one.targets] != [v.name for v in other.targets]:
            raise Difference
        for a_given, b_given in zip(one.given, other.given, strict=True):
            self._beside(a_given, b_given)

    # comparing

    def _all(self, one: Sequence[Value], other: Sequence[Value]) -> None:
        if len(one) != len(other):
            raise Difference
        for a, b in zip(one, other, strict=True):
            self._value(a, b)

    def _value(self, a: Value, b: Value) -> None:
        known = self.values.get(a.name)
        if known is not None:
            if known.name != b.name:
                raise Difference
            return
        if a.dtype != b.dtype or (a.var is None) != (b.var is None) or len(a.shape) != len(b.shape):
            raise Difference
        for d, e in zip(a.shape, b.shape, strict=True):
            self._same(d, e)
        self.values[a.name] = b
        if a.name in self.stops:
            return
        if self.leaf(a) or self.leaf(b):
            if self.leaf(a) != self.leaf(b):
                raise Difference
            return
        one, other = self.makers.get(a.name), self.makers.get(b.name)
        if one is not None and other is not None:
            self._node(one, other)
        elif one is not other:
            raise Difference

    def _node(self, a: Node, b: Node) -> None:
        if a.op != b.op:
            raise Difference
        self._same(a.args, b.args)
        for x, y in zip(a.outs, b.outs, strict=True):
            self.stops.add(x.name)
            self._value(x, y)

    def _same(self, a: Any, b: Any) -> None:
        """Two arguments: values, sizes, numbers, and tuples of them."""
        if isinstance(a, Value) and isinstance(b, Value):
            self._value(a, b)
        elif isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
            for x, y in zip(a, b, strict=True):
                self._same(x, y)
        elif isinstance(a, Size) and isinstance(b, Size):
            one = sorted(a.expr.free_symbols - self.sizes.keys(), key=str)
            if len(one) == 1 and a.expr.is_Symbol:
                self.sizes[one[0]] = b.expr
            elif one:
                other = sorted(b.expr.free_symbols - set(self.sizes.values()), key=str)
                if len(one) != len(other):
                    raise Difference
                self.sizes.update(zip(one, other, strict=True))
            if a.expr.xreplace(self.sizes) != b.expr:
                raise Difference
        elif isinstance(a, Scalar) and isinstance(b, Scalar) and a.op == b.op:
            self._same(a.args, b.args)
        elif type(a) is not type(b) or a != b:
            raise Difference

    def _beside(self, a: Value, b: Value) -> None:
        """What a given gradient was contracted from, which a closed form may read."""
        one, other = self.makers.get(a.name), self.makers.get(b.name)
        if one is None or other is None or one.op != other.op:
            return
        if get_op(one.op).kind != "contraction":
            if one.op == "identity":
                self._beside(next(one.operands()), next(other.operands()))
            return
        for x, y in zip(one.operands(), other.operands(), strict=True):
            self.stops.add(x.name)
            before = dict(self.values), dict(self.sizes)
            try:
                self._value(x, y)
                self._views(x, y)
            except Difference:  # of a gradient it is enough to know which it is
                self.values, self.sizes = before

    def _views(self, a: Value, b: Value) -> None:
        """What two gradients are views of, as far as they are views in the same way."""
        one, other = self.makers.get(a.name), self.makers.get(b.name)
        while one is not None and other is not None and get_op(one.op).kind == "view":
            before = dict(self.values), dict(self.sizes)
            a, b = next(one.operands()), next(other.operands())
            self.stops.add(a.name)  # of a gradient it is enough to know which it is
            try:
                self._node(one, other)
            except Difference:
                self.values, self.sizes = before
                return
            one, other = self.makers.get(a.name), self.makers.get(b.name)

    # replacing

    def value(self, a: Value) -> Value:
        """The other region's value, found by how it is made if the regions do not read it."""
        known = self.values.get(a.name)
        if known is None:
            node = self.makers.get(a.name)
            if node is None:
                raise Difference
            args = tuple(self.argument(x) for x in node.args)
            found = self.forward.get((node.op, *map(key, args)))
            if found is None:
                raise Difference
            for x, y in zip(node.outs, found.outs, strict=True):
                self.values.setdefault(x.name, y)
            known = self.values[a.name]
        return known

    def argument(self, arg: Any) -> Any:
        if isinstance(arg, Value):
            return self.value(arg)
        if isinstance(arg, tuple):
            return tuple(self.argument(a) for a in arg)
        if isinstance(arg, Size):
            return Size.of(arg.expr.xreplace(self.sizes))
        if isinstance(arg, Scalar):
            return Scalar(arg.op, tuple(self.argument(a) for a in arg.args))
        return arg

    def lines(self, lines: Sequence[Line], fresh: Callable[[], str]) -> tuple[Line, ...]:
        """The lines in the other region's names; their expressions are still the first one's."""
        out = []
        for line in lines:
            nodes, unit = (self._renamed(n, fresh) for n in (line.nodes, line.unit))
            out.append(replace(line, value=self.value(line.value), nodes=nodes, unit=unit))
        return tuple(out)

    def _renamed(self, nodes: Sequence[Node], fresh: Callable[[], str]) -> tuple[Node, ...]:
        out = []
        for node in nodes:
            args = tuple(self.argument(a) for a in node.args)
            outs = []
            for v in node.outs:
                if v.name not in self.values:
                    shape = tuple(self.argument(d) for d in v.shape)
                    self.values[v.name] = replace(v, name=fresh(), shape=shape)
                outs.append(self.values[v.name])
            out.append(Node(node.op, args, tuple(outs)))
        return tuple(out)


def key(arg: Any) -> str:
    """An argument as a part of a dictionary's key."""
    named = map_arg(arg, lambda v: v.name)
    return f"{named!r}" if not isinstance(arg, (Size, Scalar)) else str(arg)


__all__ = ["Difference", "Twin", "key"]
