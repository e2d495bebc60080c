"""What is kept from the forward pass for the backward pass, and what is computed again there.

A plan holds for any backward program. Computing a value again runs the very nodes that made it, so
that a gradient has the same bits whatever is saved.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError, ProgramError
from ..program.ir import Node, Program, Step, Value, folded_values, without_dead_nodes
from ..program.ops import get_op
from ..program.sizes import Size
from .ahead import ahead
from .cut import least_cut
from .likeness import elements_read, made_of_sizes
from .naming import unique_name
from .paired import run_once
from .passes import map_values
from .walk import Backward

# Elementwise operators that cost no more than reading their operands.
CHEAP = frozenset(
    {
        "neg", "add", "sub", "mul", "div", "abs", "sign", "relu", "where", "masked_fill", "clamp",
        "clamp_min", "clamp_max", "maximum", "minimum", "identity", "to", "stop_gradient", "tril",
        "triu", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor",
        "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "isnan",
        "isinf", "isfinite", "square",
    }
)
# Results of these share the storage of their operand (a reshape where it can).
ALIASES = frozenset({"identity", "stop_gradient"})
# Work that is never done twice to save memory, besides contractions and random numbers.
HEAVY = frozenset(
    {
        "sort", "argsort", "topk", "kthvalue", "median", "median_dim", "nanmedian",
        "nanmedian_dim", "mode", "attention", "flash_attention", "trilinear", "cdist_forward",
        "pdist", "euclidean_dist", "dist", "grid_sample", "im2col", "convolution1d",
        "convolution2d", "convolution3d", "transposed1d", "transposed2d", "transposed3d",
    }
)
# A statistic at most this part of what it was computed from is kept: a pass over the large tensor
# costs more than the few bytes are worth.
SMALL = 8
# A product with more than so many times the bytes of all that it is made of may be done again: the
# scores of attention, which are by far the most that its backward pass reads.
OUTGROWN = 4


@dataclass(frozen=True)
class Plan:
    """Which forward values are saved, and the programs that belong to it; ``str`` prints it.

    Attributes:
        saved: The values that are kept.
        recomputed: The values that the backward pass computes again.
        sizes: Bytes at the example's sizes, by value.
        shared: By value, whose storage it lies in; that is counted once.
        forward: The forward program, with a name for every value that is saved.
        backward: The backward program, which computes the others again.
        bytes: The memory that the saved values hold.
    """

    saved: tuple[Value, ...]
    recomputed: tuple[Value, ...]
    sizes: Mapping[str, int]
    shared: Mapping[str, str]
    forward: Program
    backward: Backward

    @property
    def bytes(self) -> int:
        """The memory that the saved values hold; storage that several share counts once."""
        return sum(self.sizes.values())

    def __str__(self) -> str:
        rows = []
        for v in self.saved:
            held = self.sizes.get(v.name)
            of = self.shared.get(v.name, "")
            rows.append((_printed(v), f"{held:,} bytes" if held is not None else f"shares {of}"))
        wide = max((len(name) for name, _ in rows), default=0)
        lines = [f"saved: {self.bytes:,} bytes at the example's sizes"]
        lines += [f"  {name:<{wide}}  {what}" for name, what in rows]
        again = ", ".join(_printed(v) for v in self.recomputed if v.var is not None)
        more = textwrap.wrap(f"recomputed: {again or 'nothing'}", 98, subsequent_indent="  ")
        return "\n".join([*lines, *more])


def _printed(value: Value) -> str:
    return value.var or value.name


def plan_saving(
    forward: Program,
    derived: Backward,
    save: str | Sequence[str] = "fast",
    names: Mapping[str, str] | None = None,
) -> Plan:
    """Decide what ``derived`` saves of ``forward``.

    ``names`` are the names that anonymous values get when they are saved.

    ``save``: ``"fast"`` keeps what the backward pass reads, except what is made again at no cost
    worth mentioning; ``"least"`` keeps the fewest bytes without doing sorts, random draws or
    contractions again, but for products that outgrow by far what they are made of; a sequence of
    names keeps exactly these. Raises ``InputError`` for names that are unknown, of no use, or not
    enough.
    """
    forward, derived = run_once(forward, derived)
    facts = _Facts(forward, derived, names or {})
    if not isinstance(save, str):
        for plan in (facts.best("fast"), facts.best("least")):
            if set(save) == {_printed(v) for v in plan.saved}:
                return plan  # it may have values that are computed ahead
        return facts.plan(facts.chosen(save))
    if save not in ("fast", "least"):
        raise InputError(f"save must be fast, least or a list of names, not {save!r}")
    return facts.best(save)


class _Facts:
    """What the decisions rest on: what is read, who makes it, how many bytes it holds."""

    def __init__(self, forward: Program, derived: Backward, names: Mapping[str, str]) -> None:
        self.forward = forward
        self.names = names
        self.derived = derived
        self.producers = forward.producers()
        self.values = {v.name: v for v in forward.values()}
        self.order = {name: i for i, name in enumerate(self.values)}
        self.inputs = {v.name for v in forward.inputs}
        self.hints = forward.hints()
        read = {v.name for v in elements_read(derived.program)}
        self.needed = [
            v.name for v in derived.program.inputs if v.name in self.values and v.name in read
        ]
        self.roots = self._roots()
        self.constant = self._constant()

    def _roots(self) -> dict[str, str]:
        """The value whose storage each value lies in."""
        roots = {name: name for name in self.inputs}
        for node in self.forward.nodes():
            aliases = get_op(node.op).kind == "view" or node.op in ALIASES
            first = next(node.operands(), None)
            for out in node.outs:
                roots[out.name] = roots[first.name] if aliases and first else out.name
        return roots

    def _constant(self) -> set[str]:
        """Values that depend on no input's elements: masks, positions, zeros."""
        found: set[str] = set()
        for node in self.forward.nodes():
            kind = get_op(node.op).kind
            if kind == "creation" or (
                kind in ("view", "elementwise", "movement")
                and all(v.name in found for v in node.operands())
            ):
                found.update(out.name for out in node.outs)
        return found

    def bytes(self, name: str) -> int:
        return self.size(self.values[name])

    def size(self, value: Value) -> int:
        count = _width(value.dtype)
        for d in value.shape:
            count *= d.evaluate(self.hints) if isinstance(d, Size) else d
        return count

    def written(self, saved: Collection[str]) -> int:
        """The bytes that the forward pass has to write for what is saved, which inputs are not."""
        return sum(self.bytes(r) for r in {self.roots[n] for n in saved} - self.inputs)

    # decisions

    def best(self, save: str) -> Plan:
        """The plan of ``"fast"`` or ``"least"``, with values computed ahead where that pays."""
        saved = self.fast() if save == "fast" else self.least()
        while made := self.made_anyway(saved):
            saved -= made
        plan = self.plan(saved)
        moved = ahead(self.forward, self.derived, plan.backward.program, self.roots, self.size)
        if moved is None:
            return plan
        facts = _Facts(moved.forward, moved.derived, self.names)
        other = facts.plan(moved.saved)
        if save == "least":
            return min(plan, other, key=lambda p: p.bytes)
        fewer = other.bytes * SMALL <= plan.bytes * (SMALL - 1)
        return other if fewer and facts.written(moved.saved) <= self.written(saved) else plan

    def fast(self) -> set[str]:
        saved: set[str] = set()
        free: set[str] = set()
        for name in sorted(self.needed, key=self.order.__getitem__):
            (free if self._free(name, saved, free) else saved).add(name)
        return saved

    def _free(self, name: str, saved: set[str], free: set[str]) -> bool:
        """Whether a value can be made from saved ones at no cost worth mentioning."""
        node = self.producers.get(name)
        if node is None:
            return False
        if self._constant_at_hand(name, saved):
            return True
        if not self._is_view(node) and node.op not in CHEAP:
            return False
        return all(
            v.name in saved
            or (v.name in free and self._is_view(self.producers[v.name]))
            or self._constant_at_hand(v.name, saved)
            for v in node.operands()
        )

    def _is_view(self, node: Node) -> bool:
        return get_op(node.op).kind == "view" or node.op in ALIASES

    def _constant_at_hand(self, name: str, saved: Collection[str]) -> bool:
        """Whether this is a constant, and what it takes its shape from is saved or a constant."""
        return name in self.constant and all(
            v.name in saved or self._constant_at_hand(v.name, saved)
            for v in self.producers[name].operands()
        )

    def least(self) -> set[str]:
        """The cheapest set of values between the inputs and what is read: a minimal cut."""
        edges: list[tuple[str, str, int | None]] = []
        for name in self.values:
            node = self.producers.get(name)
            inside, outside = f"<{name}", f">{name}"
            if self.roots[name] != name and node is not None:
                edges.append((inside, outside, None))  # a view is never saved: its storage is
            else:
                edges.append((inside, outside, self.bytes(name)))
            if node is None or not self._repeatable(name, node):
                edges.append(("source", inside, None))
            else:
                edges += [(f">{v.name}", inside, None) for v in node.operands()]
        edges += [(f">{name}", "sink", None) for name in self.needed]
        return {end[1:] for end in least_cut(edges, "source", "sink")}

    def _repeatable(self, name: str, node: Node) -> bool:
        kind = get_op(node.op).kind
        if kind == "random" or node.op in HEAVY:
            return False
        if kind == "contraction":
            given = {self.roots[v.name] for v in node.operands()}
            return self.bytes(name) > OUTGROWN * sum(map(self.bytes, given))
        if kind in ("reduction", "composite"):
            largest = max((self.bytes(v.name) for v in node.operands()), default=0)
            return self.bytes(name) * SMALL > largest
        return True

    def chosen(self, names: Sequence[str]) -> set[str]:
        by_text = {_printed(v): v.name for v in self.values.values()}
        saved: set[str] = set()
        for text in names:
            if text not in by_text:
                raise InputError(
                    f"save: the forward pass has no value named {text!r}; "
                    f"the backward pass reads {', '.join(self._texts(self.needed))}"
                )
            saved.add(by_text[text])
        missing = [name for name in self._reached(saved) if not self._makeable(name, saved)]
        if missing:
            inputs = self._texts(n for n in missing if n in self.inputs)
            drawn = self._texts(n for n in missing if n not in self.inputs)
            why = [f"the inputs {', '.join(inputs)}"] if inputs else []
            why += [f"{', '.join(drawn)}, random numbers that are drawn once"] if drawn else []
            raise InputError(
                f"save: these names are not enough, the backward pass also needs "
                f"{' and '.join(why)}"
            )
        if made := self.made_anyway(saved):
            raise InputError(
                f"save: {', '.join(self._texts(made))} is made again together with another value "
                f"of the same operator: leave it out, or save that value too"
            )
        unused = [n for n in saved if n not in self._reached(saved)]
        if unused:
            raise InputError(
                f"save: nothing in the backward pass is computed from "
                f"{', '.join(self._texts(unused))}"
            )
        return saved

    def made_anyway(self, saved: Collection[str]) -> set[str]:
        """Saved values of operators that run again for the sake of another of their results."""
        again = [n for n in self._reached(saved) if n not in saved and n in self.producers]
        outs = {out.name for name in again for out in self.producers[name].outs}
        return {name for name in saved if name in outs}

    def _makeable(self, name: str, saved: Collection[str]) -> bool:
        node = self.producers.get(name)
        return name in saved or (node is not None and not get_op(node.op).random)

    def _texts(self, names: Iterable[str]) -> list[str]:
        ordered = sorted(names, key=self.order.__getitem__)
        return [_printed(self.values[name]) for name in ordered]

    def _reached(self, saved: Collection[str]) -> list[str]:
        """What is read on the way to what the backward pass needs, back to what is saved."""
        found: dict[str, None] = {}
        waiting = list(self.needed)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found[name] = None
            node = self.producers.get(name)
            if name not in saved and node is not None:
                waiting += [v.name for v in node.operands()]
        return sorted(found, key=self.order.__getitem__)

    # the program

    def plan(self, saved: Collection[str]) -> Plan:
        reached = self._reached(saved)
        again = [name for name in reached if name not in saved]
        near = next(iter(self.derived.upstream))
        missing = self.values.keys() - set(reached)
        derived = replace(
            self.derived, program=made_of_sizes(self.derived.program, missing, near)
        )
        if bad := [n for n in again if not self._makeable(n, saved)]:
            raise ProgramError(f"a plan that cannot make {', '.join(bad)}")
        kept = [name for name in reached if name in saved]
        sizes: dict[str, int] = {}
        shared: dict[str, str] = {}
        holders: dict[str, str] = {}
        for name in kept:
            root = self.roots[name]
            if root in holders:
                shared[name] = _printed(self.values[holders[root]])
            else:
                holders[root] = name
                sizes[name] = self.bytes(root)
        program, made = self._with_recomputation(derived, saved, set(again), kept)
        named = self._named(program, kept, made)

        def fn(v: Value) -> Value:
            return replace(v, var=named[v.name]) if v.name in named else v

        program = map_values(program, fn)
        forward = map_values(without_dead_nodes(self.forward, set(kept)), fn)
        return Plan(
            tuple(fn(self.values[n]) for n in kept),
            tuple(fn(self.values[n]) for n in again),
            sizes,
            shared,
            forward,
            replace(derived, program=program),
        )

    def _with_recomputation(
        self, derived: Backward, saved: Collection[str], again: set[str], kept: Sequence[str]
    ) -> tuple[Program, set[str]]:
        made: set[str] = set()
        steps: list[Step] = []
        for step in derived.program.steps:
            wanted = {v.name for node in step.nodes for v in node.operands()} & again
            steps += self._makers(wanted, saved, made)
            steps.append(step)
        wanted = {v.name for v in derived.program.outputs} & again
        steps += self._makers(wanted, saved, made)
        up = [v for v in derived.program.inputs if v.name not in self.values]
        inputs = (*(self.values[n] for n in kept), *up)
        return replace(derived.program, inputs=inputs, steps=tuple(steps)), made

    def _makers(self, wanted: set[str], saved: Collection[str], made: set[str]) -> Iterator[Step]:
        """The steps, in forward order, that make the wanted values and have not run yet."""
        waiting, todo = list(wanted), set()
        while waiting:
            name = waiting.pop()
            if name in todo or name in made or name in saved:
                continue
            todo.add(name)
            waiting += [v.name for v in self.producers[name].operands()]
        for step in self.forward.steps if todo else ():
            nodes = tuple(n for n in step.nodes if any(o.name in todo for o in n.outs))
            if nodes:
                made.update(o.name for n in nodes for o in n.outs)
                source = f"again: {step.source}" if step.source else ""
                yield Step(step.name, nodes, source, step.where)

    def _named(
        self, program: Program, kept: Sequence[str], made: set[str]
    ) -> dict[str, str]:
        """Names for anonymous values that are saved, or made again in a line of their own."""
        folded = folded_values(program)
        ours = set(self.values)
        taken = {_printed(v) for v in program.values() if v.name not in ours or v.var}
        taken |= {v.var for v in self.values.values() if v.var} | {
            s.name for s in self.forward.symbols
        }
        named: dict[str, str] = {}
        for name in (*kept, *sorted(made - folded, key=self.order.__getitem__)):
            if self.values[name].var is None and name not in named:
                named[name] = unique_name(self.names.get(name, name), taken)
        return named


def _width(dtype: str) -> int:
    """Bytes per element."""
    if dtype in ("bool", "none"):
        return 1
    return int("".join(ch for ch in dtype if ch.isdigit()) or 8) // 8


__all__ = ["Plan", "plan_saving"]
