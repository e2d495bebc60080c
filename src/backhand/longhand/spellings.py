"""The longhand of a forward pass in both spellings, with names for what is printed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..program.build import SizeContext, Var
from ..program.ir import Program
from .naming import Namer
from .passes import expand_plain, recompute
from .walk import Backward, backward


@dataclass(frozen=True)
class Spellings:
    """``exact`` is bit for bit autograd's, ``plain`` is for people; both read ``forward``.

    ``walked`` and ``expanded`` are the two before anything is recomputed or named, and ``namer`` is
    who named them.
    """

    walked: Backward
    expanded: Backward
    namer: Namer
    forward: Program
    exact: Backward
    plain: Backward


def spellings(
    program: Program, context: SizeContext, variables: Mapping[str, Var], wrt: Collection[str]
) -> Spellings:
    """Derive the backward pass of a program; ``variables`` has one for each of its values."""
    walked = backward(program, context, variables, wrt)
    expanded = expand_plain(walked, context, variables)
    exact, needed_exact = recompute(walked, program)
    plain, needed_plain = recompute(expanded, program)
    namer = Namer(program)
    forward = namer.program(program, needed_exact | needed_plain)
    return Spellings(
        walked, expanded, namer, forward, namer.backward(exact), namer.backward(plain)
    )


__all__ = ["Spellings", "spellings"]
