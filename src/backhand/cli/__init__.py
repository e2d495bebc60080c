"""The command line: argument parsing and rendering only.

Importing this package must stay cheap: torch is loaded by the commands that need it, when they run.
"""

from __future__ import annotations

from .main import main

__all__ = ["main"]
