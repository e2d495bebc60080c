"""Hints, one at a time: where, which idea, the idea on a small case with numbers, the line."""

from __future__ import annotations

from .result import Gradient


def hint(gradient: Gradient, level: int) -> str:
    """Level 1 says where, 2 which idea, 3 shows it with numbers, 4 gives the line."""
    if gradient.ok:
        return f"{gradient.name} is {gradient.verdict}."
    if gradient.verdict.startswith("inherits"):
        return f"{gradient.name} {gradient.verdict}: mend that first."
    cause = gradient.causes[0]
    if level <= 1:
        return f"Look at line {cause.line or gradient.line}: {gradient.text.strip()}"
    if level == 2:
        return cause.idea or cause.message
    if level == 3:
        return cause.example or cause.message
    return cause.fix or cause.message
