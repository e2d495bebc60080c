"""Texts that are kept in files, which people read and tests hold against what is made today.

    BACKHAND_GOLDEN=write .venv/bin/python -m pytest tests/programs/test_golden.py …

writes those of the tests that are run anew; what has changed is then to be read in the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "golden"


def kept(file: str, text: str) -> str:
    """The text that is kept in a file, after writing ``text`` there where that is asked for."""
    path = FOLDER / file
    if os.environ.get("BACKHAND_GOLDEN") == "write":
        path.write_text(text, "utf-8")
    return path.read_text("utf-8")
