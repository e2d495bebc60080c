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
    """Why a gradient is wrong: a code of the catalogue, a sentence that stands alone, the mend.

    ``line`` is the line to blame and ``span`` the part of its text (start and end).
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
    """One attempt at one gradient. ``verdict`` is of the person's own run, ``local_verdict`` of
    the line with the true upstream put in.
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
    """The outcome. ``ok`` is false as soon as one gradient that counts is not right."""

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
