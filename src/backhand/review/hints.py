"""Hints, one at a time: where, which idea, the idea on a small case with numbers, the line."""

from __future__ import annotations

import textwrap

from .catalogue import CATALOGUE
from .result import Gradient


def hint(gradient: Gradient, level: int) -> str:
    """Level 1 says where, 2 which idea, 3 shows it with numbers, 4 gives the line."""
    if gradient.ok and not gradient.causes:
        return f"{gradient.name} is {gradient.verdict}: there is nothing to mend."
    if not gradient.causes:
        return f"{gradient.name} {gradient.verdict}: mend that first."
    cause = gradient.causes[0]
    entry = CATALOGUE[cause.code]
    if level <= 1:
        line = cause.line or gradient.line
        cell = f" of {gradient.where}" if gradient.where else ""
        where = f"Look at line {line}{cell}" if line else f"Look for {gradient.name}"
        text = textwrap.dedent(gradient.text).strip()
        return f"{where}: {text}" if text else f"{where}."
    if level == 2:
        return entry.idea
    if level == 3:
        return entry.example
    if not cause.fix:
        return f"{cause.message}."
    return f"{cause.message}:\n{textwrap.indent(cause.fix, '    ')}"
