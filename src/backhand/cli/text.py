"""Text for the terminal and for files: echoed text carries no escapes, nothing is overwritten."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from ..files import replace_file

# A terminal's control sequences, whole: CSI (colours, cursor), OSC (titles, links), short ones.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-Z\\^-~]"
)


def clean(text: str) -> str:
    """The text without terminal escapes and control characters (newlines and tabs stay)."""
    text = _ESCAPES.sub("", text)
    return "".join(ch if ch in "\n\t" or ch.isprintable() else "�" for ch in text)


def silence_stdout() -> None:
    """Let what is still printed go nowhere: the reader of our output went away (``| head``)."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def check_output(path: str, force: bool) -> Path:
    """The path of a file that may be written; refuses to overwrite without ``force``."""
    if not path:
        raise InputError("the output file has no name: give one after -o")
    if "\0" in path:
        raise InputError("the name of the output file holds a NUL character")
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"{path} is a directory: give a file name")
        # a pipe or a device holds nothing that could be lost
        if os.path.lexists(target) and not force and not _is_channel(target):
            raise InputError(f"{path} exists: choose another name, or overwrite it with --force")
        if not target.parent.is_dir():
            raise InputError(f"there is no directory {target.parent}")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return target


def write_file(path: str, text: str, force: bool) -> None:
    """Write a new file whole or not at all; refuses to overwrite without ``force``."""
    target = check_output(path, force)
    try:
        if _is_channel(target):
            # replacing a device's name by a file would break it for everybody
            target.write_text(text, encoding="utf-8")
        else:
            replace_file(target.resolve(), text.encode())  # through a link, to what it points to
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None


def _is_channel(path: Path) -> bool:
    """Whether a path is there and is neither a file nor a directory: a device, pipe or socket."""
    return path.exists() and not path.is_file() and not path.is_dir()


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
