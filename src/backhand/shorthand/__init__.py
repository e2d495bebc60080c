"""Closed forms: found by algebra, judged by gates, spelled in the author's names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from ..longhand import Backward
from ..program.build import SizeContext
from ..program.ir import Node, Program, without_dead_nodes
from ..rules import PLAIN
from .attention import Attention, OnKernels, attentions, on_kernels
from .closed import program_of, prove, region_between
from .contract import contraction
from .counted import counted_from_front, rows_of
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
    covers. ``regions`` say what was found, what was refused, and what it costs. ``from_front`` are
    the inputs that ``plain`` has one-hot rows of, which cannot count from the end.
    """

    plain: Backward
    exact: Backward
    regions: tuple[Region, ...]
    solver: Solver
    from_front: frozenset[str]


def shorthand(
    forward: Program,
    derived: Backward,
    kernels: Backward,
    context: SizeContext,
    holds: Callable[[Mapping[str, int]], bool] | None = None,
    from_front: Collection[str] = (),
) -> Shorthand:
    """Solve a backward pass. ``derived`` is its plain spelling, ``kernels`` the exact one.

    ``from_front`` are integer inputs without negative elements in the example, by name.
    """
    taken = {v.name for v in kernels.program.values()}
    solver = Solver(forward, derived, context, holds, taken)
    regions = solver.solve()
    plain = assembled(derived.program, regions, unit=True)
    exact = _with_kernels(assembled(derived.program, regions), kernels.program, regions)
    return Shorthand(
        _narrowed(derived, counted_from_front(plain, forward, from_front)),
        _narrowed(derived, counted_from_front(exact, forward)),
        tuple(regions),
        solver,
        rows_of(plain, forward) & {*from_front},
    )


def _narrowed(derived: Backward, program: Program) -> Backward:
    """The backward pass of a program that makes fewer of the gradients."""
    pruned = _pruned(program)
    made = {out.name for node in pruned.nodes() for out in node.outs}
    made |= {v.name for v in derived.upstream}
    gradients = {of: name for of, name in derived.gradients.items() if name in made}
    return replace(derived, program=pruned, gradients=gradients)


def _with_kernels(program: Program, kernels: Program, regions: list[Region]) -> Program:
    """The program with torch's kernels put back where no closed form has taken their place.

    What they read besides the values of the program comes with them: a kernel that is run again.
    """
    solved = {v.name for r in regions if r.lines for n in r.nodes for v in n.outs}
    made = {out.name for node in program.nodes() for out in node.outs}
    known = {v.name for v in program.inputs} | made
    makers = kernels.producers()
    back: dict[str, list[Node]] = {}
    for node in kernels.nodes():
        if node.op not in PLAIN:
            continue
        missing = {v.name for v in node.operands()} - known
        again = [makers[name] for name in sorted(missing) if name in makers]
        read = {v.name for n in again for v in n.operands()}
        if len(again) < len(missing) or not read <= known:
            continue
        for out in node.outs:
            if out.name in made and out.name not in solved:
                back[out.name] = [*dict.fromkeys(again), node]
    steps, placed = [], set[str]()
    for step in program.steps:
        nodes: list[Node] = []
        for node in step.nodes:
            for instead in next((back[v.name] for v in node.outs if v.name in back), [node]):
                if instead.outs[0].name not in placed:
                    nodes.append(instead)
                    placed.update(v.name for v in instead.outs)
        steps.append(replace(step, nodes=tuple(nodes)))
    return replace(program, steps=tuple(steps))


def _pruned(program: Program) -> Program:
    program = without_dead_nodes(program)
    used = {v.name for node in program.nodes() for v in node.operands()}
    used |= {v.name for v in program.outputs}
    return replace(program, inputs=tuple(v for v in program.inputs if v.name in used))


__all__ = [
    "Attention",
    "Lemma",
    "Line",
    "Notation",
    "OnKernels",
    "Proof",
    "Refusal",
    "Region",
    "Shorthand",
    "Weight",
    "attentions",
    "contraction",
    "lean",
    "on_kernels",
    "program_of",
    "prove",
    "region_between",
    "shorthand",
    "titles",
]
