"""The command line in a folder of its own, with progress of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import backhand, refused, target, write

__all__ = ["backhand", "refused", "state", "target", "write"]


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("BACKHAND_STATE_HOME", str(folder))
    return folder


def fill(path: Path, lines: dict[str, str]) -> None:
    """Write expressions into a worksheet's blanks."""
    text = path.read_text()
    for name, value in lines.items():
        before = [line for line in text.splitlines() if line.startswith(f"    {name} = ")]
        assert len(before) == 1, name
        text = text.replace(before[0], f"    {name} = {value}")
    path.write_text(text)


MATMUL = {"dy": "dout @ c.T", "dc": "y.T @ dout", "da": "dy @ b.T", "db": "a.T @ dy"}
