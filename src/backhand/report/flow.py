"""A program as boxes and arrows: named values, the uses of each, and how large its gradient is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from ..emit.listing import shape_text
from ..program.ir import Program, Step, Value
from ..program.loops import role

# In a program with more values than this, those of one numbered module (`blocks_0_…`) share a box.
MANY = 80
# A group of fewer values is not worth a box of its own.
FEW = 4
# More boxes than this are no picture any more.
MOST = 400


@dataclass(frozen=True)
class Box:
    """A value of the program, or a group of values.

    ``rms`` is the root mean square of its gradient, ``None`` where it has none; ``label`` the
    gradient's name where the page explains it. ``role`` is ``input``, ``output`` or empty.
    """

    name: str
    shape: str
    about: str
    role: str = ""
    rms: float | None = None
    label: str | None = None
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flow:
    """Boxes by their values' names in the program's order, and the uses: what is read by what.

    An arrow carries the gradient of its reader (the upstream); ``None``: no gradient goes there.
    """

    boxes: Mapping[str, Box]
    arrows: Mapping[tuple[str, str], float | None] = field(default_factory=dict)


def flow(program: Program, sizes: Mapping[str, float], labels: Mapping[str, str]) -> Flow:
    """The boxes and arrows of a program.

    ``sizes`` has the root mean square of each gradient, ``labels`` the name of those that are
    explained, both by the printed name of the forward value.
    """
    outputs = {v.name for v in program.outputs}
    inputs = {v.name for v in program.inputs}
    reads = _reads(program)
    wanted = _leading_somewhere(reads, outputs | inputs)
    makers = {o.name: s for s in program.steps for n in s.nodes for o in n.outs}
    shown = {v.name: v for v in program.values() if v.name in wanted}
    boxes: dict[str, Box] = {}
    for name, value in shown.items():
        printed = value.var or value.name
        boxes[name] = Box(
            printed,
            shape_text(value.shape, program.symbols) if value.shape else "",
            _about(value, makers.get(name), shape_text(value.shape, program.symbols)),
            "output" if name in outputs else "input" if name in inputs else "",
            sizes.get(printed),
            labels.get(printed),
        )
    arrows: dict[tuple[str, str], float | None] = {}
    for name, box in boxes.items():
        for operand in reads.get(name, ()):
            carries = boxes[operand].rms is not None and box.rms is not None
            arrows[operand, name] = box.rms if carries else None
    return Flow(boxes, arrows)


def _about(value: Value, step: Step | None, shape: str) -> str:
    text = f"{value.var or value.name}: {value.dtype}{' ' + shape if value.shape else ', a scalar'}"
    return f"{text}\n{step.source}" if step is not None and step.source else text


def _reads(program: Program) -> dict[str, tuple[str, ...]]:
    """The named values that each named value is made from; those without a name are seen through.

    What is read for its shape only is not read.
    """
    outputs = {v.name for v in program.outputs}
    through: dict[str, tuple[str, ...]] = {v.name: (v.name,) for v in program.inputs}
    reads: dict[str, tuple[str, ...]] = {}
    for node in program.nodes():
        operands = [] if role(node.op) == "creation" else list(node.operands())
        found = tuple(dict.fromkeys(name for v in operands for name in through[v.name]))
        for out in node.outs:
            named = out.var is not None or out.name in outputs
            through[out.name] = (out.name,) if named else found
            if named:
                reads[out.name] = found
    return reads


def _leading_somewhere(reads: Mapping[str, Collection[str]], ends: Collection[str]) -> set[str]:
    """The ends, and every value on the way to one: statistics that nobody reads are left out."""
    wanted = set(ends)
    for name in reversed(list(reads)):
        if name in wanted:
            wanted.update(reads[name])
    return wanted


def grouped(whole: Flow) -> tuple[Flow, dict[str, Flow]]:
    """A flow with one box for each numbered module, and the flow inside each of them.

    A program of few values is left as it is. Inside, what a module reads from outside is an input.
    """
    if len(whole.boxes) <= MANY:
        return whole, {}
    groups: dict[str, list[str]] = {}
    for name, box in whole.boxes.items():
        if found := re.match(r"(.*?\D_\d+)_.", box.name):
            groups.setdefault(found[1], []).append(name)
    groups = {key: names for key, names in groups.items() if len(names) >= FEW}
    home = {name: f"group {key}" for key, names in groups.items() for name in names}
    arrows: dict[tuple[str, str], float | None] = {}
    for (a, b), carries in whole.arrows.items():
        edge = home.get(a, a), home.get(b, b)
        if edge[0] != edge[1]:
            arrows[edge] = max(
                (c for c in (arrows.get(edge), carries) if c is not None), default=None
            )
    order = _order({home.get(name, name): None for name in whole.boxes}, arrows)
    if order is None:  # something leaves a group and comes back: it is no box
        return whole, {}
    boxes: dict[str, Box] = {}
    for name in order:
        if name in whole.boxes:
            boxes[name] = whole.boxes[name]
        else:
            members = groups[name.removeprefix("group ")]
            boxes[name] = _group(whole, name.removeprefix("group "), members)
    inner = {key: _inside(whole, set(names)) for key, names in groups.items()}
    return Flow(boxes, arrows), inner


def _group(whole: Flow, key: str, members: list[str]) -> Box:
    """A box for a group: its gradient is that of the value that the others go on with."""
    inside = set(members)
    leaving = [a for a, b in whole.arrows if a in inside and b not in inside]
    leaving += [name for name in members if whole.boxes[name].role == "output"]
    last = whole.boxes[max(leaving, key=members.index, default=members[-1])]
    return Box(
        key,
        f"{len(members)} values",
        f"{key}: {len(members)} values; what goes on from it is {last.name}",
        last.role,
        last.rms,
        members=tuple(whole.boxes[name].name for name in members),
    )


def _inside(whole: Flow, members: set[str]) -> Flow:
    arrows = {edge: carries for edge, carries in whole.arrows.items() if edge[1] in members}
    outside = {a for a, _ in arrows} - members
    boxes = {
        name: replace(box, role="input") if name in outside else box
        for name, box in whole.boxes.items()
        if name in members or name in outside
    }
    return Flow(boxes, arrows)


def _order(names: Iterable[str], arrows: Iterable[tuple[str, str]]) -> list[str] | None:
    """The names in an order in which every arrow goes forward; ``None`` if there is none."""
    before: dict[str, list[str]] = {name: [] for name in names}
    for a, b in arrows:
        before[b].append(a)
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:
        return None


__all__ = ["MANY", "MOST", "Box", "Flow", "flow", "grouped"]
