"""Commands run in process, and pages opened in a browser."""

from __future__ import annotations

from tests.browser import chromium
from tests.cli.conftest import backhand

__all__ = ["backhand", "chromium"]
