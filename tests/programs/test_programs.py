"""The twelve example programs: derived, verified, run at another size, and mostly bit for bit."""

from __future__ import annotations

import pytest

from backhand.checking import Report
from tests.programs.loading import PROGRAMS, derived


@pytest.fixture(scope="module")
def reports() -> dict[str, tuple[Report, Report]]:
    """Each program verified at its example's sizes, and at another batch size."""
    found = {}
    for name in PROGRAMS:
        bp, module = derived(name)
        found[name] = bp.verify(), bp.verify(*module.example_inputs(n=5))
    return found


def test_there_are_twelve() -> None:
    assert len(PROGRAMS) == 12


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_is_wrong(name: str, reports: dict[str, tuple[Report, Report]]) -> None:
    for report in reports[name]:
        assert report.gradients
        assert report.ok, str(report)
        for g in report.gradients:
            assert g.result.discriminates, f"{g.name} is zero everywhere: a poor example"
            assert g.verdict == "exact" or g.why, g
            assert g.plain is None or g.plain.verdict != "wrong", g


@pytest.mark.parametrize("name", PROGRAMS)
def test_another_batch_size_runs_on_the_same_derivation(name: str) -> None:
    bp, module = derived(name)
    assert bp.specialised(module.example_inputs(n=5), {}) is bp


def test_at_least_95_percent_are_exact(reports: dict[str, tuple[Report, Report]]) -> None:
    both = [report for pair in reports.values() for report in pair]
    total = sum(len(r.gradients) for r in both)
    exact = sum(r.count("exact") for r in both)
    assert exact >= 0.95 * total, f"{exact} of {total}"
