"""Right backward passes, however they are written: no alarm."""

from __future__ import annotations

import pytest

from backhand.review import Review, review

from .handmade import handmade
from .networks import NETWORKS
from .variants import VARIANTS


def judged(name: str, text: str) -> Review:
    network = NETWORKS[name]
    return review(handmade(network.forward, text, network.inputs))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_right_backward_pass_raises_no_alarm(name: str) -> None:
    outcome = judged(name, NETWORKS[name].text)
    assert outcome.ok
    assert {g.verdict for g in outcome.gradients} <= {"exact", "close"}, str(outcome)
    assert not any(g.causes for g in outcome.gradients)


def test_there_are_sixty_other_ways_to_be_right() -> None:
    assert len(VARIANTS) + len(NETWORKS) >= 60


@pytest.mark.parametrize(("name", "old", "new"), VARIANTS)
def test_another_way_to_be_right_raises_no_alarm(name: str, old: str, new: str) -> None:
    text = NETWORKS[name].text
    assert text.count(old) == 1, f"{old!r} is not one place of {name}"
    outcome = judged(name, text.replace(old, new))
    assert outcome.ok, str(outcome)
    assert not any(g.causes for g in outcome.gradients), str(outcome)
