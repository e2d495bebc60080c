"""Random programs against autograd: none may differ, few may be refused, and much must occur."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest
import torch
from torch import Tensor

from . import kinds
from .census import census
from .check import CLOSELY, REFUSED, SKIPPED, autograd, reproducible, same_without_gradients
from .generator import Kind, State, generate
from .kinds import KINDS
from .many import STRETCH, run_counted
from .program import Statement

STRETCHES = 20
APART = 1_000_000  # so that no two stretches share a seed

# What must occur in at least this many of a hundred programs.
OCCURS = {
    "view": 60, "in place": 30, "in place through a view": 8, "broadcasting": 30,
    "empty tensor": 8, "0-d tensor": 40, "edge value": 15, "NaN or infinity": 0.1, "detach": 5,
    "no_grad": 4, "open sizes": 8, "mixed dtypes": 3, "several uses": 70, "several outputs": 25,
}  # fmt: skip


@pytest.mark.parametrize("stretch", range(STRETCHES))
def test_random_programs_agree_with_autograd(stretch: int) -> None:
    """A hundred programs: no fault, bits alike in nearly all, and the comparison could tell."""
    tally = run_counted(stretch * APART, STRETCH)
    assert not tally.faults, "\n".join(tally.faults)
    assert tally.share(REFUSED) <= 0.08, tally.reasons
    assert tally.share(CLOSELY) <= 0.05, "\n".join(tally.rounded)
    assert tally.verdicts[SKIPPED] <= 0.35 * STRETCH, tally.reasons
    assert tally.telling >= 0.6 * STRETCH, tally.verdicts


def test_what_occurs_in_the_programs() -> None:
    """Every kind of statement, and everything that has gone wrong in derivations before."""
    seeds = range(1_000)
    seen: Counter[str] = Counter()
    for seed in seeds:
        seen.update(census(seed))
    rare = {what: seen[what] for what, of in OCCURS.items() if seen[what] < of / 100 * len(seeds)}
    assert not rare, f"of {len(seeds)} programs only {rare}"


def test_every_kind_of_statement_occurs(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[int, str] = {}
    held: list[Statement] = []  # an id is one statement's as long as the statement is there

    def noted(kind: Kind) -> Kind:
        def make(state: State) -> Statement:
            statement = kind(state)
            held.append(statement)
            made[id(statement)] = kind.__name__
            return statement

        return make

    monkeypatch.setattr(kinds, "KINDS", [(noted(kind), weight) for kind, weight in kinds.KINDS])
    seen = Counter(made[id(s)] for seed in range(500) for s in generate(seed).statements)
    rare = {kind.__name__: seen[kind.__name__] for kind, _ in KINDS if seen[kind.__name__] < 10}
    assert not rare, f"of 500 programs only {rare}"


def test_a_seed_always_makes_the_same_program() -> None:
    for seed in range(50):
        assert generate(seed) == generate(seed)


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_a_truth_that_changes_is_none(step: float) -> None:
    """As where torch's kernels read memory that nobody has written."""
    drift = count()

    def f(x: Tensor) -> Tensor:
        return x * (2.0 + step * next(drift))

    x = torch.ones(3)
    assert reproducible(f, [x], autograd(f, [x], 0)) is (step == 0)


@pytest.mark.parametrize("other", [False, True])
def test_a_function_that_gives_other_numbers_without_gradients_is_noticed(other: bool) -> None:
    def f(x: Tensor) -> Tensor:
        return x * (3.0 if other and not x.requires_grad else 2.0)

    x = torch.ones(3)
    assert same_without_gradients(f, [x], autograd(f, [x], 0)) is not other
