"""Narrow terminals, poor encodings, and a tour that must not cost anybody a run."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from backhand.train import stop

from .conftest import Run, Write

FORWARD = """\
import torch

def example_inputs():
    return (torch.ones(4, 3),)

def f(x):
    größe = torch.tanh(x)
    return größe.sum()
"""


@pytest.mark.parametrize("columns", ["0", "40", "60", "120"])
def test_names_and_verdicts_are_whole_at_any_width(
    backhand: Run, write: Write, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    write("t.py", FORWARD)
    monkeypatch.setenv("COLUMNS", columns)
    out = backhand("verify", "t.py:f").out
    for name in ("dloss", "dgröße", "dx"):
        assert any(line.split()[0:1] == [name] and "exact" in line for line in out.splitlines())
    assert max(map(len, out.splitlines())) <= (int(columns) or 80)


def test_what_an_encoding_lacks_is_spelled_out_in_tables_and_never_in_source(
    backhand: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("t.py", FORWARD)
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert backhand("verify", "t.py:f").status == 0
    sys.stdout.flush()
    assert b"4x3" in shown.getvalue()
    assert b"dgr\\xf6" in shown.getvalue()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    ended = backhand("derive", "t.py:f")
    assert ended.status == 2
    assert "the output's encoding (ascii) has no 'ö': write to a file with -o FILE" in ended.err
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    ended = backhand("explain", "t.py:f", "--format", "latex")
    assert ended.status == 2 and "the output's encoding (ascii) has no " in ended.err


def test_the_tour_replaces_no_run_of_yours(backhand: Run, tmp_path: Path) -> None:
    run = ("train", "--steps", "5", "--hidden", "4", "--samples", "0", "--out", "mine")
    assert backhand(*run).status == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "mine").glob("checkpoint-*")}
    ended = backhand("tour", "--out", "mine")
    assert ended.status == 2
    assert ended.out == ""
    assert "mine holds a run at step 5" in ended.err
    assert {p.name: p.read_bytes() for p in (tmp_path / "mine").glob("checkpoint-*")} == before


def test_the_tour_replaces_no_page_of_yours(backhand: Run, write: Write) -> None:
    page = write("mine/report.html", "mine")
    ended = backhand("tour", "--out", "mine")
    assert (ended.status, ended.out) == (2, "")
    assert "mine/report.html exists" in ended.err
    assert page.read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("called", "found", "typed"),
    [
        ("/usr/bin/backhand", "/usr/bin/backhand", "backhand"),
        (".venv/bin/backhand", None, ".venv/bin/backhand"),
        ("my env/bin/backhand", None, "'my env/bin/backhand'"),
        ("/lib/backhand/__main__.py", None, f"{sys.executable} -m backhand"),
        ("/bin/pytest", None, "backhand"),
    ],
)
def test_advice_is_spelled_as_the_program_was_called(
    monkeypatch: pytest.MonkeyPatch, called: str, found: str | None, typed: str
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setattr(stop.shutil, "which", lambda name: found)
    assert stop.program() == typed
    assert stop.go_on("a b") == f"{typed} train --resume --out 'a b'"
