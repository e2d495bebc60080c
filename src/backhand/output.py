"""Text that leaves the program: it carries no terminal escapes, and no file is overwritten."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import InputError
from .files import replace_file

# A terminal's control sequences, whole: CSI (colours, cursor), OSC (titles, links), short ones.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-Z\\^-~]"
)

# Of most text nothing has to be looked at: a page has millions of characters.
_UNUSUAL = re.compile(r"[^\n\t -~]")


def clean(text: str) -> str:
    """The text without terminal escapes and control characters (newlines and tabs stay)."""
    text = _ESCAPES.sub("", text)
    return _UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else "�", text)


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


__all__ = ["check_output", "clean", "write_file"]
