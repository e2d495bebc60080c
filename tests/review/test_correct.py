"""Right backward passes, however they are written: no alarm."""

from __future__ import annotations

import pytest
import torch

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


TABLE = torch.linspace(-1, 1, 12).view(3, 4)


def _mixed(x: torch.Tensor) -> torch.Tensor:
    """Tensors that the code has of its own, in single precision by what it says."""
    y = x @ TABLE
    mask = (y > 0).float()
    held = torch.zeros(4, 4, dtype=torch.float32)
    held[:, 0] = 2
    z = (y * mask) @ (held + torch.eye(4, dtype=torch.float32))
    return (z * z).sum()


def test_tensors_of_the_file_follow_into_double_precision() -> None:
    lines = """\
        dz = 2 * z
        turned = torch.eye(4, dtype=torch.float32)
        turned[:, 0] += 2
        dy = dz @ turned.T * (y > 0).float()
        dx = back(dy) @ tables[0].T
    """
    helpers = {"tables": [TABLE], "back": lambda g: g @ torch.eye(4, dtype=torch.float32)}
    outcome = review(handmade(_mixed, lines, (torch.randn(5, 3),), helpers))
    assert outcome.ok and len(outcome.gradients) == 3, str(outcome)
    off = lines.replace("2 * z", "2.000001 * z")
    outcome = review(handmade(_mixed, off, (torch.randn(5, 3),), helpers))
    assert [g.name for g in outcome.gradients if g.local_verdict == "wrong"] == ["dz"]
