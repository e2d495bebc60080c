"""The worksheet of an exercise."""

from __future__ import annotations

import textwrap

from ..emit.layout import WIDTH
from .check import mark
from .exercise import Exercise
from .worksheet import upstreams, worksheet_text


def exercise_worksheet(exercise: Exercise) -> str:
    """A worksheet with nothing filled in."""
    bp, wanted = exercise.derivation, exercise.wanted
    lines = [str(blank) for blank in wanted]
    asked = "Fill in the blank" + ("s" if len(wanted) > 1 else "")
    asked += ", in one line:" if exercise.form == "shorthand" else ":"
    first = wanted[0]
    up = upstreams(bp)[0]
    said = (
        f"{asked} {first.name} is the gradient of {first.of} and has its shape. {up} is the "
        "gradient of what forward returns."
    )
    note = "\n\n".join(
        [exercise.title, *(textwrap.fill(t, WIDTH) for t in (exercise.idea, said)), mark(exercise)]
    )
    return worksheet_text(note, exercise.code, bp, lines)
