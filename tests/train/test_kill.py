"""A run that is killed and gone on with ends as if nothing had happened, bit for bit."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

SITE = Path(__file__).with_name("kill_site.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def site(*arguments: object) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, str(SITE), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, int] = json.loads(done.stdout)
    return seen


def test_twenty_kills_at_random_instants(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    seen = site("kills", tmp_path, 20, seed)
    assert seen["kills"] == 20
    assert seen["damaged"] == 0
    assert seen["lost"] <= 20  # the steps between checkpoints
    # Otherwise the instants were not spread over the run, and the rest shows nothing.
    assert seen["midway"] >= 5


def test_a_kill_at_every_call_that_touches_the_disk(tmp_path: Path) -> None:
    # Four checkpoints, eight calls each, and two files removed at each of the last two.
    assert site("calls", tmp_path)["calls"] == 4 * 8 + 2 * 2
