"""Regions of a backward pass: what lies between gradients that have to be there."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

from ..algebra.expr import Expr
from ..program.ir import Node, Program, Step, Value
from ..program.loops import role
from .weigh import Weight


@dataclass(frozen=True)
class Line:
    """A gradient of a region in closed form: the value, its expression, the nodes that make it.

    ``unit``: the nodes where the loss's own gradient is 1 and need not be written.
    """

    value: Value
    expr: Expr
    nodes: tuple[Node, ...]
    unit: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A form that was not taken, and why; without lines where none was found."""

    reason: str
    lines: tuple[Line, ...] = ()


@dataclass
class Region:
    """The longhand nodes of a region, the gradients it reads, and those it has to make.

    ``uncounted``: why its closed form was not compared with fifty digits, if it was not.
    """

    nodes: list[Node]
    given: list[Value]
    targets: list[Value]
    lines: tuple[Line, ...] = ()
    weight: Weight | None = None
    longhand: Weight | None = None
    refusals: list[Refusal] = field(default_factory=list)
    uncounted: str | None = None


def carries(node: Node, linear: Set[str]) -> bool:
    """Whether a node reads the elements of gradients, and not only where or how large they are."""
    return role(node.op) != "creation" and any(v.name in linear for v in node.operands())


def regions_of(
    program: Program, opaque: set[int], targets: set[str], linear: set[str]
) -> list[Region]:
    """Readable nodes that carry gradients, joined where one reads what another makes."""
    nodes = [
        n for n in program.nodes() if id(n) not in opaque and any(v.name in linear for v in n.outs)
    ]
    parent = {id(n): id(n) for n in nodes}

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    makers = {v.name: n for n in nodes for v in n.outs}
    readers: dict[str, Node] = {}
    for node in nodes:
        for v in node.operands():
            maker = makers.get(v.name)
            if maker is not None and v.name not in targets:
                parent[root(id(node))] = root(id(maker))
            elif v.name in linear:
                # what reads the same gradient is solved together: it may share saved values
                parent[root(id(node))] = root(id(readers.setdefault(v.name, node)))
    grouped: dict[int, list[Node]] = {}
    for node in nodes:
        grouped.setdefault(root(id(node)), []).append(node)
    out = []
    for members in grouped.values():
        made = [v for n in members for v in n.outs]
        names = {v.name for v in made}
        given = {
            v.name: v
            for n in members
            for v in n.operands()
            if v.name in linear and (v.name in targets or v.name not in names)
        }
        wanted = [v for v in made if v.name in targets]
        inner = {v.name for v in wanted}
        given = {k: v for k, v in given.items() if k not in inner}
        if wanted:
            out.append(Region(members, list(given.values()), wanted))
    last = {id(n): i for i, n in enumerate(nodes)}
    return sorted(out, key=lambda r: last[id(r.nodes[-1])])


def assembled(program: Program, regions: Sequence[Region], unit: bool = False) -> Program:
    """The backward program with the regions' closed forms in it.

    ``unit``: the loss's own gradient, which is 1, is not written.
    """
    made = {line.value.name: (line, r) for r in regions for line in r.lines}
    steps: list[Step] = []
    for step in program.steps:
        nodes: list[Node] = []
        for node in step.nodes:
            found = next((made[v.name] for v in node.outs if v.name in made), None)
            if found is None:
                nodes.append(node)
                continue
            line, region = found
            lines = line.unit if unit and line.unit else line.nodes
            through = _through(program, region, line)
            if len(through) < 2:
                nodes += lines
                continue
            if nodes:
                steps.append(replace(step, nodes=tuple(nodes)))
                nodes = []
            steps.append(replace(step, nodes=lines, source=_heading(through)))
        if nodes:
            steps.append(replace(step, nodes=tuple(nodes)))
    return replace(program, steps=tuple(steps))


def _through(program: Program, region: Region, line: Line) -> list[str]:
    """The forward steps that a closed form goes back through at once, in forward order."""
    cone = {line.value.name}
    mine: set[int] = set()
    stops = {v.name for v in region.given} | {
        other.value.name for other in region.lines if other is not line
    }
    for node in reversed(region.nodes):
        if any(v.name in cone for v in node.outs):
            mine.add(id(node))
            cone |= {v.name for v in node.operands()} - stops
    names = [s.name for s in program.steps if any(id(n) in mine for n in s.nodes)]
    return list(dict.fromkeys(reversed(names)))


def _heading(names: Sequence[str]) -> str:
    if len(names) == 2:
        return f"{names[0]} and {names[1]} in closed form"
    return f"{names[0]} … {names[-1]}: {len(names)} lines in closed form"
