"""What is left of a line in index notation when it is taken from its gradient."""

from __future__ import annotations

import random
import re

import pytest
import torch

import backhand
from backhand.review import Cause, causes, review
from backhand.review.evidence import Allowance
from backhand.review.finders_algebra import by_algebra

from .handmade import handmade
from .networks import NETWORKS

TERMS = (
    "bngain * bnvar_inv * dhpreact",
    "-bngain * bnvar_inv * dhpreact.sum(0) / n",
    "-bngain * bnvar_inv * bnraw * (dhpreact * bnraw).sum(0) / (n - 1)",
)
FACTORS = (
    "bngain", "bnbias", "bnvar", "bnmeani", "bnraw", "hpreact", "h", "dhpreact",
    "dhpreact.mean(0)", "(dhpreact * bnraw).sum(0)", "(h * dhpreact).sum(0, keepdim=True)",
)  # fmt: skip


def caused(network: str, old: str, new: str) -> list[Cause]:
    text = NETWORKS[network].text
    assert text.count(old) == 1
    made = handmade(NETWORKS[network].forward, text.replace(old, new), NETWORKS[network].inputs)
    return [c for g in review(made).gradients for c in g.causes]


def hprebn(line: str) -> list[Cause]:
    return caused("article", "dhprebn = dbndiff + 1/n * dbnmeani", line)


def test_random_terms_of_a_batch_norm_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "FINDERS", (by_algebra,))
    draw = random.Random(0)
    whole = "dhprebn = " + " + ".join(TERMS)
    planted = [("missing-term", whole.replace(f" + {t}", "")) for t in TERMS[1:]]
    for _ in range(5):
        # one of them is a gradient, so that the term is one that a backward pass can have
        factors = [*draw.sample(FACTORS[:7], 2), draw.choice(FACTORS[7:])]
        draw.shuffle(factors)
        sign = draw.choice("+-")
        planted.append(("surplus-term", f"{whole} {sign} {' * '.join(factors)}"))
    for code, line in planted:
        (found,) = hprebn(line)
        assert found.code == code, (line, found.message)
        assert len(re.findall("`", found.message)) == 4 or found.message.startswith("In dhprebn")
        assert not hprebn(found.fix), (line, found.fix)


def test_a_term_is_told_in_the_names_of_the_line() -> None:
    (found,) = caused("swish", " - xhat * (dxhat * xhat).mean(1, keepdim=True)", "")
    assert "`-inv * (dxhat * xhat).mean(1, keepdim=True) * xhat` is missing" in found.message
    (found,) = caused("swish", " + da * y * s * (1 - s)", "")
    assert "`a * da * (1 - s)` is missing" in found.message


def rms(x, gain):
    mean = (x * x).mean(1, keepdim=True)
    r = (mean + 1e-6) ** -0.5
    xn = x * r
    y = xn * gain
    return y


class Rms(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gain):
        inv = ((x * x).mean(1, keepdim=True) + 1e-6) ** -0.5
        ctx.save_for_backward(x, gain, inv)
        return x * inv * gain

    @staticmethod
    def backward(ctx, grad_output):
        x, gain, inv = ctx.saved_tensors
        g = grad_output * gain
        dgain = (grad_output * x * inv).sum(0)
        dx = g * inv
        return dx, dgain


def test_of_a_function_only_what_it_saved_is_read() -> None:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(5, 7, generator=draw), torch.randn(7, generator=draw)
    (found,) = (c for g in backhand.check(rms, Rms, *inputs).gradients for c in g.causes)
    assert found.code == "missing-term"
    assert "`-inv**3 * (x * g).mean(1, keepdim=True) * x` is missing" in found.message


def test_what_the_forward_pass_guarantees_is_no_difference() -> None:
    (found,) = hprebn(
        "dhprebn = bngain * bnvar_inv / n * (dhpreact - dhpreact.sum(0) + bnraw.sum(0)"
        " - bnraw * (dhpreact * bnraw).sum(0))"
    )
    assert "the factor `n` is missing in the term" in found.message
    assert "the factor `n/(n - 1)` is missing in the term" in found.message
    assert not hprebn(found.fix)


@pytest.mark.parametrize(
    "line",
    [
        "dhprebn = torch.cumsum(dbndiff, 0)",
        "dhprebn = torch.zeros_like(hprebn).scatter_add(0, hprebn.argsort(0) // 2, dbndiff)",
        "dhprebn = torch.stack([row.sort().values for row in dbndiff])",
        "dhprebn = torch.tensor(dbndiff.tolist()).sin()",
        "dhprebn = torch.linalg.pinv(dbndiff).T",
        "dhprebn = dbndiff.sin() if float(dbndiff.sum()) > -1e9 else dbndiff",
    ],
)
def test_what_has_no_reading_has_no_cause(line: str) -> None:
    (found,) = hprebn(line)
    assert found.code == "no-known-pattern"


@pytest.mark.parametrize(
    ("network", "old", "new"),
    [
        ("heads", "-0.5 * (var + 1e-5)**-1.5", "-0.5 * var + (-1e-5)**-1.5"),  # complex
        ("pooled", "(y == top) * dtop + F", "(y == top) / F"),  # infinite, and no number at all
    ],
)
def test_numbers_that_are_none_are_told(network: str, old: str, new: str) -> None:
    (found,) = caused(network, old, new)
    assert found.code == "no-known-pattern"


def test_only_so_many_lines_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backhand.review.judge.Allowance", lambda: Allowance(left=1))
    text = NETWORKS["entropy"].text.replace(" - p * dlogp.sum(1, keepdim=True)", "")
    text = text.replace("dp = logp / p.numel()", "dp = logp.exp() * target")
    made = handmade(NETWORKS["entropy"].forward, text, NETWORKS["entropy"].inputs)
    first, second = (c for g in review(made).gradients for c in g.causes)
    assert "not compared by algebra" not in first.message
    assert "not compared by algebra" in second.message
