"""One report of the article's network, and a browser, for all tests of pages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import backhand
from backhand.report import Page
from tests.browser import chromium

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import article


@pytest.fixture(scope="session")
def article_report() -> Page:
    bp = backhand.derive(article.forward, *article.example_inputs(32, 64))
    return bp.report(target="examples/article.py:forward")


@pytest.fixture(scope="session")
def article_page(article_report: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The article's report on disk."""
    path = tmp_path_factory.mktemp("article") / "report.html"
    article_report.write(str(path))
    return path


__all__ = ["article_page", "article_report", "chromium"]
