"""``backhand report``: where it writes, what it refuses, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report.planted import plant_verdicts

from .conftest import Run


def test_the_page_is_written_once(
    backhand: Run, refused: Callable[..., str], target: str, tmp_path: Path
) -> None:
    ended = backhand("report", target)
    assert (ended.status, ended.out) == (0, "")
    assert ended.err == "wrote report.html: 4 gradients: 4 exact\n"
    page = tmp_path / "report.html"
    text = page.read_text("utf-8")
    assert text.startswith("<!doctype html>") and target in text
    page.write_text("mine", "utf-8")
    assert "report.html exists" in refused("report", target)
    assert "there is no directory no" in refused("report", target, "-o", "no/page.html")
    assert page.read_text("utf-8") == "mine"
    assert backhand("report", target, "--force").status == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_a_wrong_gradient_decides_the_exit_status(
    backhand: Run, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_verdicts(monkeypatch)
    ended = backhand("report", target, "-o", "page.html")
    assert ended.status == 1 and "1 WRONG" in ended.err
    assert (tmp_path / "page.html").exists()
