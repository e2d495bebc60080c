"""The same random programs in shorthand, and as drop-in operators: right, whatever is in them."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest
import torch
from torch import Tensor

import backhand
from backhand.errors import BackhandError

from .generator import generate
from .many import run_counted
from .program import compiled

STRETCHES, STRETCH = 2, 30
OPERATORS = 40
APART = 1_000_000  # so that no two stretches share a seed
FIRST = 700_000_000
PLANS = (("longhand", "least"), ("shorthand", "fast"), ("shorthand", "least"))


@pytest.mark.parametrize("stretch", range(STRETCHES))
def test_random_programs_in_shorthand_agree_with_autograd(stretch: int) -> None:
    tally = run_counted(FIRST + stretch * APART, STRETCH, "shorthand")
    assert not tally.faults, "\n".join(tally.faults)
    assert tally.telling >= 0.5 * STRETCH, tally.verdicts


def operated(bp: backhand.Backprop, form: str, save: str) -> tuple[Tensor | None, ...] | None:
    """The gradients of a drop-in operator's outputs, all weighted with 1."""
    values = [
        v.detach().clone().requires_grad_(leaf.name in bp.gradient_names)
        if isinstance(v := leaf.value, Tensor)
        else v
        for leaf in bp.leaves
    ]
    torch.manual_seed(3)
    result = bp.function(form=form, save=save)(*values)
    outs = torch.utils._pytree.tree_leaves(result)
    outs = [o for o in outs if isinstance(o, Tensor) and o.requires_grad]
    asked = [v for v in values if isinstance(v, Tensor) and v.requires_grad]
    if not outs:
        return None
    ones = [torch.ones_like(o) for o in outs]
    return torch.autograd.grad(outs, asked, ones, allow_unused=True)


def alike(a: Tensor | None, b: Tensor | None, exactly: bool) -> bool:
    if a is None or b is None:
        return a is b
    if exactly:
        return torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))
    seen = a.isfinite() & b.isfinite()
    apart = (a - b)[seen].abs().max() if seen.any() else 0.0
    most = b[seen].abs().max() if seen.any() else 1.0
    # what cancels is as far off as it was large before: the longhand's x / x - x**2 / x**2
    return bool(apart <= 1e-4 * max(1.0, float(most)))


def test_random_programs_as_operators_have_the_same_gradients_however_much_is_saved() -> None:
    """Longhand bit for bit, with values computed ahead or again; shorthand but for rounding."""
    counts: Counter[str] = Counter()
    seed = FIRST // 2
    while counts["programs"] < OPERATORS:
        seed += 1
        program = generate(seed)
        with warnings.catch_warnings(), compiled(program.source()) as function:
            warnings.simplefilter("ignore")
            try:
                bp = backhand.derive(function, *program.values())
                truth = operated(bp, "longhand", "fast")
            except (BackhandError, RuntimeError):
                continue
            if truth is None:
                continue
            counts["programs"] += 1
            known = {v.name for v in bp.program.values()}
            for form, save in PLANS:
                found = operated(bp, form, save)
                assert found is not None
                for ours, theirs in zip(found, truth, strict=True):
                    assert alike(ours, theirs, form == "longhand"), (seed, form, save)
                plan = bp.saving(save, form=form)
                counts["ahead"] += any(v.name not in known for v in plan.saved)
    assert counts["ahead"] >= OPERATORS // 20, counts
