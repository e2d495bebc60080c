"""Closed forms: found by algebra, judged by gates, spelled in the author's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..longhand import Backward
from ..program.build import SizeContext
from ..program.ir import Node, Program, without_dead_nodes
from ..rules import PLAIN
from .closed import program_of, prove, region_between
from .contract import contraction
from .lean import lean
from .notation import Notation
from .proof import Lemma, Proof, titles
from .regions import Line, Refusal, Region, assembled
from .solve import Solver
from .weigh import Weight


@dataclass(frozen=True)
class Shorthand:
    """A backward pass with its regions in closed form.

    ``plain`` has formulas everywhere; ``exact`` leaves to torch's kernels what no closed form
    covers. ``regions`` say what was found, what was refused, and what it costs.
    """

    plain: Backward
    exact: Backward
    regions: tuple[Region, ...]
    solver: Solver


def shorthand(
    forward: Program,
    derived: Backward,
    kernels: Backward,
    context: SizeContext,
    holds: Callable[[Mapping[str, int]], bool] | None = None,
) -> Shorthand:
    """Solve a backward pass. ``derived`` is its plain spelling, ``kernels`` the exact one."""
    taken = {v.name for v in kernels.program.values()}
    solver = Solver(forward, derived, context, holds, taken)
    regions = solver.solve()
    exact = _with_kernels(assembled(derived.program, regions), kernels.program, regions)
    return Shorthand(
        _narrowed(derived, assembled(derived.program, regions, unit=True)),
        _narrowed(derived, exact),
        tuple(regions),
        solver,
    )


def _narrowed(derived: Backward, program: Program) -> Backward:
    """The backward pass of a program that makes fewer of the gradients."""
    pruned = _pruned(program)
    made = {out.name for node in pruned.nodes() for out in node.outs}
    made |= {v.name for v in derived.upstream}
    gradients = {of: name for of, name in derived.gradients.items() if name in made}
    return replace(derived, program=pruned, gradients=gradients)


def _with_kernels(program: Program, kernels: Program, regions: list[Region]) -> Program:
    """The program with torch's kernels put back where no closed form has taken their place."""
    solved = {v.name for r in regions if r.lines for n in r.nodes for v in n.outs}
    made = {out.name: node for node in program.nodes() for out in node.outs}
    known = {v.name for v in program.inputs} | made.keys()
    back: dict[str, Node] = {}
    for node in kernels.nodes():
        readable = all(v.name in known for v in node.operands())
        for out in node.outs:
            maker = made.get(out.name)
            if maker is not None and readable and node.op in PLAIN and out.name not in solved:
                back[out.name] = node
    steps = []
    for step in program.steps:
        nodes: list[Node] = []
        for node in step.nodes:
            instead = next((back[v.name] for v in node.outs if v.name in back), node)
            if instead not in nodes:
                nodes.append(instead)
        steps.append(replace(step, nodes=tuple(nodes)))
    return replace(program, steps=tuple(steps))


def _pruned(program: Program) -> Program:
    program = without_dead_nodes(program)
    used = {v.name for node in program.nodes() for v in node.operands()}
    used |= {v.name for v in program.outputs}
    return replace(program, inputs=tuple(v for v in program.inputs if v.name in used))


__all__ = [
    "Lemma",
    "Line",
    "Notation",
    "Proof",
    "Refusal",
    "Region",
    "Shorthand",
    "Weight",
    "contraction",
    "lean",
    "program_of",
    "prove",
    "region_between",
    "shorthand",
    "titles",
]
