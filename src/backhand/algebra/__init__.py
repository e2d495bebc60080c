"""Index notation: expressions in a normal form, and what the program's operators mean in it."""

from __future__ import annotations

from . import read_index  # noqa: F401  (registers its readings)
