"""Differences that are noise: numbers that move as far when the inputs move by their last place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import backhand as bp
from backhand.checking.compare import CLOSE, WRONG
from backhand.checking.rounding import SCALED, SEEDS, Noise, Run, nearby


def runs(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], x: Tensor) -> Noise:
    near = [[x], *nearby([x])]
    return Noise([Run({"x": ours(t)}, {"x": theirs(t)}) for (t,) in near], [x], None)


def difference(a: Callable[[Tensor], Tensor], b: Callable[[Tensor], Tensor], x: Tensor) -> float:
    return float((a(x) - b(x)).abs().max())


X = torch.linspace(0.1, 2.3, 40)


def centred(t: Tensor) -> Tensor:
    return (t - t.mean()).sum()  # zero in real numbers


def centred_too(t: Tensor) -> Tensor:
    return t.sum() - t.mean() * len(t)


def test_what_is_zero_but_for_rounding_is_noise() -> None:
    off = difference(centred, centred_too, X)
    assert off > 0
    assert runs(centred, centred_too, X).explains("x", off)


def test_what_cancellation_has_left_few_digits_is_noise() -> None:
    """One over a sum that is nearly zero: seven digits are right, and no more can be."""
    tail = torch.tensor([1e9, 1e-1, -1e9], dtype=torch.float64)

    def forwards(t: Tensor) -> Tensor:
        return 1 / ((t[0] + t[1]) + t[2])

    def backwards(t: Tensor) -> Tensor:
        return 1 / (t[0] + t[2] + t[1])

    off = difference(forwards, backwards, tail)
    assert off > 1e-9 * float(backwards(tail))
    assert runs(forwards, backwards, tail).explains("x", off)
    assert not runs(lambda t: 1.001 * backwards(t), backwards, tail).explains("x", 1e-2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: -(t * 1e-7),  # below the last place of the inputs, and known to seven digits
        lambda t: t * 1.001e-7,
        lambda t: centred(t) + 1e-3,
        lambda t: (t > 0.1).float(),  # a tie at the smallest element that the other breaks
        lambda t: torch.full_like(t, torch.nan),
    ],
)
def test_what_is_known_better_is_not(wrong: Callable[[Tensor], Tensor]) -> None:
    def right(t: Tensor) -> Tensor:
        return t * 1e-7

    assert not runs(wrong, right, X).explains("x", difference(wrong, right, X))


def test_a_kink_moves_further_than_rounding() -> None:
    """At a kink a nudge turns the truth over: that is no reason to excuse what is wrong there."""

    def right(t: Tensor) -> Tensor:
        return (t > 1).float()

    def wrong(t: Tensor) -> Tensor:
        return (t >= 1).float()

    at = torch.ones(3)
    assert not runs(wrong, right, at).explains("x", difference(wrong, right, at))


def test_inputs_are_moved_together_and_one_by_one() -> None:
    x = torch.tensor([0.1, 0.3, 0.3, 0.0, -0.0], dtype=torch.float64)
    y = torch.tensor([0.3], dtype=torch.float64)
    near = list(nearby([x, y, 7, torch.tensor(3)]))
    assert len(near) == len(SCALED) + len(SEEDS)
    for a, b, n, whole in near:
        assert n == 7 and whole == 3
        assert bool((a[:3] != x[:3]).all()) and bool(b[0] != y[0])
        assert torch.equal(a[3:].signbit(), x[3:].signbit())
        assert torch.allclose(a, x, rtol=1e-15, atol=0)
    assert all(a[1] == a[2] == b[0] for a, b, *_ in near[: len(SCALED)])  # what is tied
    assert not all(a[1] == a[2] == b[0] for a, b, *_ in near[len(SCALED) :])


def test_runs_that_are_missing_excuse_nothing() -> None:
    run = Run({"x": X + 1}, {"x": X})
    assert not Noise([run], [X], None).explains("x", 1e-9)
    other = Run({"x": X[:3]}, {"x": X})
    assert not Noise([run, other], [X], None).explains("x", 1e-9)
    assert not Noise([Run({}, {})], [X], None).explains("x", 1e-9)


def whitened(w: Tensor) -> Tensor:
    a = F.batch_norm(w, None, None, training=True, eps=1e-30)
    return a.sum() + (a * a).sum()  # zero and a count: nothing that w could change


def warped(w: Tensor) -> Tensor:
    return F.batch_norm(w, None, None, training=True).tanh().sum()


@pytest.mark.parametrize(("forward", "verdict"), [(whitened, CLOSE), (warped, WRONG)])
def test_verify_excuses_noise_and_nothing_else(
    forward: Callable[[Tensor], Tensor], verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    derived = bp.derive(forward, torch.randn(5, 3, dtype=torch.float64))
    assert derived.verify().gradients[-1].verdict != WRONG
    right = derived.listing("exact", shapes=False)
    last = right.lines[-1]
    worse = replace(last, text=last.text.replace("= ", "= 1.5 * ", 1))
    wrong = replace(right, lines=(*right.lines[:-1], worse))
    monkeypatch.setattr(type(derived), "listing", lambda *_, **__: wrong)
    gradient = derived.verify().gradients[-1]
    assert gradient.verdict == verdict
    assert ("last place" in gradient.why) is (verdict == CLOSE)
