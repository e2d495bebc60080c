"""Pages opened from disk in the system's Chromium, with what they did noted.

A ``conftest.py`` beside tests of pages imports ``chromium``; a test opens pages with ``visit``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Milliseconds in which something has to appear: a busy machine, too, makes a search index in that.
expect.set_options(timeout=60_000)
# What a page on disk may load: itself, and what it makes or holds.
LOCAL = ("file:", "data:", "blob:", "about:")


@dataclass
class Visit:
    """A page that is open, with every address it asked for and every error on its console."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        """The addresses asked for that are not on this disk."""
        return [url for url in self.requests if not url.startswith(LOCAL)]

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        wider: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider


def find_chromium() -> str:
    """The path of an installed Chromium or Chrome."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    pytest.fail(
        f"these tests open pages in a browser, and there is none of {', '.join(NAMES)}: "
        "`make browser` installs one",
        pytrace=False,
    )


# Of a module and not of the session: while it is open its event loop counts as running, and tests
# that start a loop of their own (notebook kernels) could not.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless browser without a network."""
    options: dict[str, Any] = {"args": ["--no-sandbox"] if os.geteuid() == 0 else []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), **options)
        yield browser
        browser.close()


@contextmanager
def visit(chromium: Browser, path: Path, width: int = 1280, **context: Any) -> Iterator[Visit]:
    """Open a file; ``context`` goes to Playwright (``color_scheme="dark"``, …)."""
    opened = chromium.new_context(
        viewport={"width": width, "height": 900}, offline=True, **context
    )
    page = opened.new_page()
    seen = Visit(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on(
        "console",
        lambda message: seen.errors.append(message.text) if message.type == "error" else None,
    )
    page.goto(path.as_uri())
    yield seen
    opened.close()


__all__ = ["Visit", "chromium", "find_chromium", "visit"]
