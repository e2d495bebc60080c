"""The tests that rules bring along: every sample of every rule through every check."""

from __future__ import annotations

import pytest
import torch

from backhand.rules import RULES
from tests.rules.checks import CHECKS, CLOSE, WRONG
from tests.rules.known import DIFFERS, NO_GRADIENT, NO_SECOND, NOT_EXACT, UNSUPPORTED

# Where the exact spelling runs, it is bit for bit autograd's (or known not to be).
BITWISE = frozenset({"gradient", "broadcast", "special", "empty", "captured"})
PAIRS = [(op, check) for op in RULES for check in CHECKS]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("op", "check"), PAIRS, ids=[f"{op}-{check}" for op, check in PAIRS])
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, about odd but legal calls
def test_rule(op, check):
    outcome = CHECKS[check](RULES[op])
    key = (op, check)
    if key in DIFFERS:
        assert outcome.of(WRONG), f"no difference any more ({DIFFERS[key]}): delete the entry"
    else:
        assert not outcome.of(WRONG), outcome.text(WRONG)
    if check in BITWISE and key not in DIFFERS:
        if key in NOT_EXACT:
            assert outcome.of(CLOSE), f"exact by now ({NOT_EXACT[key]}): delete the entry"
        else:
            assert not outcome.of(CLOSE), f"not bit for bit:\n{outcome.text(CLOSE)}"
    if key in UNSUPPORTED:
        assert outcome.unsupported, f"supported by now ({UNSUPPORTED[key]}): delete the entry"
    else:
        assert not outcome.unsupported, outcome.unsupported[0]
    _enough_was_compared(op, check, outcome)


def _enough_was_compared(op, check, outcome):
    """A check that compares nothing would pass whatever the rule says."""
    if check in ("gradient", "plain", "captured", "differences") and op not in NO_GRADIENT:
        assert outcome.compared or (op, check) in UNSUPPORTED, outcome.refused
        assert not outcome.refused, outcome.refused[0]
    if check == "second" and (op, check) not in UNSUPPORTED:
        assert bool(outcome.compared) is (op not in NO_SECOND), outcome.refused
