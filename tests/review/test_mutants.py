"""Mutants of the article's lines: a sample here, all of them in ``benchmarks/mutants.py``."""

from __future__ import annotations

from .mutant_figures import Figures, changing, judged
from .networks import NETWORKS

SAMPLE = 24


def test_mutants_are_noticed_and_blamed_on_their_line() -> None:
    network = NETWORKS["article"]
    every = list(changing(network))
    assert len(every) >= 500
    step = len(every) // SAMPLE
    figures = judged(network, every[step // 2 :: step], Figures())
    assert figures.detected == figures.total >= SAMPLE
    assert figures.line >= 0.9 * figures.total, figures.faults
    assert figures.cause >= 0.75 * figures.total, figures.faults
    assert figures.wrong_cause <= 1, figures.faults
