"""Text for the terminal and for files: nothing echoed may carry escapes, nothing gets overwritten."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..errors import InputError


def clean(text: str) -> str:
    """The text without control characters (newlines and tabs stay): echoed text cannot act."""
    return "".join(ch if ch in "\n\t" or ch.isprintable() else "�" for ch in text)


def write_file(path: str, text: str, force: bool) -> None:
    """Write a new file whole or not at all; refuses to overwrite without ``force``."""
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{path} is a directory: give a file name")
    if target.exists() and not force:
        raise InputError(f"{path} exists: choose another name, or overwrite it with --force")
    parent = target.parent
    if not parent.is_dir():
        raise InputError(f"there is no directory {parent}")
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def parse_sizes(text: str | None) -> dict[str, int]:
    """``"n=32,d=64"`` as sizes by name."""
    sizes: dict[str, int] = {}
    for piece in (text or "").split(","):
        if not piece.strip():
            continue
        name, _, value = (part.strip() for part in piece.partition("="))
        if not name.isidentifier() or not value.isdigit():
            raise InputError(f"--at {piece.strip()!r} is not understood: write --at n=32,d=64")
        sizes[name] = int(value)
    return sizes
