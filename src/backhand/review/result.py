"""What a review says: per gradient a verdict, and the causes of what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

EXACT, CLOSE, WRONG = "exact", "close", "wrong"
WRONG_SHAPE, MISSING = "wrong shape", "missing"
FINE = frozenset({EXACT, CLOSE})
# Why a gradient is close that follows another choice than autograd's among tied entries.
CONVENTION = "follows from another choice at the ties of a maximum, which is as good"


@dataclass(frozen=True)
class Cause:
    """Why a gradient is wrong.

    Attributes:
        code: Its code in the catalogue of causes.
        message: A sentence that stands alone.
        fix: The mended line, where there is one to tell.
        line: The line to blame, counted from 1.
        span: The part of its text to blame (start and end).
    """

    code: str
    message: str
    fix: str = ""
    line: int = 0
    span: tuple[int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "fix": self.fix}


@dataclass(frozen=True)
class Gradient:
    """One attempt at one gradient.

    Attributes:
        name: The gradient's name: ``dx``.
        of: The forward value's name: ``x``.
        line: The line it is written on, counted from 1.
        verdict: What it is in the person's own run: ``exact``, ``close``, ``wrong``, ``wrong
            shape``, ``missing``, ``partial (1 of 2 uses)`` or ``inherits from dy``.
        local_verdict: What the line is by itself, with the true upstream put in.
        causes: Why it is wrong; none where it only inherits an error.
        text: The line.
        where: The cell of a notebook that it stands in.
        why: Why it is not exact, where that is no mistake.
        last: Whether it is the last attempt at this gradient, the one that counts.
        discriminates: Whether the numbers could tell right from wrong.
        ok: Whether it is exact or close.
    """

    name: str
    of: str
    line: int
    verdict: str
    local_verdict: str
    causes: tuple[Cause, ...] = ()
    text: str = ""
    where: str = ""
    why: str = ""
    last: bool = True
    discriminates: bool = True

    @property
    def ok(self) -> bool:
        return self.verdict in FINE

    @property
    def by_convention(self) -> bool:
        """Whether it differs from autograd's by the choice at ties alone."""
        ties = any(c.code == "ties" for c in self.causes)
        return self.verdict == CLOSE and (ties or self.why == CONVENTION)

    def hint(self, level: int) -> str:
        """One of four hints: where, which idea, the idea with numbers, the line."""
        from .hints import hint

        return hint(self, level)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "line": self.line,
            "verdict": self.verdict,
            "local_verdict": self.local_verdict,
            "causes": [c.as_json() for c in self.causes],
            "why": self.why,
        }


@dataclass(frozen=True)
class Review:
    """The outcome of a review; ``str`` is what ``backhand check`` prints.

    Attributes:
        file: What was reviewed.
        gradients: Every attempt at a gradient, in the order in which they stand.
        notes: What was noticed besides.
        ok: False as soon as one gradient that counts is not right.
    """

    file: str
    gradients: tuple[Gradient, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return all(g.ok for g in self.gradients if g.last)

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "ok": self.ok,
            "gradients": [g.as_json() for g in self.gradients],
        }

    def __str__(self) -> str:
        from .text import review_text

        return review_text(self)
