"""Which storage a name has: aliases, tensors changed in place, gradients read too early."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .handwritten import Handwritten
from .names import Candidate, Names
from .result import Cause
from .run import OwnRun


def changed_meanwhile(
    handwritten: Handwritten, names: Names, candidate: Candidate, own: OwnRun
) -> Cause | None:
    """A later line changed this gradient under another name: both are one tensor."""
    for change in own.changes:
        if change.name != candidate.name or change.statement <= candidate.index:
            continue
        later = handwritten.statements[change.statement]
        alias = _alias_line(handwritten, own, change.name, change.through, change.statement)
        born = handwritten.statements[alias] if alias is not None else later
        fix = born.text.strip()
        if born is not later:
            fix = f"{fix}.clone()"
        return Cause(
            "aliasing",
            f"{change.through} and {candidate.name} are one and the same tensor since "
            f"`{born.text.strip()}`: when line {later.line} changes {change.through} in place, "
            f"{candidate.name} changes with it",
            fix,
            born.line,
            idea="an assignment gives a tensor a second name, not a second copy",
        )
    return None


def _alias_line(
    handwritten: Handwritten, own: OwnRun, name: str, through: str, before: int
) -> int | None:
    """The statement that made ``through`` another name of ``name``'s tensor."""
    for i in reversed(range(before + 1)):
        statement = handwritten.statements[i]
        if through in statement.writes and name in statement.reads and i != before:
            return i
    return None


def read_too_early(
    handwritten: Handwritten,
    names: Names,
    candidate: Candidate,
    own: OwnRun,
    right: Mapping[str, bool],
) -> Cause | None:
    """A gradient was read before all of its uses had been added."""
    for i in (*candidate.needed, *candidate.own):
        statement = handwritten.statements[i]
        for name in statement.reads:
            if names.of(name) is None or names.of(name) == candidate.of:
                continue
            held, final = own.seen.get((i, name)), own.final.get(name)
            if not isinstance(held, torch.Tensor) or not isinstance(final, torch.Tensor):
                continue
            if held.shape == final.shape and torch.equal(held, final):
                continue
            if right.get(name):
                later = next(
                    (
                        s.line
                        for s in handwritten.statements[i + 1 :]
                        if name in s.writes
                    ),
                    0,
                )
                return Cause(
                    "order",
                    f"`{statement.text.strip()}` reads {name} before it is complete: line {later} "
                    f"still adds to it. Finish {name} first",
                    line=statement.line,
                    idea="a gradient is the sum over all uses, and is read when all are in",
                )
    return None
