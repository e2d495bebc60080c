"""A whole review in a child process: what was written is read and judged there, and sent back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .handwritten import Handwritten
from .intact import Intact
from .isolated import TIMEOUT, Answer, in_child
from .judge import review
from .result import Cause, Gradient, Review
from .sources.load import load

Make = Callable[[], tuple[Handwritten, Collection[str] | None]]


@dataclass(frozen=True)
class Outcome:
    """A review, and what the reviewed code printed on the way."""

    review: Review
    printed: str


def review_file(
    file: str,
    *,
    forward: str | None = None,
    inputs: str | None = None,
    sizes: Mapping[str, int] | None = None,
    timeout: float = TIMEOUT,
    abandoned: Callable[[], bool] | None = None,
) -> Outcome:
    """Review a module, script or notebook; the options are those of the command line."""
    return outcome_of(lambda: (load(file, forward, inputs, sizes), None), file, timeout, abandoned)


def outcome_of(
    make: Make,
    shown: str,
    timeout: float = TIMEOUT,
    abandoned: Callable[[], bool] | None = None,
) -> Outcome:
    """Review what ``make`` reads: it and the gradients that are asked for (``None``: all)."""
    insist_on_time(timeout)
    answer = in_child(work_of(make, shown), shown, timeout, abandoned)
    return outcome_from(answer)


def insist_on_time(timeout: float) -> None:
    if not timeout > 0:
        raise InputError("the time limit must be more than nothing: --timeout 60")


def work_of(make: Make, shown: str) -> Callable[[Intact], Mapping[str, Any]]:
    """What a child process has to do for a review: read, judge, and take the result apart."""

    def work(intact: Intact) -> Mapping[str, Any]:
        handwritten, only = make()
        replaced = intact.restore()
        if replaced:
            note = f"it replaces {', '.join(replaced[:3])}: the review uses the originals"
            handwritten = dataclasses.replace(handwritten, notes=(*handwritten.notes, note))
        found = review(handwritten, only=only)
        intact.insist(shown)
        return dataclasses.asdict(found)

    return work


def outcome_from(answer: Answer) -> Outcome:
    """The outcome that a child has sent."""
    return Outcome(_review(answer.result), answer.printed)


def _review(found: Mapping[str, Any]) -> Review:
    """The review that ``dataclasses.asdict`` took apart."""
    gradients = tuple(_gradient(g) for g in found["gradients"])
    return Review(**{**found, "gradients": gradients, "notes": tuple(found["notes"])})


def _gradient(found: Mapping[str, Any]) -> Gradient:
    return Gradient(**{**found, "causes": tuple(_cause(c) for c in found["causes"])})


def _cause(found: Mapping[str, Any]) -> Cause:
    span = found.get("span")
    return Cause(**{**found, "span": tuple(span) if span is not None else None})
