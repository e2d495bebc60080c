"""Verdicts that no derivation gives by itself: the page has to show them all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backhand.api import running
from backhand.checking import Comparison, Report

PLANTED = {
    "dy": Comparison("wrong", 0.5, 9, "differs by more than rounding"),
    "dx": Comparison("close", 1e-9, 1),
}


def plant_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every check finds ``dy`` wrong and ``dx`` close."""
    verify = running.verify

    def planted(*args: Any) -> Report:
        found = verify(*args)
        judged = [
            replace(g, result=PLANTED[g.name], why=PLANTED[g.name].why) if g.name in PLANTED else g
            for g in found.gradients
        ]
        return replace(found, gradients=tuple(judged))

    monkeypatch.setattr(running, "verify", planted)
