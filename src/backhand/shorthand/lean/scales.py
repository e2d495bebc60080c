"""Products in the order of their sizes: one number, then one a row, then the large tensors.

``dy[:, None] * e / total`` goes over a large tensor twice, ``(dy[:, None] / total) * e`` once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp
from typing import Any

from ...program.build import SizeContext, Var, op
from ...program.ir import Node, Program, Value
from .rewriting import Rewriting, Stays

LINKS = frozenset({"mul", "div", "neg"})
# Their range is small: a product of small factors may leave it where the whole product does not.
NARROW = frozenset({"float16"})


@dataclass
class _Product:
    """The factors of a product, in the order of the text, and what computing it so costs."""

    above: list[Any]
    below: list[Any]
    sign: int = 1
    elements: int = 0


class Scales(Rewriting):
    """Products regrouped where fewer elements are computed then."""

    def __init__(self, program: Program, context: SizeContext) -> None:
        super().__init__(program, context)
        self.results = {v.name for v in program.outputs}

    def instead(self, node: Node) -> Var:
        out = node.outs[0]
        if node.op not in LINKS or not out.floating or out.dtype in NARROW or self._inner(out):
            raise Stays
        found = _Product([], [])
        self._collect(node, found, out)
        return self._regrouped(found, self.extent.elements(out))

    def _inner(self, value: Value) -> bool:
        """Whether a value is only a factor of one other product."""
        readers = self.readers.get(value.name, [])
        if len(readers) != 1 or value.var is not None or value.name in self.results:
            return False
        (reader,) = readers
        first = reader.op != "div" or (
            isinstance(reader.args[0], Value) and reader.args[0].name == value.name
        )
        twice = sum(v.name == value.name for v in reader.operands()) > 1
        return reader.op in LINKS and first and not twice and value.dtype == reader.outs[0].dtype

    def _collect(self, node: Node, found: _Product, out: Value) -> None:
        found.elements += self.extent.elements(node.outs[0])
        self._factor(node.args[0], found, out)
        if node.op == "neg":
            found.sign = -found.sign
        elif node.op == "mul":
            self._factor(node.args[1], found, out)
        else:
            if isinstance(node.args[1], Value) and node.args[1].dtype != out.dtype:
                raise Stays
            found.below.append(node.args[1])

    def _factor(self, arg: Any, found: _Product, out: Value) -> None:
        if not isinstance(arg, Value):
            found.above.append(arg)
            return
        if arg.dtype != out.dtype:
            raise Stays
        node = self.producers.get(arg.name)
        if node is not None and node.op in LINKS and self._inner(arg):
            self._collect(node, found, out)
        else:
            found.above.append(arg)

    def _regrouped(self, found: _Product, total: int) -> Var:
        above = [v for v in found.above if isinstance(v, Value)]
        below = [v for v in found.below if isinstance(v, Value)]
        small = sorted((v for v in above if self._elements(v) < total), key=self._elements)
        large = [v for v in above if self._elements(v) >= total]
        if not large or any(self._elements(v) >= total for v in below):
            raise Stays
        numbers = _folded([n for n in found.above if not isinstance(n, Value)])
        parts = [n for n in found.below if not isinstance(n, Value)]
        first = self.var(large[0])
        if small:
            scale = self._scale(small, below, numbers, parts)
            first = (-scale if found.sign < 0 else scale) * first
        else:
            if below:
                first = first / self._divisor(below, parts)
            for n in numbers:
                first = op.mul(n, first)
            for n in () if below else parts:
                first = op.div(first, n)
            first = -first if found.sign < 0 else first
        for v in large[1:]:
            first = first * self.var(v)
        made = sum(self._elements(n.outs[0]) for n in self.builder.nodes)
        if not 0 < made < found.elements:
            raise Stays
        return first

    def _scale(
        self,
        small: Sequence[Value],
        below: Sequence[Value],
        numbers: Sequence[Any],
        parts: Sequence[Any],
    ) -> Var:
        """Everything but the large tensors, numbers first."""
        scale = self.var(small[0])
        for n in numbers:
            scale = op.mul(n, scale)
        for n in parts:
            scale = op.div(scale, n)
        rest = [(v, op.mul) for v in small[1:]] + [(v, op.div) for v in below]
        for v, apply in sorted(rest, key=lambda pair: self._elements(pair[0])):
            scale = apply(scale, self.var(v))
        return scale

    def _divisor(self, below: Sequence[Value], parts: Sequence[Any]) -> Var:
        first, *more = sorted(below, key=self._elements)
        divisor = self.var(first)
        for n in parts:
            divisor = op.mul(n, divisor)
        for v in more:
            divisor = divisor * self.var(v)
        return divisor

    def _elements(self, value: Value) -> int:
        return self.extent.elements(value)


def _folded(numbers: Sequence[Any]) -> list[Any]:
    """The numbers with powers of two multiplied into one, which changes no bit."""
    factor: Any = 1
    rest: list[Any] = []
    for n in numbers:
        if isinstance(n, (int, float)) and abs(frexp(n)[0]) == 0.5:
            factor = factor * n
        else:
            rest.append(n)
    return rest if factor == 1 else [factor, *rest]


__all__ = ["Scales"]
