"""In-place updates that a program of values cannot hold: refused with the user's line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import backhand
from backhand.errors import LocatedError


def write_to_input(x: Tensor, w: Tensor) -> Tensor:
    x[0] = w[0]
    return (x * x).sum()


def write_to_view_of_input(x: Tensor, w: Tensor) -> Tensor:
    row = x.t()[0]
    row.mul_(2)
    return (x * w).sum()


def write_to_expanded(x: Tensor, w: Tensor) -> Tensor:
    h = (x[0] * 2).expand(4, 4)
    h[0].mul_(2)
    return (h * w).sum()


def write_to_detached(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.detach()[0] = 1.0
    return (h * w).sum()


def write_to_data(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.data.mul_(2)
    return (h * w).sum()


def write_under_no_grad(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    with torch.no_grad():
        h[0] = w[0]
    return (h * w).sum()


def write_through_unfold(x: Tensor, w: Tensor) -> Tensor:
    h = (x * 2).flatten()
    h.unfold(0, 4, 2)[0].mul_(2)
    return (h * h).sum()


def write_to_out(x: Tensor, w: Tensor) -> Tensor:
    h = torch.empty(4, 4)
    torch.mul(x, w, out=h)
    return h.sum()


def turn_in_place(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    row = h[0]
    h.t_()
    return (row * w[0]).sum() + (h * w).sum()


def unsqueeze_in_place(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.unsqueeze_(0)
    return (h * w).sum()


def detach_in_place(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.detach_()
    return (h * w).sum()


def mask_of_many_values(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[x > 0] = w[x > 0]
    return h.sum()


def through_as_strided(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.as_strided((4,), (5,)).mul_(2)
    return (h * w).sum()


def write_to_one_of_several(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    first, _ = h.split(2)
    first.mul_(w[:2])
    return (h * w).sum()


def read_one_of_several(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    rows = h.unbind(0)
    h.mul_(w)
    return (rows[0] * w[1]).sum()


def read_a_no_grad_view(x: Tensor, w: Tensor) -> Tensor:
    h = torch.ones(4, 4)
    with torch.no_grad():
        row = h[0]
    h.mul_(x)
    return (row * w[0]).sum()


def read_what_is_overwritten(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    column = h[..., -1]
    h[...] = column
    return h.sum()


def shift_in_place(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    h[:, 1:] = h[:, :-1]
    return h.sum()


REFUSED = [
    (read_what_is_overwritten, "h[...] = column", "in another order"),
    (shift_in_place, "h[:, 1:] = h[:, :-1]", "in another order"),
    (write_to_one_of_several, "first.mul_(w[:2])", "several views"),
    (read_one_of_several, "return (rows[0] * w[1]).sum()", "several views"),
    (read_a_no_grad_view, "return (row * w[0]).sum()", "no_grad"),
    (write_to_input, "x[0] = w[0]", "in place"),
    (write_to_view_of_input, "row.mul_(2)", "in place"),
    (write_to_expanded, "h[0].mul_(2)", "cannot be followed"),
    (write_to_detached, "h.detach()[0] = 1.0", "detached"),
    (write_to_data, "h.data.mul_(2)", "detached"),
    (write_under_no_grad, "h[0] = w[0]", "no_grad"),
    (write_through_unfold, "h.unfold(0, 4, 2)[0].mul_(2)", "cannot be followed"),
    (write_to_out, "torch.mul(x, w, out=h)", "writes into an argument"),
    (turn_in_place, "h.t_()", "in place"),
    (unsqueeze_in_place, "h.unsqueeze_(0)", "in place"),
    (detach_in_place, "h.detach_()", "in place"),
    (mask_of_many_values, "h[x > 0] = w[x > 0]", ""),
    (through_as_strided, "h.as_strided((4,), (5,)).mul_(2)", "as_strided"),
]


@pytest.mark.parametrize(
    ("forward", "line", "words"), REFUSED, ids=lambda v: getattr(v, "__name__", "")
)
def test_refusals_name_the_line(forward: Callable[..., Tensor], line: str, words: str) -> None:
    with pytest.raises(LocatedError) as refusal:
        backhand.derive(forward, torch.randn(4, 4), torch.randn(4, 4))
    assert refusal.value.where is not None, refusal.value
    assert line in refusal.value.where.text
    assert words in refusal.value.message
    assert refusal.value.hint
