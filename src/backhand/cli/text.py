"""Text for the terminal: its encoding, its reader who may go away, sizes that were typed."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ..errors import InputError
from ..output import check_output, clean, write_file


def silence_stdout() -> None:
    """Let what is still printed go nowhere: the reader of our output went away (``| head``)."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def parse_sizes(text: str | None) -> dict[str, int]:
    """``"n=32,d=64"`` as sizes by name."""
    sizes: dict[str, int] = {}
    for piece in (text or "").split(","):
        if not piece.strip():
            continue
        name, _, value = (part.strip() for part in piece.partition("="))
        if not name.isidentifier() or not (value.isascii() and value.isdecimal()):
            raise InputError(f"--at {piece.strip()!r} is not understood: write --at n=32,d=64")
        if name in sizes:
            raise InputError(f"--at gives {name} twice")
        if len(value) > 12:
            raise InputError(f"--at {piece.strip()!r}: no tensor has an axis that long")
        sizes[name] = int(value)
    return sizes


def check_encoding(text: str) -> None:
    """Text is written as it is or not at all: no letter or sign may be replaced."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        raise InputError(
            f"the output's encoding ({encoding}) has no {text[error.start]!r}: write to a file "
            "with -o FILE, or set PYTHONIOENCODING=utf-8"
        ) from None


__all__ = [
    "check_encoding",
    "check_output",
    "clean",
    "parse_sizes",
    "silence_stdout",
    "write_file",
]
