"""Verdicts on tensors that were computed through a less precise dtype than their own."""

from __future__ import annotations

import pytest
import torch

from backhand.checking.compare import CLOSE, WRONG, coarsest_of, compare

TRUTH = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("factor", "coarsest", "verdict"),
    [
        (1 + 1e-7, None, WRONG),
        (1 + 1e-7, torch.float32, CLOSE),
        (1 + 1e-2, torch.float32, WRONG),
        (1 + 1e-2, torch.bfloat16, CLOSE),
        (-1.0, torch.bfloat16, WRONG),
    ],
)
def test_rounding_before_a_cast_is_rounding_after_it(
    factor: float, coarsest: torch.dtype | None, verdict: str
) -> None:
    found = compare(TRUTH * factor, TRUTH, coarsest)
    assert found.verdict == verdict
    assert (found.why != "") is (verdict == CLOSE)


def test_the_least_precise_dtype_counts() -> None:
    assert coarsest_of(["float64", "int64", "float32"]) is torch.float32
    assert coarsest_of(["float16", "bfloat16"]) is torch.bfloat16
    assert coarsest_of(["bool"]) is None
