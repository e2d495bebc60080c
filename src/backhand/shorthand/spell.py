"""One expression in few words: every spelling on whole tensors that may read certain values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ..algebra.expr import Expr
from ..algebra.normal import TooLarge
from ..errors import ProgramError
from ..program.ir import Node, Value
from .blocks import Block, names_in
from .known import blocks_of
from .numbers import NotWorthwhile
from .sketch import Unsketched
from .solve import Solver

NEAR = 0.4  # what reading one of the additional values costs, where a forward value's is 1


def spellings(
    solver: Solver,
    expr: Expr,
    like: Value,
    readable: Collection[str],
    more: Sequence[tuple[Value, Expr]],
    forward: bool,
) -> Iterator[tuple[Node, ...]]:
    """The expression as nodes that make ``like`` out of the ``readable`` values alone.

    ``more`` are values beside those of the solver's forward pass that may be read; ``forward``:
    the expression speaks of what those are made of. The last node makes ``like``; there is one
    spelling for each choice of the kept values that can stand for a sum or an exponential.
    """
    if not names_in(expr) <= solver.values.keys():
        return
    known: list[Block] = []
    for value, found in more:
        known += blocks_of(value, found, NEAR)
    if forward:
        known += [b for b in solver.forward_blocks if b.value.name in readable]
    for choice in solver.choices([expr], known):
        try:
            (line,) = solver.spelled([(like, expr)], choice, known)
        except (NotWorthwhile, TooLarge, ProgramError, Unsketched):
            continue
        made = {out.name for node in line.nodes for out in node.outs}
        if all(v.name in made or v.name in readable for n in line.nodes for v in n.operands()):
            yield line.nodes


__all__ = ["spellings"]
