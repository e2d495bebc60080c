"""An attempt and the gradient itself in index notation, so that one can be taken from the other.

Both are functions of the same values: forward values, and the true gradients that the attempt
reads. There are two readings: in one the forward values stand for themselves, in the other for what
they are made of, so that what the forward pass guarantees (``bnraw.sum(0) == 0``) cancels.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sympy
import torch

from ..algebra.expr import Expr
from ..algebra.normal import ONE, add, neg
from ..algebra.read import Reader, Unreadable, axis, leaf
from ..algebra.simplify import rebased
from ..capture import capture
from ..emit.listing import compile_function, print_backward, printed_name, size_names
from ..errors import BackhandError
from ..program.ir import Node, Program, Step, Value, cone, map_arg
from ..program.sizes import Scalar, Size, number_text, symbol
from ..shorthand.contract import contraction
from ..shorthand.numbers import NotWorthwhile, as_number
from ..shorthand.solve import Solver
from ..shorthand.spell import spellings
from .evidence import Evidence
from .handwritten import Statement

LONGEST = 100  # characters of a term that people still read; a whole line may have twice as many
# What an attempt that cannot be compared this way is refused with.
REFUSALS = (BackhandError, Unreadable)


class Incomparable(BackhandError):
    """The attempt reads or makes something that the forward pass's algebra does not know."""


@dataclass(frozen=True)
class Both:
    """What the attempt computes, what it should, and the value that both stand for.

    ``own`` are the temporaries of the attempt, as it has them when it ends; ``deep``: forward
    values are read as what they are made of.
    """

    evidence: Evidence
    solver: Solver
    mine: Expr
    right: Expr
    value: Value
    own: Sequence[tuple[Value, Expr]]
    deep: bool

    @cached_property
    def difference(self) -> Expr:
        """What has to be added to the attempt, simplified."""
        return self.solver.simplified(add(self.right, neg(self.mine)), {})

    def size(self, expr: Expr) -> float | None:
        """How large a number is at the given sizes; ``None`` for what is no number."""
        c = expr.constant
        if c is None:
            return None
        hints = {symbol(s.name): s.hint for s in self.evidence.reference.symbols}
        return abs(float(c.subs(hints)))

    def text(self, expr: Expr, whole: bool = False) -> str:
        """The expression as the person could write it; empty where it is too long to be read.

        It broadcasts to the gradient's shape, and has it if it is the ``whole`` gradient.
        """
        c = expr.constant
        if c is not None and not whole:
            try:
                symbols = self.evidence.reference.symbols
                return number_text(as_number(c), size_names(symbols))[0]
            except NotWorthwhile:
                return ""
        shape = tuple(
            d if whole or axis(k) in expr.free else 1 for k, d in enumerate(self.value.shape)
        )
        value = replace(self.value, name="found", var="found", shape=shape)
        most = 2 * LONGEST if whole else LONGEST
        tiers = (self._saved_names, self._names, self._more_names)
        for names in (t for i, t in enumerate(tiers) if t not in tiers[:i]):
            made = spellings(self.solver, expr, value, names, self.own, self.deep)
            texts = [(len(nodes), self._printed(nodes, value, names)) for nodes in made]
            found = min((t for t in texts if 0 < len(t[1]) <= most), default=None)
            if found is not None:
                return found[1]
        return ""

    @cached_property
    def _saved_names(self) -> dict[str, str]:
        """The values that the person's lines read: of a ``ctx``, what was saved and no more."""
        e = self.evidence
        if not e.handwritten.setup:
            return self._names
        read = {name for s in e.handwritten.statements for name in (*s.reads, *s.writes)}
        return {k: v for k, v in self._names.items() if v in read}

    @cached_property
    def _names(self) -> dict[str, str]:
        """The values that stand in the person's code, and what they are called there."""
        e = self.evidence
        written = " ".join(s.source for s in e.reference.program.steps)
        known = {*re.findall(r"[^\W\d]\w*", written), *(leaf.name for leaf in e.reference.leaves)}
        known |= {value for value in e.handwritten.names.values()}
        gradients = set(self.solver.derived.gradients.values())
        kept = self._more_names.items()
        own = {value.name: printed_name(value) for value, _ in self.own}
        return {k: v for k, v in kept if k in known or k in gradients} | own

    @cached_property
    def _more_names(self) -> dict[str, str]:
        """The named values of the forward pass and the gradients that the line may read."""
        e = self.evidence
        aliases = {value: alias for alias, value in e.handwritten.names.items()}
        out = {
            v.name: aliases.get(printed_name(v), printed_name(v))
            for v in self.solver.forward.values()
            if v.var is not None
        }
        for of, gradient in self.solver.derived.gradients.items():
            if of in e.reference.labels and of not in e.reference.following(e.candidate.of):
                out[gradient] = e.names.label(of)
        return out | {value.name: printed_name(value) for value, _ in self.own}

    def _printed(self, nodes: tuple[Node, ...], value: Value, names: Mapping[str, str]) -> str:
        """The nodes as one expression; empty where they take more than a line."""

        def called(v: Value) -> Value:
            return replace(v, var=names[v.name]) if v.name in names else v

        step = Step(
            value.name,
            tuple(replace(n, args=tuple(map_arg(a, called) for a in n.args)) for n in nodes),
        )
        made = {out.name for n in nodes for out in n.outs}
        read = {v.name: v for n in step.nodes for v in n.operands() if v.name not in made}
        symbols = self.evidence.reference.symbols
        program = Program("found", tuple(read.values()), (step,), (value,), symbols)
        forward = self.evidence.reference.program
        lines = print_backward(program, symbols, shapes=False, forward=forward).lines
        return lines[0].text.removeprefix("found = ") if len(lines) == 1 else ""


def readings(e: Evidence) -> Iterator[Both]:
    """An attempt and its truth in index notation, read in both ways.

    Raises one of ``REFUSALS`` where there is no such reading: loops over data, scatter, other
    operators that the algebra has no word for.
    """
    solver = e.reference.solver
    attempt = _captured(e, solver)
    for deep in (False, True):
        start = solver.reader if deep else e.reference.lines_read
        mine, own = attempt.read(start)
        right, value = _truth(e, solver, start)
        if solver.unit is not None and solver.unit.name not in attempt.reads:
            mine, right = (rebased(x, solver.unit, ONE) for x in (mine, right))
        yield Both(e, solver, mine, right, value, own, deep)


# the attempt


@dataclass(frozen=True)
class _Attempt:
    """An attempt as a program: its result, its temporaries, and the values behind its inputs."""

    program: Program
    result: Value
    temporaries: Sequence[Value]
    sources: Mapping[str, Value]
    gradients: frozenset[str]

    @cached_property
    def reads(self) -> set[str]:
        """The gradients that it reads, by the names that the longhand has for them."""
        return {self.sources[name].name for name in self.gradients}

    def read(self, start: Reader) -> tuple[Expr, list[tuple[Value, Expr]]]:
        """The result and the temporaries in index notation."""
        reader = _reader(start)
        for name, source in self.sources.items():
            linear = name in self.gradients
            reader.known[_own(name)] = leaf(source, True) if linear else reader.of(source)
        for node in self.program.nodes():
            _read(reader, node)
        return reader.of(self.result), [(v, reader.of(v)) for v in self.temporaries]


def _captured(e: Evidence, solver: Solver) -> _Attempt:
    order = sorted({*e.candidate.needed, *e.candidate.own})
    given = _Given(e, solver)
    statements = [
        s for s in map(e.handwritten.statements.__getitem__, order) if not given.unpacks(s)
    ]
    for statement in statements:
        given.take(statement.reads, statement.node)
    body = [x for s in statements for x in textwrap.dedent(s.text).splitlines()]
    returned = f"return {e.candidate.name}"
    function = compile_function("attempt", list(given.tensors), [*given.head, *body, returned])
    function.__globals__.update(given.scope)
    program = capture(function, tuple(given.tensors.values())).program
    sizes = {}
    for s in program.symbols:
        held = given.sources.get(s.input)
        if held is None or s.axis is None:
            raise Incomparable(f"the size {s.accessor} is none of the forward pass")
        dim = held.shape[s.axis]
        sizes[symbol(s.name)] = sympy.Integer(dim) if isinstance(dim, int) else dim.expr
    moved = _moved(program, sizes)
    truth = e.given.truth
    if truth is None or len(moved.outputs[0].shape) != truth.dim():
        raise Incomparable("another shape")
    written = {w for s in statements for w in s.writes} - {e.candidate.name}
    temporary = {v.var: v for v in moved.values() if v.var in written}
    return _Attempt(
        moved,
        moved.outputs[0],
        tuple(temporary.values()),
        given.sources,
        frozenset(given.gradients),
    )


class _Given:
    """What the attempt's statements find: ``sources`` are the values behind its parameters."""

    def __init__(self, e: Evidence, solver: Solver) -> None:
        self.e, self.solver = e, solver
        self.tensors: dict[str, torch.Tensor] = {}
        self.sources: dict[str, Value] = {}
        self.gradients: set[str] = set()
        self.scope: dict[str, Any] = {"torch": torch}
        self.head: list[str] = []
        self.written: set[str] = set()
        self.values = {printed_name(v): v for v in solver.forward.values() if v.var is not None}
        backward = {v.name: v for v in solver.derived.program.values()}
        backward.update((v.name, v) for v in solver.derived.upstream)
        self.backward = backward

    def unpacks(self, statement: Statement) -> bool:
        """Whether it only takes forward values out of what was saved: ``x, w = ctx.saved_tensors``.

        They are known by name already.
        """
        names = self.e.handwritten.names
        saved = set(statement.reads) <= self.e.handwritten.setup.keys()
        return saved and all(names.get(w, w) in self.values for w in statement.writes)

    def take(self, names: tuple[str, ...], node: ast.stmt) -> None:
        e = self.e
        for name in names:
            if name in e.names.held:
                raise Incomparable(f"{name} holds several gradients in turn")
            of = e.names.of(name)
            if name in self.written or name in self.tensors or name in self.scope:
                continue
            if of is not None and of != e.candidate.of:
                gradient = self.solver.derived.gradients.get(of)
                gradients = e.given.setting.gradients
                if gradient not in self.backward or gradients.get(of) is None:
                    raise Incomparable(f"{name} is no gradient that the longhand has")
                self._tensor(name, gradients[of], self.backward[gradient])
                self.gradients.add(name)
            else:
                self._value(name)
        stores = (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _stores(n))
        self.written.update(stores)

    def _value(self, name: str) -> None:
        values = self.e.given.setting.values
        held = values.get(self.e.handwritten.names.get(name, name), values.get(name))
        source = self.values.get(self.e.handwritten.names.get(name, name))
        if isinstance(held, torch.Tensor) and source is not None:
            self._tensor(name, held, source)
        elif isinstance(held, torch.Tensor):
            raise Incomparable(f"{name} is no value of the captured forward pass")
        elif name in self.e.given.base:
            found = self.e.given.base[name]
            size = self._size(name, found)
            if size:
                self.head.append(f"{name} = {size}")
                self.written.add(name)
            else:
                self.scope[name] = found

    def _tensor(self, name: str, held: Any, source: Value) -> None:
        self.tensors[name] = held
        self.sources[name] = source

    def _size(self, name: str, held: Any) -> str:
        """How an integer is read off an input, if it is a size: so it stays one in the algebra."""
        if type(held) is not int or held < 2:
            return ""
        fits = [s for s in self.e.reference.symbols if s.hint == held and s.axis is not None]
        named = [s for s in fits if s.name == name]
        if len(named or fits) != 1:
            return ""
        (found,) = named or fits
        if found.input not in self.tensors:
            self._value(found.input)
        return found.accessor if found.input in self.tensors else ""


def _stores(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _own(name: str) -> str:
    """The name of an attempt's value beside those of the forward pass and the longhand."""
    return f"own.{name}"


def _moved(program: Program, sizes: Mapping[Any, Any]) -> Program:
    """An attempt's program in the forward pass's sizes, its values under names of their own."""

    def moved(arg: Any) -> Any:
        if isinstance(arg, Value):
            return replace(arg, name=_own(arg.name), shape=moved(arg.shape))
        if isinstance(arg, Size):
            return Size.of(arg.expr.xreplace(sizes))
        if isinstance(arg, Scalar):
            return Scalar(arg.op, moved(arg.args))
        return tuple(map(moved, arg)) if isinstance(arg, tuple) else arg

    steps = tuple(
        replace(s, nodes=tuple(replace(n, args=moved(n.args), outs=moved(n.outs)) for n in s.nodes))
        for s in program.steps
    )
    return replace(
        program, inputs=moved(program.inputs), steps=steps, outputs=moved(program.outputs)
    )


# the truth


def _truth(e: Evidence, solver: Solver, start: Reader) -> tuple[Expr, Value]:
    """The gradient in terms of those that the attempt reads, or of those right before it.

    The longhand is followed back only through gradients that depend on one that the attempt reads.
    """
    derived = solver.derived
    nodes = list(derived.program.nodes())
    values = {v.name: v for v in (*derived.program.values(), *derived.upstream)}
    goal = derived.gradients.get(e.candidate.of)
    if goal not in values:
        raise Incomparable("a gradient that the longhand does not have")
    read = {derived.gradients[of] for of in e.read if of in derived.gradients}
    after = set(read)
    for node in nodes:
        if any(v.name in after for v in node.operands()):
            after.update(v.name for v in node.outs)
    named = {g for of, g in derived.gradients.items() if of in e.reference.labels}
    stops = (read | (named - after) | {v.name for v in derived.upstream}) - {goal}
    reader = _reader(start)
    for name in stops & values.keys():
        reader.known[name] = leaf(values[name], True)
    for node in cone(nodes, [values[goal]], stops):
        _read(reader, node)
    return reader.of(values[goal]), values[goal]


def _reader(start: Reader) -> Reader:
    """A reader that knows what another one has read, and goes on by itself."""
    reader = Reader(start.known)
    reader.counters, reader.bottoms = dict(start.counters), set(start.bottoms)
    return reader


def _read(reader: Reader, node: Node) -> None:
    try:
        found = reader.node(node)
    except Unreadable:
        product = contraction(reader, node)
        if product is None:
            raise
        found = (product,)
    for value, expr in zip(node.outs, found, strict=False):
        reader.known[value.name] = expr


__all__ = ["LONGEST", "REFUSALS", "Both", "Incomparable", "readings"]
