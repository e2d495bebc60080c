"""The fuzzer itself: faults planted on purpose are found soon, made small, and gone once mended."""

from __future__ import annotations

import time

import pytest

from .check import CLOSELY, EXACTLY, judge, judge_seed, settings
from .planted import PLANTED
from .shrink import shrink

PROGRAMS = 200  # within so many the fault has to show
SECONDS = 40  # of processor time to find it and make it small: most take one to five, one fifteen


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_and_made_small(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.process_time()
    planted = PLANTED[fault]
    with monkeypatch.context() as patch:
        planted.plant(patch)
        for seed in range(PROGRAMS):
            program, outcome = judge_seed(seed)
            if outcome.fault:
                break
        else:
            pytest.fail(f"{PROGRAMS} programs did not show the fault")
        how = settings(seed)
        small = shrink(program, lambda p: judge(p, how.symbolic, how.batches).fault, budget=200)
        assert judge(small, how.symbolic, how.batches).fault, small.source()
    assert len(small.statements) <= planted.statements, small.source()
    for one in (small, program):
        mended = judge(one, how.symbolic, how.batches)
        assert mended.verdict in (EXACTLY, CLOSELY), f"{mended.detail}\n{one.source()}"
    assert time.process_time() - start < SECONDS
