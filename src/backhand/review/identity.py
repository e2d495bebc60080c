"""Which storage a name has: aliases, tensors changed in place, gradients read too early."""

from __future__ import annotations

from collections.abc import Container, Mapping

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
            of = names.of(name, i)
            if of is None or of == candidate.of or of != names.of(name):
                continue
            held, final = own.seen.get((i, name)), own.final.get(name)
            if not isinstance(held, torch.Tensor) or not isinstance(final, torch.Tensor):
                continue
            if held.shape == final.shape and torch.equal(held, final):
                continue
            if right.get(of):
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
                )
    return None


def changes_what_is_given(
    handwritten: Handwritten, names: Names, candidate: Candidate, own: OwnRun, given: Container[str]
) -> Cause | None:
    """The attempt changes in place what is not its own: a forward value, an input, the upstream."""
    written = {w for s in handwritten.statements for w in s.writes if names.of(w) is not None}
    mine = {*candidate.own, *candidate.needed}
    for change in own.changes:
        foreign = change.name in given or (change.name == names.upstream)
        if change.statement not in mine or not foreign or change.name in written - {names.upstream}:
            continue
        statement = handwritten.statements[change.statement]
        first = handwritten.statements[candidate.own[0]]
        shared = change.through and change.through != change.name
        how = f" ({change.through} is another name of it)" if shared else ""
        fix = f"{first.text.strip()}.clone()" if shared and first is not statement else ""
        return Cause(
            "mutated",
            f"`{statement.text.strip()}` changes {change.name} in place{how}: every later line "
            f"that reads {change.name} gets other numbers than the forward pass made",
            fix,
            statement.line,
        )
    return None
