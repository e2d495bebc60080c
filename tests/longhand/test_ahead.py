"""What is computed ahead of the backward pass: fewer bytes, the same bits, only where it pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import backhand
from backhand.errors import InputError
from backhand.longhand import Plan

N, K = 5, 7


def difference(z: Tensor, t: Tensor) -> Tensor:
    p = torch.sigmoid(z)
    losses = -(t * p.log() + (1 - t) * (1 - p).log())
    return losses.mean()


def logits(z: Tensor, t: Tensor) -> Tensor:
    """Its gradient is a difference, too, but the forward pass makes neither of the two."""
    losses = z.clamp(min=0) - z * t + torch.log1p(torch.exp(-z.abs()))
    return losses.mean()


def product(x: Tensor, w: Tensor) -> Tensor:
    """Nothing is gained: both are read by products."""
    return (x @ w).tanh().sum()


def row(x: Tensor, a: Tensor) -> Tensor:
    """Statistics of the rows, of which one number is enough."""
    return x * a.sum(1, keepdim=True) / a.exp().sum(1, keepdim=True)


FUNCTIONS = {f.__name__: f for f in (difference, logits, product, row)}


def given(f: Callable[..., Any], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    g = torch.Generator().manual_seed(2)
    count = f.__code__.co_argcount
    values = [torch.rand(N, K, generator=g, dtype=dtype) for _ in range(count)]
    if f is product:
        values[1] = values[1].T.contiguous()
    return values


def planned(f: Callable[..., Any], form: str, save: str) -> tuple[backhand.Backprop, Plan]:
    bp = backhand.derive(f, *given(f), wrt=[f.__code__.co_varnames[0]])
    return bp, bp.saving(save, form=form)


def gradient(bp: backhand.Backprop, form: str, save: Any) -> Tensor:
    values = given(FUNCTIONS[bp.name])
    values[0].requires_grad_()
    out = bp.function(form=form, save=save)(*values)
    return torch.autograd.grad(out, values[0], torch.full_like(out, 0.3))[0]


@pytest.mark.parametrize("f", FUNCTIONS.values())
@pytest.mark.parametrize("form", ["longhand", "shorthand"])
def test_the_bits_do_not_depend_on_the_plan(f: Callable[..., Any], form: str) -> None:
    bp, fast = planned(f, form, "fast")
    least = bp.saving("least", form=form)
    assert least.bytes <= fast.bytes
    inputs = [v.name for v in bp.program.inputs]
    wanted = gradient(bp, form, "fast")
    assert torch.equal(gradient(bp, form, "least"), wanted)
    try:
        bp.saving(inputs, form=form)
    except InputError:
        return  # one of them is of no use
    assert torch.equal(gradient(bp, form, inputs), wanted)


@pytest.mark.parametrize("save", ["fast", "least"])
def test_a_difference_is_kept_in_place_of_two_tensors(save: str) -> None:
    bp, plan = planned(difference, "shorthand", save)
    assert [v.var for v in plan.saved] == ["dz_diff"]
    assert plan.bytes == 8 * N * K
    text = bp.emit("function", form="shorthand", save=save)
    assert "dz_diff = p - t" in text.split("def _backward")[0]
    # the text for people is as it was
    assert "(p - t)" in str(bp.shorthand)


def test_what_a_plan_prints_can_be_asked_for() -> None:
    bp, plan = planned(difference, "shorthand", "least")
    again = bp.saving(["dz_diff"], form="shorthand")
    assert str(again) == str(plan)
    assert str(bp.saving(["p", "t"], form="shorthand")) != str(plan)
    with pytest.raises(InputError, match="no value named 'dz_diff'"):
        bp.saving(["dz_diff", "p"], form="shorthand")


def test_no_more_is_written_to_be_faster() -> None:
    """Two inputs are kept for nothing; the one tensor would have to be written."""
    bp, fast = planned(logits, "shorthand", "fast")
    assert [v.name for v in fast.saved] == ["z", "t"]
    least = bp.saving("least", form="shorthand")
    assert least.bytes == 8 * N * K
    assert len(least.saved) == 1


def test_products_stay_in_the_backward_pass() -> None:
    """A gradient that needs no upstream would be a product that nobody may ask for."""

    def f(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
        return ((x @ w) * y.detach()).sum()

    values = [torch.rand(6, 5), torch.rand(5, 4), torch.rand(6, 4)]
    for form in ("longhand", "shorthand"):
        plan = backhand.derive(f, *values, wrt=["x"]).saving("least", form=form)
        assert [v.name for v in plan.saved] == ["w", "y"]


def test_in_every_library() -> None:
    bp, _ = planned(difference, "shorthand", "fast")
    for backend in ("torch", "numpy", "jax"):
        text = bp.emit(backend, form="shorthand", save="fast")
        assert "dz_diff = p - t" in text
