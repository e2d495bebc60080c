"""Whose gradient a name is that stands for several: ``dh`` where the forward pass binds ``h`` anew.

Backwards, the last value's gradient comes first. A person may take several values in one line, or
write a line once more: which value an attempt is for is told by what it gives, and only where that
tells nothing by its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from .handwritten import Handwritten
from .names import Candidate, Names, attempts_at, candidates, starts_anew


def at_the_end(handwritten: Handwritten, versions: Mapping[str, tuple[str, ...]]) -> Handwritten:
    """What is handwritten, its names meaning what they mean where it stands."""
    if not handwritten.ended:
        return handwritten
    last = {variable: values[-1] for variable, values in versions.items() if variable == values[0]}
    return replace(handwritten, names={**handwritten.names, **last})


def settled(
    handwritten: Handwritten,
    names: Names,
    versions: Mapping[str, tuple[str, ...]],
    right: Callable[[Names, Candidate], bool],
) -> Names:
    """``names`` with what such names hold; ``versions`` are the values of a variable in order.

    ``right`` says whether an attempt gives the gradient that it is taken for.
    """
    written = dict.fromkeys(n for s in handwritten.statements for n in s.writes)
    known = {**versions, **{values[-1]: values for values in versions.values()}}
    for name in written:
        values = known.get(names.of(name) or "", ())
        if values and name not in names.gradients and name != names.upstream:
            names = _of_one(handwritten, names, name, values, right)
    return names


def _of_one(
    handwritten: Handwritten,
    names: Names,
    name: str,
    values: tuple[str, ...],
    right: Callable[[Names, Candidate], bool],
) -> Names:
    starts = attempts_at(handwritten, name)
    held: tuple[tuple[int, str], ...] = ()
    before = len(values)  # the value that the attempt before was for

    def found(taken: tuple[tuple[int, str], ...], start: int, end: int | None, last: int) -> int:
        """The value whose gradient the statements up to ``end`` give; -1 if they give none."""
        until = replace(handwritten, statements=handwritten.statements[:end])
        options: list[int] = list(range(last - 1, -1, -1))
        if last < len(values):
            options.append(last)  # the same once more
        for k in options:
            tried = _with(names, name, (*taken, (start, values[k])))
            if right(tried, _attempt(until, tried, start, name)):
                return k
        return -1

    i = 0
    while i < len(starts):
        start = starts[i]
        ends = [*starts[i + 1 :], None]
        # a line that changes what the name holds may be another step of the same gradient
        same = next(n for n, e in enumerate(ends) if e is None or _anew(handwritten, e, name))
        n = k = -1
        while k < 0 and n < same:
            n += 1
            k = found(held, start, ends[n], before)
        if k < 0:
            k = max(before - 1, 0)
            taken = (*held, (start, values[k]))
            # nothing is right: one gradient, unless what follows goes on from a right one
            follows = same and found(taken, starts[i + 1], ends[1], k) >= 0
            n = 0 if follows else same
        held = (*held, (start, values[k]))
        before = k
        i += n + 1
    return _with(names, name, held) if held else names


def _anew(handwritten: Handwritten, index: int, name: str) -> bool:
    return starts_anew(handwritten.statements[index], name)


def _with(names: Names, name: str, held: tuple[tuple[int, str], ...]) -> Names:
    return replace(names, held={**names.held, name: held})


def _attempt(handwritten: Handwritten, names: Names, start: int, name: str) -> Candidate:
    """The attempt that begins at a statement."""
    of = names.of(name, start + 1)
    found = candidates(handwritten, names)
    return next(c for c in found if start in c.own and c.of == of)
