"""Programs that random ones have shown to go wrong, made small."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import backhand


def the_gradient_is_a_number(t: Tensor, x: Tensor) -> Tensor:
    return (F.softplus(x) - 2 * t).sum()


def one_less_than_a_sum(x: Tensor, t: Tensor) -> Tensor:
    cosine = (x * t).sum(-1) / ((x**2).sum(-1) * (t**2).sum(-1)).sqrt()
    return (1 - cosine).sum()


def a_value_stands_for_what_it_is_made_of(x: Tensor) -> Tensor:
    l = x - torch.logsumexp(x, 0, keepdim=True)  # noqa: E741
    p = torch.softmax(l, -1)
    v = (p**2).mean(0, keepdim=True)
    r = (v + 1e-3) ** -0.5
    return p * r


def a_sum_stands_for_what_it_is_made_of(x: Tensor) -> Tensor:
    q = F.softplus(x)
    return torch.softmax(2 * q, 1)


def normed_twice(x: Tensor) -> Tensor:
    """A number beside terms that share a factor."""
    y = F.layer_norm(x, (x.shape[-1],))
    c = y - y.mean(1, keepdim=True)
    v = (c**2).sum(1, keepdim=True) / y.shape[1]
    r = (v + 0.001) ** -0.5
    return c * r


def divided_and_multiplied(x: Tensor) -> Tensor:
    """A heavy factor that some terms have above the line and others below."""
    v = (x**2).mean(1, keepdim=True)
    r = (v + 1e-3) ** -0.5
    y = x * r
    h = (y**2).mean(-1).unsqueeze(1)
    s = (h + 1e-3) ** -0.5
    return y * s


@pytest.mark.parametrize(
    ("forward", "count"),
    [
        (the_gradient_is_a_number, 2),
        (one_less_than_a_sum, 2),
        (a_value_stands_for_what_it_is_made_of, 1),
        (a_sum_stands_for_what_it_is_made_of, 1),
        (normed_twice, 1),
        (divided_and_multiplied, 1),
    ],
)
def test_shorthand_is_right(forward, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(4, 5, generator=generator) for _ in range(count)]
    assert backhand.derive(forward, *inputs).verify(form="shorthand").ok


def test_a_gradient_of_nothing_but_a_number_is_written_as_one() -> None:
    def forward(t: Tensor) -> Tensor:
        return (2 * t - t * 4).sum()

    listing = str(backhand.derive(forward, torch.randn(4, 5)).shorthand)
    assert "dt = torch.full(t.shape, -2" in listing
