"""Running the command line in process, and targets to run it on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from backhand.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status and what it printed."""

    status: object
    out: str
    err: str


Run = Callable[..., Ended]
Write = Callable[[str, str], Path]


@pytest.fixture
def backhand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs one command in an empty directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        shown = capsys.readouterr()
        return Ended(end.value.code, shown.out, shown.err)

    return run


@pytest.fixture
def refused(backhand: Run) -> Callable[..., str]:
    """Runs a command that cannot be carried out: one message on stderr, status 2, no traceback."""

    def run(*arguments: str) -> str:
        ended = backhand(*arguments)
        assert ended.status == 2, ended
        assert ended.out == ""
        assert "Traceback" not in ended.err
        assert "unforeseen" not in ended.err
        return ended.err.strip()

    return run


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file into the directory that commands run in."""

    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return make


FORWARD = """\
import torch

def example_inputs(n=4, d=3):
    return torch.randn(n, d), torch.randn(d, 2)

def forward(x, w):
    y = x @ w
    return (y * y).sum()
"""


@pytest.fixture
def target(write: Write) -> str:
    """A target that is in order."""
    write("model.py", FORWARD)
    return "model.py:forward"
