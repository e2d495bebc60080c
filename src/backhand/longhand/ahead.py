"""What the forward pass computes ahead for the backward pass, so that less is kept between them.

``dz = dloss * (p - t) / n`` reads two tensors of the forward pass, but only their difference
counts, and no upstream gradient is needed for that: the forward pass can make it, and one tensor is
kept for two. Which values are worth that is a minimal cut between what a plan keeps and the first
operators that read an upstream gradient. The very same operators run, only earlier: a gradient has
the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..program.ir import (
    Node,
    Program,
    Step,
    Value,
    cone,
    map_arg,
    without_dead_nodes,
)
from ..program.loops import role
from ..program.ops import get_op
from .cut import least_cut
from .naming import names_of_parts, unique_name
from .passes import map_values, without_unread_inputs
from .walk import Backward

# Work that may move to the forward pass: where no gradient is asked for, it is done for nothing.
LIGHT = frozenset({"pointwise", "view", "reduction", "softmax"})


@dataclass(frozen=True)
class Ahead:
    """The programs when values are computed ahead, and what is saved then, by name."""

    forward: Program
    derived: Backward
    saved: frozenset[str]


def ahead(
    forward: Program,
    derived: Backward,
    recomputing: Program,
    roots: Mapping[str, str],
    size: Callable[[Value], int],
) -> Ahead | None:
    """The programs with the fewest bytes between them; None if nothing is computed ahead.

    ``recomputing`` is the backward program of a plan for ``derived``, ``roots`` the forward value
    in whose storage each one lies, ``size`` the bytes of a value.
    """
    known = {v.name: v for v in forward.values()}
    kept = [v for v in recomputing.inputs if v.name in known]
    cut = _cut(recomputing, kept, roots, lambda name: size(known[name]), size)
    made = derived.program.producers()
    wanted = [out for name in cut - known.keys() for out in made[name].outs if out.name == name]
    nodes = cone(list(derived.program.nodes()), wanted)
    if not nodes:
        return None
    moved = _Moved(forward, derived.program, nodes, {v.name for v in wanted})
    saved = frozenset(moved.instead[n].name if n in moved.instead else n for n in cut)
    return Ahead(moved.forward(), replace(derived, program=moved.backward()), saved)


def _cut(
    program: Program,
    kept: Iterable[Value],
    roots: Mapping[str, str],
    stored: Callable[[str], int],
    size: Callable[[Value], int],
) -> set[str]:
    """The names of what is kept at the minimal cut, of several the one with the least work ahead.

    Names have two ends, one before and one after them; the storage of several views counts once.
    """
    edges: list[tuple[str, str, int | None]] = []
    for root in {roots[v.name] for v in kept}:
        edges += [("source", f"<storage {root}", None)]
        edges += [(f"<storage {root}", f">storage {root}", stored(root))]
    for v in kept:
        edges.append((f">storage {roots[v.name]}", f">{v.name}", None))
    free = {v.name for v in kept}
    ends = {v.name for v in program.outputs}
    for node in program.nodes():
        operands = {v.name for v in node.operands()}
        what = role(node.op)
        if what == "creation" and not operands:
            free.update(out.name for out in node.outs)  # made wherever it is read
        elif operands and operands <= free and what in LIGHT and not get_op(node.op).random:
            for out in node.outs:
                free.add(out.name)
                held = None if what == "view" else size(out)
                edges.append((f"<{out.name}", f">{out.name}", held))
                edges += [(f">{name}", f"<{out.name}", None) for name in operands]
        else:
            ends |= operands
    edges += [(f">{name}", "sink", None) for name in ends & free]
    # the cut nearest to the source is the one nearest to the end of the edges turned round
    cut = {end[1:] for end in least_cut([(b, a, c) for a, b, c in edges], "sink", "source")}
    storages = {name.removeprefix("storage ") for name in cut if name.startswith("storage ")}
    return {v.name for v in kept if roots[v.name] in storages} | {
        name for name in cut if not name.startswith("storage ")
    }


class _Moved:
    """Nodes of a backward program moved to the end of the forward program.

    ``instead`` gives, by name, what takes the place of the values that they made.
    """

    def __init__(
        self, forward: Program, program: Program, nodes: Sequence[Node], wanted: set[str]
    ) -> None:
        self._forward, self._program = forward, program
        self.taken = {v.name for v in (*forward.values(), *program.values())}
        self.taken |= {v.var for v in (*forward.values(), *program.values()) if v.var}
        self.taken |= {s.name for s in (*forward.symbols, *program.symbols)}
        self.taken -= wanted  # these go, and leave their names
        self.texts = names_of_parts(program)
        self.instead: dict[str, Value] = {}
        self.wanted = wanted
        moving = {id(node) for node in nodes}
        computed = {(n.op, _names(n.args)): n for n in forward.nodes()}
        self.steps: list[Step] = []
        for step in program.steps:
            mine: list[Node] = []
            for node in (n for n in step.nodes if id(n) in moving):
                args = tuple(
                    map_arg(a, lambda v: self.instead.get(v.name, v)) for a in node.args
                )
                twin = computed.get((node.op, _names(args)))
                if twin is None or get_op(node.op).random:
                    twin = Node(node.op, args, tuple(map(self._named, node.outs)))
                    computed[node.op, _names(args)] = twin
                    mine.append(twin)
                self.instead.update(
                    (o.name, t) for o, t in zip(node.outs, twin.outs, strict=True)
                )
            if mine:
                self.steps.append(Step(step.name, tuple(mine)))

    def _named(self, value: Value) -> Value:
        """A value of the forward pass; one that is kept is named after the line it was part of."""
        name = unique_name(self.texts.get(value.name, value.name), self.taken)
        return replace(value, name=name, var=name if value.name in self.wanted else None)

    def forward(self) -> Program:
        steps = (*self._forward.steps, *self.steps)
        symbols = dict.fromkeys((*self._forward.symbols, *self._program.symbols))
        return replace(self._forward, steps=steps, symbols=tuple(symbols))

    def backward(self) -> Program:
        kept = {name: v for name, v in self.instead.items() if name in self.wanted}
        steps = tuple(
            replace(
                step, nodes=tuple(n for n in step.nodes if not any(o.name in kept for o in n.outs))
            )
            for step in self._program.steps
        )
        program = replace(self._program, steps=tuple(s for s in steps if s.nodes))
        program = map_values(program, lambda v: kept.get(v.name, v))
        program = replace(program, inputs=(*program.inputs, *kept.values()))
        return without_unread_inputs(without_dead_nodes(program))


def _names(arg: object) -> object:
    """An argument with values by their names, so that it can be compared."""
    return map_arg(arg, lambda v: ("value", v.name))


__all__ = ["Ahead", "ahead"]
