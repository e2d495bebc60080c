"""A thousand random programs: shorthand is their longhand, and much of it is in closed form."""

from __future__ import annotations

from collections import Counter

import pytest

from .generator import BODY, LOSSES, generate
from .many import run_seeds

STRETCHES = 20
STRETCH = 50
APART = 1_000_000  # so that no two stretches share a seed


@pytest.mark.parametrize("stretch", range(STRETCHES))
def test_shorthand_of_random_programs_is_their_longhand(stretch: int) -> None:
    tally = run_seeds(stretch * APART, STRETCH)
    assert not tally.faults, "\n\n".join(tally.faults)
    assert tally.regions >= STRETCH
    assert tally.told >= tally.programs, "most gradients are zero: nothing was compared"
    assert tally.share >= 0.4, f"{tally.share:.0%} in closed form: {tally.refusals}"
    assert not tally.uncounted, "the operators here all have exact versions"


def test_every_block_occurs() -> None:
    seen = Counter(block for seed in range(500) for block in generate(seed).blocks)
    rare = {b.__name__: seen[b.__name__] for b, _ in (*BODY, *LOSSES) if seen[b.__name__] < 5}
    assert not rare, f"of 500 programs only {rare}"


def test_a_seed_always_makes_the_same_program() -> None:
    for seed in range(50):
        assert generate(seed) == generate(seed)
