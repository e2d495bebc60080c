"""Importing backhand and asking for help are cheap: the heavy libraries stay unloaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import backhand

HEAVY = ("torch", "numpy", "sympy", "matplotlib")
REPORT = f"""
import json, sys
print()
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""

HELP = """
import sys
from backhand.cli import main
sys.argv = ["backhand", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def loaded_by(code: str) -> list[str]:
    """The heavy libraries that a fresh interpreter has loaded after ``code``."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\n{REPORT}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import backhand", id="import"),
        pytest.param("import backhand; dir(backhand); backhand.BackhandError", id="errors"),
        pytest.param(HELP, id="help"),
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert loaded_by(code) == []


def test_the_probe_sees_a_heavy_import() -> None:
    assert loaded_by("import numpy") == ["numpy"]


def test_every_public_name_is_there() -> None:
    assert set(backhand.__all__) <= set(dir(backhand))
    for name in backhand.__all__:
        assert getattr(backhand, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'backwards'"):
        _ = backhand.backwards
