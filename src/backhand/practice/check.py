"""A worksheet of an exercise, judged: what is right, what is wrong, what is still to be written."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, short_path
from . import curriculum
from .exercise import Exercise

if TYPE_CHECKING:
    from ..review import Gradient, Handwritten, Review

# A worksheet says in its docstring which exercise it is of.
_MARK = "backhand practice check "
_MARKED = re.compile(re.escape(_MARK) + r"(\w+)")


@dataclass(frozen=True)
class Result:
    """What a check found. ``wanted`` are the gradients' names in the order of the blanks."""

    exercise: Exercise
    review: Review
    wanted: tuple[str, ...]
    notes: tuple[str, ...] = ()
    printed: str = ""

    @property
    def passed(self) -> bool:
        """Whether every gradient that the exercise asks for is there and right."""
        right = {g.name for g in self._final() if g.ok}
        return self.review.ok and right >= set(self.wanted)

    def _final(self) -> list[Gradient]:
        return [g for g in self.review.gradients if g.last]

    def right(self) -> list[Gradient]:
        return [g for g in self._final() if g.ok]

    def missing(self) -> list[Gradient]:
        return [g for g in self._final() if g.verdict == "missing"]

    def wrong(self) -> list[Gradient]:
        """What was written and is not right, in the order of the blanks: causes come first."""
        order = {name: i for i, name in enumerate(self.wanted)}
        found = [g for g in self._final() if not g.ok and g.verdict != "missing"]
        return sorted(found, key=lambda g: order.get(g.name, len(order)))

    def next(self) -> Gradient | None:
        """The gradient to work on: the first that is wrong by itself, else the first blank."""
        own = [g for g in self.wrong() if not g.verdict.startswith("inherits")]
        order = {name: i for i, name in enumerate(self.wanted)}
        blank = sorted(self.missing(), key=lambda g: order.get(g.name, len(order)))
        found = [*own, *self.wrong(), *blank]
        return found[0] if found else None

    def without_blanks(self) -> Review:
        """The review of what was written."""
        written = tuple(g for g in self.review.gradients if g.verdict != "missing")
        return replace(self.review, gradients=written)


def mark(exercise: Exercise) -> str:
    """The line of a worksheet's docstring that says which exercise it is of."""
    return f"Check it with: {_MARK}{exercise.name}"


def exercise_of(path: Path) -> Exercise:
    """The exercise that a worksheet is of; raises ``InputError`` for any other file."""
    from ..review.sources.cells import read_text

    name = short_path(path)
    found = _MARKED.search(read_text(name))
    if found is None or found[1] not in curriculum.ORDER:
        raise InputError(
            f"{name} is not a worksheet of an exercise: backhand check {name} reviews any file"
        )
    return curriculum.exercise(found[1])


def check(
    path: Path,
    exercise: Exercise,
    timeout: float | None = None,
    abandoned: Callable[[], bool] | None = None,
) -> Result:
    """Judge a worksheet against the exercise's own forward pass, whatever the file has now.

    The worksheet runs in a child process; ``printed`` is what it printed. ``abandoned`` says when
    the answer is not wanted any more.
    """
    from ..review.isolated import TIMEOUT
    from ..review.outcome import outcome_of
    from ..review.settings import settings_for
    from ..review.sources.load import load

    forward, inputs, name = exercise.forward, exercise.inputs, short_path(path)
    wanted = tuple(blank.name for blank in exercise.wanted)
    # known before the child starts, and for the next check as well
    settings_for(forward, inputs)

    def make() -> tuple[Handwritten, tuple[str, ...]]:
        handwritten = load(name)
        return replace(handwritten, forward=forward, inputs=inputs), wanted

    outcome = outcome_of(make, name, TIMEOUT if timeout is None else timeout, abandoned)
    notes = (
        ("the forward pass in the worksheet was changed: what counts is the exercise's own",)
        if _changed(name, exercise)
        else ()
    )
    return Result(exercise, outcome.review, wanted, notes, outcome.printed)


def _changed(file: str, exercise: Exercise) -> bool:
    """Whether the worksheet's forward pass or inputs differ from the exercise's."""
    from ..review.sources.cells import parse, read_text

    def functions(text: str) -> dict[str, str]:
        return {
            node.name: ast.dump(node)
            for node in parse(text, file).body
            if isinstance(node, ast.FunctionDef) and node.name != "backward"
        }

    theirs = functions(read_text(file))
    return any(theirs.get(name) != text for name, text in functions(exercise.source).items())
