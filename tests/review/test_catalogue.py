"""Every mistake of the catalogue, planted where it can occur, is named, and no other."""

from __future__ import annotations

import pytest
import torch

from backhand.review import review
from backhand.review.catalogue import CATALOGUE
from docs.build_causes import PAGE, blamed, example_text, examples, found

from .cases import CASES, OTHERS, Case
from .handmade import handmade
from .networks import NETWORKS


@pytest.mark.parametrize(
    "case", (*CASES, *OTHERS), ids=lambda c: f"{c.row}-{c.code}-{c.network}-{c.blamed}"
)
def test_the_mistake_is_named_and_no_other(case: Case) -> None:
    outcome = found(case)
    named = [(g.name, [c.code for c in g.causes]) for g in blamed(outcome)]
    assert named == [(case.blamed, [case.code])], str(outcome)
    assert outcome.ok == (case.code == "false-comment")
    if case in examples().values():
        cause = next(g.causes[0] for g in blamed(outcome))
        assert example_text(case, cause) in PAGE.read_text("utf-8")


def test_every_cause_has_an_example_and_every_row_a_case() -> None:
    assert set(CATALOGUE) == {*examples(), "ties"}
    rows = {case.row for case in CASES}
    # ties have inputs of their own, and 36 is no mistake
    assert rows == set(range(1, 36)) - {24}
    page = PAGE.read_text("utf-8")
    for entry in CATALOGUE.values():
        for said in (entry.title, entry.idea, entry.example):
            assert said in page, f"run python -m docs.build_causes: {entry.code}"


def test_ties_are_a_convention() -> None:
    network = NETWORKS["pooled"]
    x = torch.tensor([[3.0, 3.0, 1.0], [2.0, 5.0, 4.0]])
    inputs = (x, torch.ones(3), torch.zeros(2, 1))
    outcome = review(handmade(network.forward, network.text, inputs))
    assert outcome.ok
    assert [(g.name, g.verdict, [c.code for c in g.causes]) for g in blamed(outcome)] == [
        ("dy", "close", ["ties"])
    ]
