"""The shorthand of every form of the catalogue: right, as short as by hand, as people write it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import backhand
from backhand.algebra.expr import Mono
from backhand.program.cost import cost
from backhand.shorthand import compose, lean
from backhand.shorthand.blocks import Block
from backhand.shorthand.closed import read_back, readings
from backhand.shorthand.proof import Reading
from backhand.shorthand.regions import Region
from backhand.shorthand.solve import Solver
from benchmarks.derive import GPT
from benchmarks.forms import FORMS, Form, form
from tests.kept import kept

# The other spellings that are tried: those that lead to the closed form by another way.
OTHERS = (
    ("cross-entropy", 2),
    ("label-smoothed cross-entropy", 1),
    ("softmax", 2),
    ("masked softmax with a temperature", 1),
    ("log-softmax", 2),
    ("batch norm, variance over n - 1", 1),
    ("layer norm", 1),
    ("SwiGLU", 1),
    ("squared-ReLU gate", 1),
    ("binary cross-entropy by softplus", 1),
    ("attention", 1),
    ("causal attention", 1),
)
CASES = [(f, 0) for f in FORMS] + [(form(name), k) for name, k in OTHERS]
IDS = [f"{f.name}-{f.spellings[k].__name__}" for f, k in CASES]
CASE = pytest.mark.parametrize(("f", "k"), CASES, ids=IDS)

# What the drop-in operator does that the reference does not have to: its passes, its bytes per byte
# of the reference's, and why. No form that the library or a paper has a kernel for is among them.
MORE = {
    ("contrastive loss (InfoNCE)", 0): (7, 1.0, "an index into the columns of another batch"),
    ("binary cross-entropy by softplus", 0): (3, 2.0, "it keeps the two terms of the chain rule"),
    ("covariance", 0): (9, 1.0, "the reference adds the operands of two products"),
    ("Student-t kernel", 0): (9, 1.0, "sums over the rows and over the columns of one gradient"),
}
# What people would write, as the right-hand side of the line that gives the gradient.
LINES = {
    (
        "cross-entropy",
        0,
    ): "dlogits = (probs - torch.nn.functional.one_hot(Yb, logits.shape[1])) / n",
    ("softmax", 0): "dx = y * (dy - (y * dy).sum(1, keepdim=True))",
    ("softmax", 2): "dx = y * (dy - (y * dy).sum(1, keepdim=True))",
    ("log-softmax", 2): "dx = dy - dy.sum(1, keepdim=True) * y.exp()",
    ("log-sum-exp", 0): "dx = dy.unsqueeze(1) * total_exp / total",
    ("batch norm, variance over n - 1", 0): (
        "dx = gain * var_inv * (dy - dbias / n - dgain * raw / (n - 1))"
    ),
    ("batch norm, variance over n", 0): "dx = gain * (n * dy - dbias - dgain * raw) / std / n",
    ("RMS norm", 0): "dx = xhat_rsqrt * (dxhat - (xhat * dxhat).mean(1, keepdim=True) * xhat)",
    ("L2 normalisation", 0): "dx = (dy - (y * dy).sum(1, keepdim=True) * y) / norm",
    ("cross-entropy on soft targets", 0): (
        "dlogits = (q.sum(1, keepdim=True) * probs - q) / logits.shape[0]"
    ),
    ("distillation with a temperature", 0): "ds = 4 * (ps_2 - pt_2) / s.shape[0]",
    ("entropy of a softmax", 0): "dx = dy.unsqueeze(1) * p * (-y.unsqueeze(1) - p.log())",
    ("sigmoid and binary cross-entropy", 0): "dz = (p - t) / z.numel()",
    ("squared-ReLU gate", 0): "da = 2 * b * r * dy",
    ("SwiGLU", 1): "da = b * dy * torch.sigmoid(a) * (1 + a * (1 - torch.sigmoid(a)))",
    ("variance", 0): "dx = 2 * dy.unsqueeze(1) * diff / (k - 1)",
    ("standard deviation", 0): "dx = dy.unsqueeze(1) * diff / y.unsqueeze(1) / (k - 1)",
    ("attention", 1): "dprobs_product = probs * (dprobs - (y * dy).sum(3, keepdim=True))",
}
# Of these no region is shortened, and the regions say why.
LONGHAND = {
    "binary cross-entropy by softplus": "costs no less than the longhand",
    "a weighted sum of sorted values": "scatter is left as it is",
}


class Shapes:
    """Draws inputs that have no data."""

    def normal(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float64, device="meta")

    uniform = normal

    def integers(self, below: int, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.int64, device="meta")


@cache
def derived(name: str, k: int) -> backhand.Backprop:
    """Derived at the large sizes, which nothing is computed at."""
    f = form(name)
    with torch.device("meta"):
        inputs = f.draw(Shapes(), **f.large)
    return backhand.derive(f.spellings[k], *inputs, wrt=f.of)


def text(bp: backhand.Backprop) -> str:
    """The code without comments and line breaks."""
    lines = [line.partition("  #")[0].strip() for line in str(bp.shorthand).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("#"))


@CASE
def test_the_gradients_are_right_at_two_sizes(f: Form, k: int) -> None:
    bp = derived(f.name, k)
    larger = {
        name: n + 3 if name in ("n", "k", "m", "i", "o") else n for name, n in f.small.items()
    }
    for sizes in (f.small, larger):
        report = bp.verify(*f.inputs(sizes, torch.float64), form="shorthand")
        assert report.ok, str(report)
        assert {g.result.verdict for g in report.gradients} <= {"exact", "close"}
        assert set(f.of) <= {g.of for g in report.gradients}


def operators(bp: backhand.Backprop) -> list[tuple[int, int]]:
    """The passes of the drop-in operator's backward half, and the bytes kept for it, by plan."""
    out = []
    for save in ("fast", "least"):
        plan = lean(bp.saving(save, form="shorthand"), bp.drop_in().captured.context)
        out.append((cost(plan.forward, plan.backward.program).passes, plan.bytes))
    return out


@CASE
def test_no_more_memory_is_moved_or_kept_than_by_hand(f: Form, k: int) -> None:
    bp = derived(f.name, k)
    ours = cost(bp.forward_of("shorthand"), bp.form("shorthand").program)
    longhand = cost(bp.program, bp.form("longhand").program)
    assert ours.passes <= longhand.passes
    passes, ratio, _ = MORE.get((f.name, k), (f.reference.passes, 1.0, ""))
    kept = ratio * f.reference.saved(8, **f.large)
    assert any(a <= passes and b <= kept for a, b in operators(bp)), operators(bp)


@CASE
def test_the_closed_form_is_read_back_as_what_the_longhand_comes_to(f: Form, k: int) -> None:
    bp = derived(f.name, k)
    solver = bp._solved.solver
    for region in bp.regions:
        last: dict[str, Reading] = {}
        if region.lines:
            shown = {line.value.name for line in region.lines}
            last = {r.value.name: r for r in readings(solver, region, shown)}
        for value in region.targets:
            if value.name in last:
                assert read_back(solver, region, False, last[value.name]) is not None, value


def test_the_exceptions_are_exceptions() -> None:
    for (name, k), (passes, ratio, reason) in MORE.items():
        f, bp = form(name), derived(name, k)
        kept = f.reference.saved(8, **f.large)
        assert not any(a <= f.reference.passes and b <= kept for a, b in operators(bp)), name
        assert (passes > f.reference.passes or ratio > 1) and reason


@pytest.mark.parametrize(("case", "line"), LINES.items(), ids=lambda x: str(x)[:40])
def test_the_line_is_the_one_that_people_write(case: tuple[str, int], line: str) -> None:
    assert line in text(derived(*case))


@pytest.mark.parametrize(("name", "reason"), LONGHAND.items())
def test_what_has_no_shorter_form_keeps_its_longhand_and_says_why(name: str, reason: str) -> None:
    regions = derived(name, 0).regions
    assert not any(region.lines for region in regions)
    assert any(reason in r.reason for region in regions for r in region.refusals)


def test_a_gather_whose_rows_need_not_be_all_rows_is_left_as_it_is() -> None:
    bp = derived("cross-entropy", 1)
    reasons = [r.reason for region in bp.regions for r in region.refusals]
    assert any("need not be equal" in reason for reason in reasons)
    logits, Yb = form("cross-entropy").inputs({"n": 6, "k": 5}, torch.float64)
    assert bp.verify(logits, Yb[:4], form="shorthand").ok


GOLDENS: dict[str, tuple[str, ...]] = {
    "shorthand_losses": (
        "cross-entropy",
        "cross-entropy, one loss a row",
        "label-smoothed cross-entropy",
        "cross-entropy on soft targets",
        "distillation with a temperature",
        "entropy of a softmax",
        "sigmoid and binary cross-entropy",
        "KL of a Gaussian from the standard one",
    ),
    "shorthand_norms": (
        "batch norm, variance over n - 1",
        "batch norm, variance over n",
        "layer norm",
        "layer norm over two axes",
        "RMS norm",
        "instance norm",
        "weight standardisation",
        "L2 normalisation",
        "weight normalisation",
        "cosine similarity",
    ),
    "shorthand_maps": (
        "softmax",
        "masked softmax with a temperature",
        "log-softmax",
        "log-sum-exp",
        "attention",
        "causal attention",
        "SwiGLU",
        "squared-ReLU gate",
        "variance",
        "standard deviation",
    ),
}


@pytest.mark.parametrize("file", GOLDENS)
def test_golden(file: str) -> None:
    found = "".join(f"## {name}\n\n{derived(name, 0).shorthand}\n\n" for name in GOLDENS[file])
    assert found.strip() == kept(f"{file}.txt", f"{found.strip()}\n").strip()


def block(x: Tensor, w: Tensor, gain: Tensor) -> Tensor:
    inv = torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)
    y = x * inv * gain
    return torch.tanh(y @ w)


def deep(n: int) -> Callable[..., Tensor]:
    def forward(x: Tensor, w: Tensor, gains: list[Tensor]) -> Tensor:
        for i in range(n):
            x = block(x, w, gains[i])
        return x

    return forward


def test_layers_that_are_alike_are_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    looked: list[int] = []
    solve, cover = Solver.solve_region, compose.cover

    def counted(mono: Mono, c: Any, blocks: Sequence[Block]) -> Any:
        looked.append(len(blocks))
        return cover(mono, c, blocks)

    def counted_solve(self: Solver, region: Region, extra: Sequence[Block]) -> None:
        calls.append(1)
        solve(self, region, extra)

    monkeypatch.setattr(compose, "cover", counted)
    monkeypatch.setattr(Solver, "solve_region", counted_solve)
    counts = []
    for n in (4, 6):
        calls.clear()
        looked.clear()
        x, w = torch.randn(5, 4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)
        gains = [torch.ones(4, dtype=torch.float64) for _ in range(n)]
        bp = backhand.derive(deep(n), x, w, gains)
        assert sum(bool(region.lines) for region in bp.regions) >= n
        # nor are the values of other layers looked at
        counts.append((len(calls), sum(looked)))
        assert bp.verify(form="shorthand").ok
    assert counts[0] == counts[1]


def test_blocks_of_attention_that_are_alike_are_solved_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    solve = Solver.solve_region

    def counted(self: Solver, region: Region, extra: Sequence[Block]) -> None:
        calls.append(1)
        solve(self, region, extra)

    monkeypatch.setattr(Solver, "solve_region", counted)
    counts = []
    for n in (2, 3):
        calls.clear()
        net = GPT(n, width=8, heads=2, vocabulary=16, positions=24).double()
        ids, targets = torch.randint(0, 16, (2, 2, 23))
        bp = backhand.derive(net, ids, targets, runs="shorthand")
        # one form for each block: that of the scores' gradient
        assert sum(bool(region.lines) for region in bp.regions) == n
        counts.append(len(calls))
        loss = net(ids, targets)
        true = torch.autograd.grad(loss, list(net.parameters()))
        found, ours = bp(ids, targets)
        torch.testing.assert_close(found, loss.detach())
        for one, other in zip(ours.values(), true, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert counts[0] == counts[1]


def test_a_search_that_takes_too_long_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backhand.shorthand.solve.MOST_SECONDS", 0)
    f = form("layer norm")
    bp = backhand.derive(f.spellings[0], *f.inputs(f.small, torch.float64), wrt=f.of)
    assert bp.verify(form="shorthand").ok
    assert any("ended after 0 s" in r.reason for region in bp.regions for r in region.refusals)
