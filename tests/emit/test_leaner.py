"""What drop-in operators compute once, in which order, and by which function: same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import backhand
from backhand.program.build import SizeContext
from backhand.program.cost import cost
from backhand.shorthand import lean

from .test_lean import both, code

N, K = 6, 5


def gelu(x: Tensor) -> Tensor:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + torch.tanh(inner))


def gated(a: Tensor, b: Tensor) -> Tensor:
    """The same logistic function in both gradients."""
    return a * torch.sigmoid(a) * b


def log_sum(x: Tensor) -> Tensor:
    largest = x.max(1, keepdim=True).values
    total = (x - largest).exp().sum(1, keepdim=True)
    return (largest + total.log()).squeeze(1)


def batch_norm(x: Tensor, gain: Tensor) -> Tensor:
    n = x.shape[0]
    diff = x - x.sum(0) / n
    std = torch.sqrt((diff**2).sum(0) / n + 1e-5)
    return gain[0] * (diff / std)


def affine(x: Tensor, w: Tensor) -> Tensor:
    """One number for all scales what three products and sums read."""
    diff = x @ w.T - 1
    return (diff**2).mean()


CASES: dict[str, tuple[Callable[..., Tensor], str, str]] = {
    "gelu": (gelu, "torch.sigmoid(2 * inner)", "tanh"),
    "gated": (gated, "db_sigmoid = torch.sigmoid(a)", "dy * torch.sigmoid"),
    "log_sum": (log_sum, "dx = dout.unsqueeze(1) / total * total_exp", " * dout"),
    "batch_norm": (batch_norm, " / n / std * (", "/ std"),
    "affine": (affine, "scale = ", "ddiff ="),
}


def given(f: Callable[..., Any], dtype: torch.dtype = torch.float64, n: int = N) -> list[Tensor]:
    g = torch.Generator().manual_seed(4)
    if f is affine:
        sizes = (8 * n, K), (20, K)
        return [torch.randn(s, generator=g, dtype=dtype) for s in sizes]
    return [
        torch.randn(n, K, generator=g, dtype=dtype) for _ in range(f.__code__.co_argcount)
    ]


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_autograds(name: str) -> None:
    f = CASES[name][0]
    bp = backhand.derive(f, *given(f))
    for save in ("fast", "least"):
        operator = bp.function(form="shorthand", save=save)
        for n in (N, 3, 9):
            values = given(f, n=n)
            torch.testing.assert_close(
                both(operator, values), both(f, values), rtol=1e-11, atol=1e-13
            )


@pytest.mark.parametrize("name", CASES)
def test_the_text_is_leaner(name: str) -> None:
    f, there, _ = CASES[name]
    bp = backhand.derive(f, *given(f))
    text = code(bp.emit("function", form="shorthand"))
    assert there in text
    plan = bp.saving("fast", form="shorthand")
    before, after = (
        cost(p.forward, p.backward.program) for p in (plan, lean(plan, bp.captured.context))
    )
    assert after.flops < before.flops
    assert after.bytes_moved <= before.bytes_moved


def test_tangents_near_minus_one_keep_their_digits() -> None:
    """In single precision 1 + tanh(u) has none left below -9, and the sigmoid all of them."""
    x = torch.linspace(-6, -3, 200, dtype=torch.float32)
    operator = backhand.derive(gelu, x).function(form="shorthand")
    exact = gelu(x.double())
    ours, theirs = (
        float(((y - exact) / exact).abs().max()) for y in (operator(x), gelu(x))
    )
    assert ours < 1e-5 < theirs


def test_a_tangent_that_is_read_as_it_is_stays() -> None:
    def f(x: Tensor) -> Tensor:
        t = torch.tanh(x)
        return (1 + t) * t

    x = given(f)[0]
    bp = backhand.derive(f, x)
    assert "sigmoid" not in bp.emit("function", form="shorthand")
    torch.testing.assert_close(both(bp.function(form="shorthand"), [x]), both(f, [x]))


def test_a_tangent_that_is_given_back_stays() -> None:
    def f(x: Tensor) -> Any:
        t = torch.tanh(x)
        return t, (1 - t**2).sum()

    bp = backhand.derive(f, given(f)[0])
    assert "sigmoid" not in bp.emit("function", form="shorthand")


def test_half_precision_keeps_its_order() -> None:
    """A product of the small factors may leave the range where the whole product does not."""
    x = given(log_sum, torch.float16)[0]
    text = code(backhand.derive(log_sum, x).emit("function", form="shorthand"))
    assert "/ total * total_exp" not in text


def test_the_longhand_keeps_its_bits() -> None:
    for f, _, gone in CASES.values():
        values = given(f)
        ours, theirs = both(backhand.derive(f, *values).function(), values), both(f, values)
        assert torch.equal(ours[0], theirs[0]), gone
        assert all(torch.equal(a, b) for a, b in zip(ours[1], theirs[1], strict=True))


def test_a_context_is_not_changed() -> None:
    bp = backhand.derive(gelu, *given(gelu))
    context: SizeContext = bp.captured.context
    before = context.hints()
    lean(bp.saving("fast", form="shorthand"), context)
    assert context.hints() == before
