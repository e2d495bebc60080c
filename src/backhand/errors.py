"""What backhand raises when a request cannot be carried out.

Every error is one message that stands alone: what failed, on which of the user's lines, and what to
write instead. The command line prints it without a traceback and ends with exit status 2.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


OWN_FAULT = (
    "this is a fault of backhand's own, not of your code: please report it, with the traceback "
    "that --debug shows"
)


class InternalError(LocatedError):
    """Something failed inside backhand while it worked on one of the user's lines."""

    def __init__(self, doing: str, cause: BaseException, where: Location | None = None) -> None:
        said = f"{type(cause).__name__}: {first_line(cause)}"
        super().__init__(f"{doing} failed: {said}", where, OWN_FAULT)


@contextmanager
def own_faults(doing: str, where: Location | None) -> Iterator[None]:
    """Around work of backhand's own: what fails there without a refusal is not the user's doing.

    The ``InternalError`` raised has the original error as its cause.
    """
    try:
        yield
    except BackhandError:
        raise
    except Exception as error:
        if out_of_memory(error):
            said = f"{doing} takes more memory than there is: try smaller sizes"
            raise InputError(said) from error
        raise InternalError(doing, error, where) from error


def first_line(error: BaseException, default: str = "no message") -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [default])[0]


def short_path(path: str | os.PathLike[str]) -> str:
    """A file's name as people write it: relative where that is short."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # on another drive
        return str(path)
    return relative if not relative.startswith("..") else str(path)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch has several ways of saying it."""
    said = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in said
        or "out of memory" in said
    )
