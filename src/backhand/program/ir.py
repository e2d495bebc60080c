"""The program: a small immutable representation of a forward or a backward pass.

A program is a list of steps, a step a list of nodes, a node one operator applied to values. Values
are assigned once. A value with a ``var`` is printed under that name; one without is folded into the
expression that uses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from ..errors import Location
from .sizes import Dim, Number, Size, Symbol


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the program: unique name, shape (ints and ``Size``), dtype (``"float32"``)."""

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    var: str | None = None

    @property
    def floating(self) -> bool:
        return self.dtype.startswith(("float", "bfloat"))


Arg: TypeAlias = "Value | Number | bool | str | tuple[Any, ...] | None"


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: its name in the op table, its arguments in the table's order, its outputs."""

    op: str
    args: tuple[Arg, ...]
    outs: tuple[Value, ...]

    def operands(self) -> Iterator[Value]:
        """Every value read, in order, repeats included."""
        for arg in self.args:
            yield from values_in(arg)


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of the author's code: its name, its nodes, and where it stands."""

    name: str
    nodes: tuple[Node, ...]
    source: str = ""
    where: Location | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """Inputs, steps and outputs; ``symbols`` are the sizes that inputs bring along."""

    name: str
    inputs: tuple[Value, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Value, ...]
    symbols: tuple[Symbol, ...] = field(default=())

    def nodes(self) -> Iterator[Node]:
        for step in self.steps:
            yield from step.nodes

    def values(self) -> Iterator[Value]:
        yield from self.inputs
        for node in self.nodes():
            yield from node.outs

    def producers(self) -> dict[str, Node]:
        """The node that makes each value, by value name."""
        return {out.name: node for node in self.nodes() for out in node.outs}

    def hints(self) -> dict[str, int]:
        """The example's value of every symbolic size."""
        return {s.name: s.hint for s in self.symbols}

    def __str__(self) -> str:
        from .text import program_text

        return program_text(self)


def values_in(arg: Any) -> Iterator[Value]:
    """The values inside one argument, nested tuples included."""
    if isinstance(arg, Value):
        yield arg
    elif isinstance(arg, tuple):
        for item in arg:
            yield from values_in(item)


def map_arg(arg: Any, fn: Callable[[Value], Any]) -> Any:
    """The argument with ``fn`` applied to every value in it."""
    if isinstance(arg, Value):
        return fn(arg)
    if isinstance(arg, tuple):
        return tuple(map_arg(item, fn) for item in arg)
    return arg


def cone(
    nodes: Sequence[Node], targets: Iterable[Value], stops: Set[str] = frozenset()
) -> list[Node]:
    """The nodes that the targets are made by, back to the stops, in order."""
    needed = {v.name for v in targets}
    out: list[Node] = []
    for node in reversed(nodes):
        if any(v.name in needed for v in node.outs):
            out.append(node)
            needed.update(v.name for v in node.operands() if v.name not in stops)
    return out[::-1]


def without_dead_nodes(program: Program, keep: set[str] | None = None) -> Program:
    """The program without nodes whose outputs nobody reads (``keep``: names to keep as well).

    Random numbers that nobody reads are drawn all the same: those after them depend on it.
    """
    from .ops import get_op

    wanted = {v.name for v in program.outputs} | (keep or set())
    steps: list[Step] = []
    for step in reversed(program.steps):
        nodes: list[Node] = []
        for node in reversed(step.nodes):
            if any(out.name in wanted for out in node.outs) or get_op(node.op).random:
                nodes.append(node)
                wanted.update(v.name for v in node.operands())
        if nodes:
            steps.append(replace(step, nodes=tuple(reversed(nodes))))
    return replace(program, steps=tuple(reversed(steps)))


def folded_values(program: Program) -> frozenset[str]:
    """Anonymous values that are read once, in their own step: printed inside what reads them."""
    from .ops import get_op

    reads = Counter(v.name for node in program.nodes() for v in node.operands())
    outputs = {v.name for v in program.outputs}
    found: set[str] = set()
    for step in program.steps:
        inside = Counter(v.name for node in step.nodes for v in node.operands())
        for node in step.nodes:
            value = node.outs[0]
            named = value.var is not None or value.name in outputs or get_op(node.op).outs != 1
            once = reads[value.name] == 1 and inside[value.name] == 1
            if once and not named and not get_op(node.op).random:
                found.add(value.name)
    return frozenset(found)


def dims_in(arg: Any) -> Iterator[Size]:
    """The symbolic sizes inside one argument."""
    if isinstance(arg, Size):
        yield arg
    elif isinstance(arg, tuple):
        for item in arg:
            yield from dims_in(item)
