"""The work of a derivation grows with the depth of a network and no faster, counted in calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import backhand
from backhand.capture import capture
from backhand.longhand import backward

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from derive import GPT


def gpt(blocks: int) -> tuple[GPT, torch.Tensor]:
    with torch.device("meta"):
        return GPT(blocks, 48, 4, 99, 16), torch.zeros(4, 16, dtype=torch.int64)


def test_the_reverse_walk_asks_torch_little_about_symbolic_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    dispatch = FakeTensorMode.dispatch

    def counted(self: FakeTensorMode, func: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(func)
        return dispatch(self, func, *args, **kwargs)

    counts: list[int] = []
    facts: list[int] = []
    for blocks in (1, 3):
        model, ids = gpt(blocks)
        captured = capture(model, (ids, ids))
        before = len(captured.context.shape_env.guards)
        with monkeypatch.context() as patch:
            patch.setattr(FakeTensorMode, "dispatch", counted)
            asked.clear()
            names = [v.name for v in captured.program.inputs if v.floating]
            backward(captured.program, captured.context, captured.vars, names)
        counts.append(len(asked))
        facts.append(len(captured.context.shape_env.guards) - before)
    assert counts[0] == counts[1]  # the loss's few; none of a block's
    assert facts == [0, 0]


def test_facts_about_sizes_are_simplified_again_only_where_that_can_change_them() -> None:
    renewals: list[int] = []
    for blocks in (2, 3, 4):
        model, ids = gpt(blocks)
        renewals.append(capture(model, (ids, ids)).context.shape_env.renewals)
    first, second = renewals[1] - renewals[0], renewals[2] - renewals[1]
    assert renewals[0] > 0
    assert second == first


def test_facts_are_those_that_torch_keeps() -> None:
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    from backhand.capture import inputs

    model, ids = gpt(2)
    ours = capture(model, (ids, ids))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "Facts", ShapeEnv)
        theirs = capture(model, (ids, ids))
    assert type(theirs.context.shape_env) is ShapeEnv
    assert ours.guards == theirs.guards
    assert str(ours.program) == str(theirs.program)
    assert ours.context.shape_env.axioms == theirs.context.shape_env.axioms


def test_a_long_chain_of_steps_does_not_overflow_the_stack() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        for _ in range(400):
            x = x.t().exp()
        return x.sum()

    bp = backhand.derive(forward, torch.zeros(3, 3))
    var = bp.derived("plain").vars[bp.derived("plain").gradients["x"]]
    assert var.fake.shape == var.example.shape
