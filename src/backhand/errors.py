"""What backhand raises when a request cannot be carried out.

Every error is one message that stands alone: what failed, on which of the user's lines, and what to
write instead. The command line prints it without a traceback and ends with exit status 2.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's source: file, line (1-based) and the statement found there."""

    file: str
    line: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class BackhandError(Exception):
    """Base of everything backhand raises on purpose."""


class InputError(BackhandError):
    """The request itself is wrong: a missing file, a wrong shape, an unknown name."""


class LocatedError(BackhandError):
    """An error about one of the user's lines, with the line quoted and a way forward."""

    def __init__(self, message: str, where: Location | None = None, hint: str = "") -> None:
        self.message = message
        self.where = where
        self.hint = hint
        lines = [message]
        if where is not None:
            lines.append(f"  {where}: {where.text}" if where.text else f"  {where}")
        if hint:
            lines.append(f"  {hint}")
        super().__init__("\n".join(lines))


class CaptureError(LocatedError):
    """The forward pass cannot be captured as a straight-line program."""


class UnsupportedError(LocatedError):
    """An operator that backhand has no rule for."""


class ProgramError(BackhandError):
    """A program that is not well formed: a bug of backhand's own, never the user's."""
