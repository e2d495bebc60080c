"""What every emitter of a module is given: two programs, and how they hang together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sympy

from ..errors import InputError
from ..program.ir import Program, Value
from ..program.ops import get_op
from ..program.sizes import Symbol, size_text
from .layout import WIDTH, broken
from .python import printed_name


@dataclass(frozen=True)
class Passes:
    """A forward and a backward pass that are to become a module.

    ``gradients`` names the inputs that get one, in the order of the backward program's outputs;
    ``parameters`` the arguments in order; ``constants`` those among them that are written into the
    module (nested lists and a dtype); ``structure`` what the forward pass returns, with an index
    into its outputs for every tensor. ``conditions`` are relations between sizes that hold wherever
    the programs do, ``checked`` says that the sizes must be at least 2.
    """

    name: str
    forward: Program
    backward: Program
    upstream: tuple[Value, ...]
    upstream_of: tuple[str, ...]
    gradients: tuple[str, ...]
    parameters: tuple[str, ...]
    scalar: bool
    structure: Any
    constants: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    conditions: tuple[Any, ...] = ()
    note: str = ""

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        return self.forward.symbols

    @property
    def inputs(self) -> list[str]:
        """The arguments that a caller gives."""
        return [p for p in self.parameters if p not in self.constants]

    @property
    def saved(self) -> list[Value]:
        """What the backward pass reads of the forward pass."""
        ups = {v.name for v in self.upstream}
        return [v for v in self.backward.inputs if v.name not in ups]

    @property
    def ups(self) -> list[str]:
        return [printed_name(v) for v in self.upstream]

    def with_sizes_at_hand(self, alone: bool = False) -> Passes:
        """The backward pass with sizes read from what it is given, where that is possible.

        An input must not be kept for the sake of its shape alone. ``alone``: sizes that nothing
        tells are handed over by themselves, as integers.
        """
        symbols = tuple(self._at_hand(s, alone) for s in self.symbols)
        return replace(self, backward=replace(self.backward, symbols=symbols))

    def _at_hand(self, s: Symbol, alone: bool) -> Symbol:
        given = [*self.saved, *self.upstream]
        if s.axis is None or any(printed_name(v) == s.input for v in given):
            return s
        for v in given:
            for axis, d in enumerate(v.shape):
                if not isinstance(d, int) and d.expr.is_Symbol and d.expr.name == s.name:
                    return replace(s, input=printed_name(v), axis=axis)
        return replace(s, input=s.name, axis=None) if alone else s

    def reserved(self, names: Iterable[str]) -> None:
        """Refuse a program whose values are called like something that the module needs."""
        ours = set(names)
        used = {printed_name(v) for p in (self.forward, self.backward) for v in p.values()}
        used |= set(self.parameters) | {s.name for s in self.symbols}
        if clash := sorted(ours & used):
            raise InputError(
                f"{', '.join(clash)} is a name that the emitted module needs itself: "
                f"rename it in the forward pass"
            )

    def relations(self, names: Mapping[str, str]) -> list[str]:
        """The conditions as Python expressions."""
        return [condition_text(c, names) for c in self.conditions]


def condition_text(condition: Any, names: Mapping[str, str]) -> str:
    """A relation between sizes, or several joined, as a Python expression."""
    if isinstance(condition, (sympy.And, sympy.Or)):
        word = " and " if isinstance(condition, sympy.And) else " or "
        return word.join(f"({condition_text(c, names)})" for c in condition.args)
    if isinstance(condition, sympy.Not):
        return f"not ({condition_text(condition.args[0], names)})"
    sides = (size_text(side, names)[0] for side in condition.args)
    return f" {condition.rel_op} ".join(sides)


# These may give back their operand itself, and not a view of it.
ITSELF = frozenset(
    {"identity", "stop_gradient", "contiguous", "to", "to_device", "flatten", "reshape"}
)


def roots(program: Program) -> dict[str, str]:
    """The value in whose storage each value of a program may lie."""
    found = {v.name: v.name for v in program.inputs}
    for node in program.nodes():
        aliases = get_op(node.op).kind == "view" or node.op in (
            "identity", "stop_gradient", "contiguous", "to", "to_device"
        )
        first = next(node.operands(), None)
        for out in node.outs:
            found[out.name] = found[first.name] if aliases and first else out.name
    return found


def handed_through(program: Program) -> list[Value]:
    """The values that are an input itself, always or at some sizes, dtypes or layouts."""
    found = {v.name: v for v in program.inputs}
    for node in program.nodes():
        first = next(node.operands(), None)
        if node.op in ITSELF and first is not None and first.name in found:
            found[node.outs[0].name] = node.outs[0]
    return list(found.values())


def structure_text(structure: Any, outputs: Sequence[str]) -> str:
    """What a forward pass returns, as source: nested containers of outputs and constants."""
    if isinstance(structure, Output):
        return outputs[structure.index]
    if isinstance(structure, dict):
        inner = ", ".join(f"{k!r}: {structure_text(v, outputs)}" for k, v in structure.items())
        return f"{{{inner}}}"
    if isinstance(structure, list):
        return f"[{', '.join(structure_text(v, outputs) for v in structure)}]"
    if type(structure) is tuple:
        inner = ", ".join(structure_text(v, outputs) for v in structure)
        return f"({inner}{',' if len(structure) == 1 else ''})"
    if structure is None or isinstance(structure, (bool, int, float, str)):
        return repr(structure)
    raise InputError(
        f"the forward pass returns a {type(structure).__name__}, which an emitted module cannot "
        f"make: return a tensor, or tuples, lists and dicts of tensors"
    )


@dataclass(frozen=True)
class Output:
    """The place of one tensor in what the forward pass returns."""

    index: int


def indented(lines: Iterable[str], by: int = 4) -> list[str]:
    return [f"{' ' * by}{line}" if line else "" for line in lines]


def wrapped(lines: Iterable[str], by: int = 4) -> list[str]:
    """Statements indented, the long ones broken."""
    return indented([part for line in lines for part in broken(line, WIDTH - by)], by)


def unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def returned(names: Sequence[str]) -> str:
    """Names as the tuple that stands after ``return``, or before an equals sign."""
    return ", ".join(names) + ("," if len(names) == 1 else "")


def packed(names: Sequence[str]) -> str:
    """Names as a tuple in brackets."""
    return f"({returned(names)})"
