"""What an explanation is made from: the executed programs, and what the layers around know of them.

Nothing here is about any network. A ``Reading`` is one statement of the forward pass that reads a
value; the gradient of the value is the sum of what its readings give it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..longhand import Backward, Use
from ..program.ir import Node, Program, Step, Value, cone
from ..program.loops import Extent
from ..program.sizes import Dim, size_text
from ..shorthand import Notation, Proof


@dataclass(frozen=True)
class Closed:
    """A closed form of a gradient: its source, and why it holds."""

    source: str
    given: str
    statement: str
    proof: Proof


@dataclass(frozen=True)
class Source:
    """A forward program and its plain backward program, as they are executed.

    ``names`` says what is printed for values without a name of the author's, ``code`` the lines of
    longhand that make each gradient (by the forward value's name), ``holds`` whether the programs
    are right at other sizes, ``closed`` gives closed forms by the forward value's name.
    """

    forward: Program
    backward: Backward
    names: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    holds: Callable[[Mapping[str, int]], bool] = lambda sizes: True
    closed: Callable[[str], Closed | None] = lambda name: None
    # what was found for a value and a step, so that it is looked for once
    found: dict[tuple[str, int], Any] = field(default_factory=dict, compare=False)
    _held: dict[frozenset[tuple[str, int]], bool] = field(default_factory=dict, compare=False)

    @cached_property
    def values(self) -> dict[str, Value]:
        return {v.name: v for v in self.forward.values()}

    @cached_property
    def makers(self) -> dict[str, Step]:
        """The step that makes each value."""
        return {o.name: s for s in self.forward.steps for n in s.nodes for o in n.outs}

    @cached_property
    def gradients(self) -> dict[str, Value]:
        """The finished gradient of each forward value."""
        known = {v.name: v for v in (*self.backward.upstream, *self.backward.program.values())}
        return {of: known[g] for of, g in self.backward.gradients.items() if g in known}

    @cached_property
    def of_gradient(self) -> dict[str, str]:
        """Whose gradient a backward value is, unfinished ones included."""
        # several values may have one gradient between them: the author's name goes first
        ranked = sorted(self.gradients.items(), key=lambda i: self.values[i[0]].var is None)
        found: dict[str, str] = {}
        labels: dict[str | None, str] = {}
        for of, g in ranked:
            found.setdefault(g.name, of)
            labels.setdefault(g.var, of)
        for value in self.backward.program.values():
            if value.name not in self.values and value.var and value.var in labels:
                found.setdefault(value.name, labels[value.var])
        return found

    @cached_property
    def notation(self) -> Notation:
        """How expressions over the values of both programs are written."""
        names = {v.name: self.name(v) for v in self.values.values()}
        every = dict(self.values)
        for value in (*self.backward.upstream, *self.backward.program.values()):
            if value.name not in every:
                every[value.name] = value
                of = self.of_gradient.get(value.name)
                name = value.var or value.name
                names[value.name] = name if of is None else self.gradient_name(self.values[of])
        return Notation(every, names, (), self.size_words, latex=True)

    @cached_property
    def counters(self) -> frozenset[str]:
        """Values that count 0, 1, 2, …"""
        nodes = (n for n in self.forward.nodes() if n.op == "arange")
        return frozenset(n.outs[0].name for n in nodes if n.args[0] == 0 and n.args[2] == 1)

    @cached_property
    def _steps(self) -> dict[tuple[str, str, str], Step]:
        return {_key(step): step for step in self.backward.program.steps}

    def name(self, value: Value) -> str:
        """What people call a forward value."""
        return value.var or self.names.get(value.name, value.name.lstrip("%"))

    def gradient_name(self, of: Value) -> str:
        found = self.gradients.get(of.name)
        return found.var if found is not None and found.var is not None else f"d{self.name(of)}"

    def shape(self, value: Value) -> str:
        """A shape in the author's sizes; a size without a name is the example's."""
        return f"[{', '.join(map(self.size, value.shape))}]" if value.shape else "a scalar"

    def example(self, value: Value) -> str:
        shape = ", ".join(str(self.hint(d)) for d in value.shape)
        return f"[{shape}]" if value.shape else "a scalar"

    def is_empty(self, value: Value) -> bool:
        """Whether it has no elements in the example."""
        return 0 in map(self.hint, value.shape)

    def hint(self, dim: Dim) -> int:
        return self._extent.dim(dim)

    @cached_property
    def _extent(self) -> Extent:
        return Extent(self.forward.hints())

    @cached_property
    def _named(self) -> frozenset[str]:
        return frozenset(s.name for s in self.forward.symbols if s.named)

    def size(self, dim: Dim) -> str:
        if isinstance(dim, int):
            return str(dim)
        if not dim.names() & self._named:
            return str(self.hint(dim))
        return size_text(dim.expr, self.size_words)[0]

    @cached_property
    def size_words(self) -> dict[str, str]:
        return {s.name: s.name if s.named else str(s.hint) for s in self.forward.symbols}

    def explained(self) -> list[Value]:
        """The named values that have a gradient, in the order in which gradients are made."""
        named = [v for v in self.values.values() if v.var is not None and v.name in self.gradients]
        made = {v.name: i for i, v in enumerate(self.backward.program.values())}
        place = {v.name: made.get(self.gradients[v.name].name, -1) for v in named}
        return sorted(named, key=lambda v: place[v.name])

    def readings(self, value: Value) -> list[Reading]:
        """The statements that read a value, in the order in which their parts are added."""
        steps: dict[int, tuple[Step, list[Use]]] = {}
        for use in self._reads.get(value.name, ()):
            step = self.makers[use.node.outs[0].name]
            steps.setdefault(id(step), (step, []))[1].append(use)
        return [Reading(self, value, step, tuple(uses)) for step, uses in steps.values()]

    def back(self, step: Step) -> Step | None:
        return self._steps.get(_key(step))

    @cached_property
    def _reads(self) -> dict[str, list[Use]]:
        """The uses of each value, by its name."""
        found: dict[str, list[Use]] = {}
        for use in self.backward.trail:
            found.setdefault(use.operand, []).append(use)
        return found

    @cached_property
    def _inside(self) -> dict[int, list[Use]]:
        found: dict[int, list[Use]] = {}
        for use in self.backward.trail:
            found.setdefault(id(use.node), []).append(use)
        return found

    def uses_in(self, node: Node) -> Sequence[Use]:
        """The uses that a node makes of its operands."""
        return self._inside.get(id(node), ())

    def runs_at(self, sizes: Mapping[str, int]) -> bool:
        """``holds``, asked once for each choice of sizes: every statement tries the same few."""
        key = frozenset(sizes.items())
        if key not in self._held:
            self._held[key] = self.holds(sizes)
        return self._held[key]


def _key(step: Step) -> tuple[str, str, str]:
    return step.name, step.source, str(step.where)


@dataclass(frozen=True)
class Reading:
    """One statement that reads a value: the path from it to what the statement makes."""

    source: Source
    value: Value
    step: Step
    uses: tuple[Use, ...]

    @cached_property
    def path(self) -> tuple[Node, ...]:
        """The statement's nodes that the value goes through, from the value outwards."""
        reached = {self.value.name}
        first = {id(use.node) for use in self.uses}
        found: list[Node] = []
        for node in self.step.nodes:
            inside = any(v.name in reached and v.name != self.value.name for v in node.operands())
            if id(node) in first or inside:
                found.append(node)
                reached.update(o.name for o in node.outs)
        return tuple(found)

    @cached_property
    def empty(self) -> Value | None:
        """A value without elements that takes part, if there is one."""
        values = (v for node in self.step.nodes for v in (*node.operands(), *node.outs))
        return next((v for v in values if self.source.is_empty(v)), None)

    @cached_property
    def outputs(self) -> tuple[Value, ...]:
        """What the path ends in: values whose gradients arrive from outside the statement."""
        made = {o.name: o for node in self.path for o in node.outs if o.floating}
        inside = {v.name for node in self.path for v in node.operands()}
        ends = [v for v in made.values() if v.name in self.source.gradients]
        return tuple(v for v in ends if v.var is not None or v.name not in inside)

    @cached_property
    def back(self) -> tuple[Node, ...]:
        """The nodes of the backward step that make this reading's part of the gradient."""
        step = self.source.back(self.step)
        target = self.target
        return () if step is None or target is None else tuple(cone(step.nodes, [target]))

    @cached_property
    def target(self) -> Value | None:
        """The (running) sum of the gradient after this statement."""
        step = self.source.back(self.step)
        if step is None:
            return None
        of = self.source.of_gradient
        made = [o for node in step.nodes for o in node.outs if of.get(o.name) == self.value.name]
        return made[-1] if made else None

    @cached_property
    def partial(self) -> frozenset[str]:
        """Sums from other statements that this one adds to: no part of this reading."""
        of = self.source.of_gradient
        made = {o.name for node in self.back for o in node.outs}
        read = {v.name for node in self.back for v in node.operands()}
        return frozenset(n for n in read - made if of.get(n) == self.value.name)

    def upstreams(self) -> list[Value]:
        """The gradients that arrive from outside the statement."""
        made = {o.name for node in self.back for o in node.outs}
        found: dict[str, Value] = {}
        for node in self.back:
            for v in node.operands():
                outside = v.name not in made and v.name not in self.source.values
                if outside and v.name not in self.partial:
                    found.setdefault(v.name, v)
        return list(found.values())


__all__ = ["Closed", "Reading", "Source", "cone"]
