"""Every mistake of the catalogue, planted in networks where it can occur, is named, and no other."""

from __future__ import annotations

import pytest
import torch

from backhand.review import Gradient, Review, review

from .cases import CASES, Case
from .handmade import handmade
from .networks import NETWORKS


def found(case: Case) -> Review:
    network = NETWORKS[case.network]
    assert network.text.count(case.old) == 1, f"{case.old!r} is not one place of {case.network}"
    text = network.text.replace(case.old, case.new)
    return review(handmade(network.forward, text, network.inputs))


def blamed(outcome: Review) -> list[Gradient]:
    """What is wrong itself."""
    return [g for g in outcome.gradients if g.causes and g.last]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.row}-{c.code}-{c.network}-{c.blamed}")
def test_the_mistake_is_named_and_no_other(case: Case) -> None:
    outcome = found(case)
    named = [(g.name, [c.code for c in g.causes]) for g in blamed(outcome)]
    assert named == [(case.blamed, [case.code])], str(outcome)
    assert outcome.ok == (case.code == "false-comment")


def test_ties_are_a_convention() -> None:
    network = NETWORKS["pooled"]
    x = torch.tensor([[3.0, 3.0, 1.0], [2.0, 5.0, 4.0]])
    inputs = (x, torch.ones(3), torch.zeros(2, 1))
    outcome = review(handmade(network.forward, network.text, inputs))
    assert outcome.ok
    assert [(g.name, g.verdict, [c.code for c in g.causes]) for g in blamed(outcome)] == [
        ("dy", "close", ["ties"])
    ]
