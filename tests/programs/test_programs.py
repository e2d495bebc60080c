"""The twelve example programs: derived, verified, run at another size, and mostly bit for bit."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch

import backhand
from backhand.capture.target import load_module
from backhand.checking import Report

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(p.stem for p in EXAMPLES.glob("*.py") if p.stem != "article")


def _derived(name: str) -> tuple[backhand.Backprop, object]:
    module = load_module(str(EXAMPLES / f"{name}.py"))
    forward = getattr(module, "forward", None)
    if forward is None:
        classes = [
            c
            for c in vars(module).values()
            if inspect.isclass(c)
            and issubclass(c, torch.nn.Module)
            and c.__module__ == module.__name__
        ]
        forward = classes[-1]()
    return backhand.derive(forward, *module.example_inputs()), module


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    return {name: _derived(name)[0].verify() for name in NAMES}


def test_there_are_twelve() -> None:
    assert len(NAMES) == 12


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong(name: str, reports: dict[str, Report]) -> None:
    report = reports[name]
    assert report.gradients
    assert report.ok, str(report)
    for g in report.gradients:
        assert g.verdict == "exact" or g.why, g
        assert g.plain is None or g.plain.verdict != "wrong", g


def test_at_least_95_percent_are_exact(reports: dict[str, Report]) -> None:
    total = sum(len(r.gradients) for r in reports.values())
    exact = sum(r.count("exact") for r in reports.values())
    assert exact >= 0.95 * total, f"{exact} of {total}"
