"""Right backward passes, however they are written: no alarm."""

from __future__ import annotations

import pytest

from backhand.review import review

from .handmade import handmade
from .networks import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_a_right_backward_pass_raises_no_alarm(name: str) -> None:
    network = NETWORKS[name]
    found = review(handmade(network.forward, network.text, network.inputs))
    assert found.ok
    assert {g.verdict for g in found.gradients} <= {"exact", "close"}, str(found)
    assert not any(g.causes for g in found.gradients)
