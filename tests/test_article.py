"""The article's network: 26 gradients, the same bits as autograd's, and the lines people wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import backhand
from backhand.checking import compare

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import article

# The article's own table, and dlogprobs before it.
GRADIENTS = (
    "logprobs", "probs", "counts", "counts_sum", "counts_sum_inv", "norm_logits", "logit_maxes",
    "logits", "h", "W2", "b2", "hpreact", "bngain", "bnbias", "bnraw", "bnvar_inv", "bnvar",
    "bndiff2", "bndiff", "bnmeani", "hprebn", "embcat", "W1", "b1", "emb", "C",
)  # fmt: skip


@pytest.fixture(scope="module")
def bp() -> backhand.Backprop:
    return backhand.derive(article.forward, *article.example_inputs(32, 64))


@pytest.mark.parametrize("hidden", [64, 200])
@pytest.mark.parametrize("n", [8, 32, 33, 100])
def test_26_gradients_are_exact(bp: backhand.Backprop, n: int, hidden: int) -> None:
    report = bp.verify(*article.example_inputs(n, hidden))
    found = {g.of: g for g in report.gradients if g.of != "loss"}
    assert sorted(found) == sorted(GRADIENTS)
    assert {g.verdict for g in found.values()} == {"exact"}
    assert {g.name for g in found.values()} == {f"d{of}" for of in GRADIENTS}


def test_in_the_plain_spelling_only_tanh_differs(bp: backhand.Backprop) -> None:
    report = bp.verify()
    off = [g.name for g in report.gradients if g.plain is not None and g.plain.verdict != "exact"]
    assert off == ["dhpreact"]
    assert all(g.local is None or g.local.verdict == "exact" for g in report.gradients)


def test_what_was_derived_at_32_stays_general(bp: backhand.Backprop) -> None:
    """No size of the example is in the text, and other sizes run on the same derivation."""
    others = article.example_inputs(7, 50)
    assert bp.specialised(others, {}) is bp
    code = "\n".join(line.text for line in bp.longhand.lines)
    assert "32" not in code and "64" not in code


@pytest.mark.parametrize("n", [8, 33])
def test_line_by_line_as_written_by_hand(bp: backhand.Backprop, n: int) -> None:
    """The derived gradients agree with the hand-written ones, each by its own name."""
    inputs = article.example_inputs(n, 64)
    inputs = tuple(t.double() if t.is_floating_point() else t for t in inputs)
    by_hand = article.backward_by_hand(*inputs)
    derived = bp.specialised(inputs, {})
    space = derived.namespace(inputs, 0)
    space["dloss"] = space["torch"].ones_like(space["loss"])
    for line in derived.longhand.lines:
        exec(line.text, space)
    assert {f"d{of}" for of in GRADIENTS} <= by_hand.keys()
    for of in GRADIENTS:
        mine, theirs = space[f"d{of}"], by_hand[f"d{of}"]
        assert mine.shape == theirs.shape
        scale = max(float(theirs.abs().max()), 1e-3)
        assert float((mine - theirs).abs().max()) <= 1e-12 * scale, of


def test_the_comparison_can_tell() -> None:
    """A gradient that is one bit off is not exact."""
    import torch

    truth = torch.ones(3)
    off = truth.clone()
    off[1] = torch.nextafter(off[1], torch.tensor(2.0))
    assert compare(off, truth).verdict == "close"
    assert compare(-truth, truth).verdict == "wrong"
    assert compare(truth.view(1, 3), truth).verdict == "wrong"
