"""What a drop-in operator does otherwise than people write it, for the sake of time and memory.

Each of the rewrites is what experienced authors of kernels write, and none makes a text clearer, so
that the forms for people stay as they are. Elements are picked before functions are applied
(``picks``), what occurs twice is computed once (``once``), a hyperbolic tangent that one is added
to is a logistic function (``sigmoids``), what is one number a row is multiplied before it meets a
large tensor (``scales``), one number for all goes past sums and products of matrices (``linear``),
and a one-hot row is added where it is not zero (``rows``).
"""

from __future__ import annotations

import re
from dataclasses import replace

from ...longhand import Plan, map_values, unique_name
from ...program.build import SizeContext
from ...program.ir import Program, folded_values
from .linear import Linear
from .once import once
from .picks import Picks
from .rows import Rows
from .scales import Scales
from .sigmoids import Sigmoids

NUMBERED = re.compile(r"t_\d+")  # as a builder calls what it makes


def lean(plan: Plan, context: SizeContext) -> Plan:
    """The plan with both passes rewritten; what is saved stays the same."""
    kept = {v.name for v in plan.saved}
    forward = Picks(plan.forward, context).run(kept)
    forward = Sigmoids(forward, context).run(kept)
    program = once(plan.backward.program, context.hints())
    for rewriting in (Sigmoids, Scales, Linear, Rows):
        program = rewriting(program, context).run()
    program = _named(program)
    return replace(plan, forward=forward, backward=replace(plan.backward, program=program))


def _named(program: Program) -> Program:
    """The program with names for what rewriting has given a line of its own."""
    folded = folded_values(program)
    taken = {text for v in program.values() for text in (v.name, v.var) if text}
    taken |= {s.name for s in program.symbols}
    names: dict[str, str] = {}
    for node in program.nodes():
        for v in node.outs:
            if v.var is None and v.name not in folded and NUMBERED.fullmatch(v.name):
                names[v.name] = unique_name("part" if v.shape else "scale", taken)
    return map_values(program, lambda v: replace(v, var=names.get(v.name, v.var)))


__all__ = ["lean"]
