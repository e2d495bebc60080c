"""Whose gradient a name is that stands for several: ``dh`` where the forward pass binds ``h`` anew.

Backwards, the last value's gradient comes first. A person may take several values in one line, or
write a line once more: which value an attempt is for is told by what it gives, and only where that
tells nothing by its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from .handwritten import Handwritten
from .names import Candidate, Names, attempts_at, candidates


def at_the_end(handwritten: Handwritten, versions: Mapping[str, tuple[str, ...]]) -> Handwritten:
    """What is handwritten, its names meaning what they mean where it stands."""
    if not handwritten.ended:
        return handwritten
    last = {variable: values[-1] for variable, values in versions.items() if variable == values[0]}
    return replace(handwritten, names={**handwritten.names, **last})


def settled(
    handwritten: Handwritten,
    names: Names,
    versions: dict[str, tuple[str, ...]],
    right: Callable[[Names, Candidate], bool],
) -> Names:
    """``names`` with what such names hold; ``versions`` are the values of a variable in order.

    ``right`` says whether an attempt gives the gradient that it is taken for.
    """
    written = dict.fromkeys(n for s in handwritten.statements for n in s.writes)
    known = versions | {values[-1]: values for values in versions.values()}
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
    held: tuple[tuple[int, str], ...] = ()
    before = len(values)  # the value that the attempt before was for
    starts = attempts_at(handwritten, name)
    for start, end in zip(starts, (*starts[1:], None), strict=True):
        # the attempt is what stands before the next one
        until = replace(handwritten, statements=handwritten.statements[:end])
        earlier = list(range(before - 1, -1, -1))
        again = [before] if before < len(values) else []
        for k in (*earlier, *again):
            taken = _with(names, name, (*held, (start, values[k])))
            if right(taken, _attempt(until, taken, start, name)):
                break
        else:
            k = (*earlier, *again)[0]
        held = (*held, (start, values[k]))
        before = k
    return _with(names, name, held) if held else names


def _with(names: Names, name: str, held: tuple[tuple[int, str], ...]) -> Names:
    return replace(names, held={**names.held, name: held})


def _attempt(handwritten: Handwritten, names: Names, start: int, name: str) -> Candidate:
    """The attempt that begins at a statement."""
    of = names.of(name, start + 1)
    found = candidates(handwritten, names)
    return next(c for c in found if start in c.own and c.of == of)
