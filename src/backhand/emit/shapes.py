"""Sizes as people write them: by the tensor that has them.

``dx.reshape(n, images.shape[1], (images.shape[2] - 3)//2 + 1)`` is ``dx.reshape(pooled.shape)`` to
the reader. A size is spelled that way only if the tensor is at hand: an input, a value that is read
here or later anyway, or, in text for people, the value whose gradient the line computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..program.ir import Node, Program, Step, Value
from ..program.sizes import ATOM, PRODUCT, Scalar, Size, number_text, product, symbol

Piece = tuple[str, int]


class Shapes:
    """The spelling of sizes in one program, node by node.

    ``sizes`` gives the source of every symbolic size; ``forward`` the named forward values whose
    shapes may be read although nothing else of them is.
    """

    def __init__(
        self,
        program: Program,
        sizes: Mapping[str, str],
        forward: Iterable[Value] = (),
        numel: str = "numel()",
    ) -> None:
        self.numel = numel
        self.sizes = sizes
        self.forward = {v.var: v for v in forward if v.var is not None}
        self.last: dict[str, int] = {}
        for i, node in enumerate(program.nodes()):
            for v in node.operands():
                self.last[v.name] = i
        self.lasting = {s.input for s in program.symbols}
        self.made: dict[str, Value] = {
            v.name: v for v in program.inputs if v.name in self.last or v.name in self.lasting
        }
        self.making: dict[str, Value] = {}
        self.position = -1
        self.subjects: list[Value] = []
        self.near: list[Value] = []
        self.read: list[str] = []

    def enter_step(self, step: Step) -> None:
        """From now on, sizes belong to this step."""
        labels = [out.var[1:] for node in step.nodes for out in node.outs if out.var]
        self.subjects = [self.forward[name] for name in labels if name in self.forward]

    def enter(self, node: Node) -> None:
        """From now on, sizes are those of this node's arguments."""
        self.position += 1
        self.read = []
        self.made.update(self.making)
        self.making = {out.name: out for out in node.outs if out.var is not None}
        self.near = [*self.subjects, *(v for v in node.operands() if v.name in self.made)]

    def at_hand(self) -> Iterable[Value]:
        """Tensors whose sizes may be read, the ones that come to mind first in front."""
        yield from self.near
        for v in reversed(self.made.values()):
            if v.name in self.lasting or self.last.get(v.name, -1) > self.position:
                yield v

    def _noted(self, value: Value) -> str:
        name = value.var or value.name
        self.read.append(name)
        return name

    def whole(self, dims: tuple[Any, ...]) -> str | None:
        """``x.shape`` for a shape that would be hard to read size by size."""
        if not all(type(d) is int or isinstance(d, Size) for d in dims):
            return None
        if not any(isinstance(d, Size) and not self._plain(d) for d in dims):
            return None
        for v in self.at_hand():
            if v.shape == dims:
                return f"{self._noted(v)}.shape"
        return None

    def number(self, number: Any) -> Piece:
        """A size, a number made from sizes, or a plain number."""
        if isinstance(number, Size) and not number.expr.is_Symbol:
            found = self._composite(number)
            if found is not None:
                return found
        if isinstance(number, Scalar):
            return self._scalar(number)
        return number_text(number, self.sizes)

    def _plain(self, size: Size) -> bool:
        return size.expr.is_Symbol and "." not in self.sizes.get(size.expr.name, "")

    def _composite(self, size: Size) -> Piece | None:
        """A computed size as an axis of a tensor, or as its number of elements."""
        if all(self._plain(Size(s)) for s in size.expr.free_symbols):
            return None  # made from names that the author gave: 4*n
        for v in self.at_hand():
            axis = next((i for i, d in enumerate(v.shape) if d == size), None)
            if axis is not None:
                return f"{self._noted(v)}.shape[{axis}]", ATOM
            if len(v.shape) > 1 and product(v.shape) == size:
                return f"{self._noted(v)}.{self.numel}", ATOM
        for v in self.at_hand():
            for i in range(len(v.shape) - 1):
                if product(v.shape[i : i + 2]) == size and size.expr.is_Mul:
                    name = self._noted(v)
                    return f"{name}.shape[{i}]*{name}.shape[{i + 1}]", PRODUCT
        return None

    def _scalar(self, scalar: Scalar) -> Piece:
        named: dict[str, str] = {}

        def renamed(number: Any) -> Any:
            if isinstance(number, Scalar):
                return Scalar(number.op, tuple(renamed(a) for a in number.args))
            found = self._composite(number) if isinstance(number, Size) else None
            if found is None or found[1] != ATOM or number.expr.is_Symbol:
                return number
            stand_in = symbol(f"size {len(named)}")
            named[stand_in.name] = found[0]
            return Size(stand_in)

        changed = renamed(scalar)
        return number_text(changed, {**self.sizes, **named})
