"""Hints on an exercise: the review's own, and for a blank what can be said before it is filled."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ..emit.listing import names_in
from .check import Result
from .examples import EXAMPLES
from .exercise import Exercise
from .worksheet import blanks

if TYPE_CHECKING:
    from ..review import Gradient

LEVELS = ("where", "which idea", "a small example", "the line")


def hint(result: Result, gradient: Gradient, level: int) -> str:
    """One of four hints on a gradient; level 1 says least."""
    exercise = result.exercise
    if level == len(LEVELS):
        return gradient.hint(level) if _mended(gradient) else _solution(exercise, gradient.name)
    if gradient.verdict != "missing":
        return gradient.hint(level)
    if level == 1:
        return _readers(exercise, gradient)
    if level == 2:
        return exercise.idea
    return _example(exercise, gradient)


def _mended(gradient: Gradient) -> bool:
    """Whether the review has a line that mends what was written."""
    return gradient.verdict != "missing" and bool(gradient.causes and gradient.causes[0].fix)


def _example(exercise: Exercise, gradient: Gradient) -> str:
    """The operator that reads the value, on numbers small enough to follow."""
    if exercise.form == "longhand":
        for node in exercise.derivation.captured.program.nodes():
            if node.op in EXAMPLES and any(v.name == gradient.of for v in node.operands()):
                return EXAMPLES[node.op]
    return f"Write it for one entry of {gradient.of} first: {_entry(exercise, gradient)}"


def _readers(exercise: Exercise, gradient: Gradient) -> str:
    """Who reads the value: its gradient is the sum over them."""
    if exercise.form == "shorthand":
        return (
            f"Line {gradient.line}. Write out the longhand on paper, from the last line back to "
            f"{gradient.of}; then put each gradient into the next one and take terms together."
        )
    program = exercise.derivation.captured.program
    found = [
        step.source
        for step in program.steps
        if any(v.name == gradient.of for node in step.nodes for v in node.operands())
    ]
    lines = list(dict.fromkeys(found))
    if not lines:
        return f"Line {gradient.line}: {gradient.of} is what the forward pass returns."
    said = f"Line {gradient.line}. {gradient.of} is read "
    said += "here:" if len(lines) == 1 else f"in {len(lines)} places, and each sends a part:"
    return "\n".join([said, *(f"    {line}" for line in lines)])


def _entry(exercise: Exercise, gradient: Gradient) -> str:
    shapes = {b.name: b.shape for b in blanks(exercise.derivation)}
    shape = shapes.get(gradient.name, ())
    what = f"it has shape {list(shape)}" if shape else "it is one number"
    return f"{what}. Which entries of what comes after depend on that one, and by how much each?"


def _solution(exercise: Exercise, name: str) -> str:
    """The statements of the solution that write a gradient, and helpers that only they read."""
    return "\n".join(solved(exercise, name))


def solved(exercise: Exercise, name: str) -> list[str]:
    """The solution's statements for one gradient, each on a line of its own."""
    names = {b.name for b in blanks(exercise.derivation)}
    body = ast.parse("\n".join(exercise.solution)).body
    needed, kept = {name}, []
    for statement in reversed(body):
        text = ast.unparse(statement)
        target, _, value = text.partition(" = ")
        if needed & names_in([target]):
            kept.append(text)
            needed |= {n for n in names_in([value]) if n not in names and n.startswith("d")}
    return kept[::-1]
