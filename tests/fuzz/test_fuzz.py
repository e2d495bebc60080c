"""Random programs against autograd: none may differ; planted faults are found and made small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from backhand.capture import alias
from backhand.longhand import walk
from backhand.program.build import op
from backhand.rules import NONDIFFERENTIABLE, RULES, Context, index
from backhand.rules.base import Gradients

from .check import REFUSED, SKIPPED, judge, judge_seed
from .shrink import shrink

CHUNKS, CHUNK = 20, 100


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_programs_agree_with_autograd(chunk: int) -> None:
    """A hundred programs that autograd can differentiate; refusals stay rare."""
    verdicts: Counter[str] = Counter()
    for seed in count(chunk * 1_000_000):
        program, outcome = judge_seed(seed)
        verdicts[outcome.verdict] += 1
        assert not outcome.fault, f"seed {seed}: {outcome.detail}\n{program.source()}"
        if verdicts.total() - verdicts[SKIPPED] == CHUNK:
            break
    assert verdicts[REFUSED] <= CHUNK * 0.08, verdicts


def _wrong(op: str, change: Callable[[Context, Gradients], Gradients]) -> Callable[..., None]:
    """A fault: the rule of ``op`` with its gradients changed."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        right = RULES[op]
        wrong = replace(right, vjp=lambda c: change(c, right.vjp(c)))
        patch.setitem(RULES, op, wrong)

    return plant


def _negated(c: Context, found: Gradients) -> Gradients:
    return {name: None if g is None else -g for name, g in found.items()}


def _first_only(c: Context, found: Gradients) -> Gradients:
    return {name: g for i, (name, g) in enumerate(found.items()) if i == 0}


def _doubled(c: Context, found: Gradients) -> Gradients:
    return {name: None if g is None else g * 2 for name, g in found.items()}


def _last_use_wins(patch: pytest.MonkeyPatch) -> None:
    add = walk._Walk._add

    def forgetful(self: walk._Walk, operand: object, gradient: object) -> None:
        self.grads.pop(operand.name, None)  # type: ignore[attr-defined]
        add(self, operand, gradient)  # type: ignore[arg-type]

    patch.setattr(walk._Walk, "_add", forgetful)


def _not_summed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(walk, "reduce_to", lambda g, shape: g)


def _along_the_first_axis(c: Context, found: Gradients) -> Gradients:
    return {"x": c.y * (c.g - op.sum(c.g * c.y, 0, keepdim=True))}


def _written_once(patch: pytest.MonkeyPatch) -> None:
    right = index.put_at
    patch.setattr(index, "put_at", lambda x, at, values, accumulate: right(x, at, values, False))


def _view_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(alias, "inverse_of_view", lambda *_: lambda parent, new: parent)


def _detach_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.delitem(NONDIFFERENTIABLE, "stop_gradient")
    patch.setitem(RULES, "stop_gradient", replace(RULES["clone"], op="stop_gradient"))


def _swapped(c: Context, found: Gradients) -> Gradients:
    return {"x": found.get("other"), "other": found.get("x")}


FAULTS: dict[str, Callable[..., None]] = {
    "the sign of a product": _wrong("mul", _negated),
    "the second operand of a sum forgotten": _wrong("add", _first_only),
    "a sum counted twice": _wrong("sum", _doubled),
    "the sign of exp": _wrong("exp", _negated),
    "a matrix product's second operand forgotten": _wrong("matmul", _first_only),
    "only the last use of a value counts": _last_use_wins,
    "broadcasts not undone": _not_summed,
    "softmax summed along the wrong axis": _wrong("softmax", _along_the_first_axis),
    "an element read twice gets one gradient": _written_once,
    "an update through a view is lost": _view_forgotten,
    "detach lets the gradient through": _detach_forgotten,
    "the branches of where swapped": _wrong("where", _swapped),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_made_small(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    FAULTS[fault](monkeypatch)
    for seed in range(400):
        program, outcome = judge_seed(seed)
        if outcome.fault:
            break
    else:
        pytest.fail("400 programs did not show the fault")
    small = shrink(program, lambda p: judge(p).fault, budget=150)
    assert judge(small).fault
    assert len(small.statements) <= 5, small.source()
