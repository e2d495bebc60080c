"""Programs that random ones have shown to go wrong, made small."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import backhand
from backhand.errors import InputError


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

    bp = backhand.derive(forward, torch.randn(4, 5))
    assert "expand(t.shape)" in str(bp.shorthand) or "torch.full(t.shape" in str(bp.shorthand)
    assert bp.verify(form="shorthand").ok


def mean_of_a_number(z: Tensor, x: Tensor) -> Tensor:
    """The last axis of what has none."""
    k = (z.sum() ** 2 / 2).mean(-1, keepdim=True)
    return (k - k.mean(-1, keepdim=True) + x).sum() * k


def number_spread_over_three_axes(x: Tensor, z: Tensor) -> Tensor:
    u = torch.maximum(x, z[:1, :1, None]) * 2
    u[..., torch.tensor([0, 0])] = 1.5
    return torch.tanh(u)


def index_into_one_row(x: Tensor, y: Tensor) -> Tensor:
    b = x[:1, None] - y[:1, None]
    square = b * b
    b = b.index_copy(0, torch.tensor([0]), b[[0]] * 2)
    return (1 - square).sum() + b.sum()


def sums_of_exponentials(x: Tensor, w: Tensor) -> Tensor:
    a = (x * x) ** -0.5
    u = a.logcumsumexp(0)
    return w.sum() + u.sum() + (a - a).sum()


def made_in_the_likeness_of_a_gradient(x: Tensor, w: Tensor) -> Tensor:
    """Windows are added up by places that are counted on the gradient's device."""
    b = torch.cat((w[0], x[0]))
    s = torch.tanh(b) * b
    clamped = torch.clamp(s, b, 1.0 + b)
    return (clamped.unfold(-1, 5, 2) * 2).sum() + (s * clamped).sum()


def picked_by_its_own_order(x: Tensor, w: Tensor) -> Tensor:
    u = F.huber_loss(x, w).relu()
    h = u[..., None]
    k = torch.cat([h * i for i in range(3)])
    first, second = (h + torch.tensor([1.0, 2.0, 3.0])).chunk(2, -1)
    picked = torch.take_along_dim(h, h.argsort(0), 0)
    return first.sum() + second.sum() + picked.sum() + k.sum()


def a_loss_against_itself(x: Tensor, y: Tensor) -> Tensor:
    s = torch.zeros_like(x).scatter_add(0, (x.cumprod(1) > 0).long(), y)
    return F.binary_cross_entropy_with_logits(s, s.sigmoid())


@pytest.mark.parametrize(
    "forward",
    [
        mean_of_a_number,
        number_spread_over_three_axes,
        index_into_one_row,
        sums_of_exponentials,
        made_in_the_likeness_of_a_gradient,
        picked_by_its_own_order,
        a_loss_against_itself,
    ],
)
def test_unusual_programs_are_solved_or_left(forward) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    bp = backhand.derive(forward, x, y)
    assert bp.verify(form="shorthand").ok
    operator = bp.function(form="shorthand")
    values = [x.requires_grad_(), y.requires_grad_()]
    ours, theirs = operator(*values), forward(*values)
    up = torch.randn(theirs.shape, generator=generator, dtype=theirs.dtype)
    torch.testing.assert_close(
        torch.autograd.grad(ours, values, up, allow_unused=True),
        torch.autograd.grad(theirs, values, up, allow_unused=True),
    )


def from_the_end(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
    logprobs = torch.log_softmax(x, 1)
    return -logprobs[torch.arange(x.shape[0]), i].mean()


def columns_from_the_end(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
    return (x[:, i[:2]] * y[:, i[1:3]]).exp().sum()


@pytest.mark.parametrize("forward", [from_the_end, columns_from_the_end])
def test_indices_may_count_from_the_end(forward) -> None:
    x, y = torch.randn(2, 4, 5, dtype=torch.float64).unbind()
    i = torch.tensor([-1, 2, -5, 4])
    bp = backhand.derive(forward, x, y, i)
    assert bp.verify(x, y, i, form="shorthand").ok
    values = [x.requires_grad_(), y.requires_grad_()]
    ours = bp.function(form="shorthand")(*values, i)
    torch.testing.assert_close(
        torch.autograd.grad(ours, values, allow_unused=True),
        torch.autograd.grad(forward(*values, i), values, allow_unused=True),
    )


def test_a_mean_of_nothing_is_no_coefficient() -> None:
    def forward(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)).sum() + (x / x).sum()

    bp = backhand.derive(forward, torch.empty(3, 0))
    assert bp.verify(form="shorthand").ok


def test_the_softmax_of_nothing() -> None:
    def forward(x: Tensor) -> Tensor:
        return x.sum() + torch.log_softmax(x[[]], 0).sum()

    bp = backhand.derive(forward, torch.randn(1))
    assert bp.verify(form="shorthand").ok


def copied_sign(x: Tensor) -> Tensor:
    return torch.copysign(x, x)


def product_of_all(x: Tensor) -> Tensor:
    return x[0].prod() + (x[1].abs() + 1).prod()


def logit_within(x: Tensor) -> Tensor:
    return torch.logit(x, eps=0.1)


def length_of_sorted(x: Tensor) -> Tensor:
    return x.sort(0).values.norm(dim=0) + F.normalize(x, dim=0).sum(0)


def guarded_by_hand(x: Tensor) -> Tensor:
    safe = torch.where(x == 0, 1.0, x)
    return torch.where(x == 0, 0.0, x.abs().sqrt() / safe)


@pytest.mark.parametrize(
    "forward", [copied_sign, product_of_all, logit_within, length_of_sorted, guarded_by_hand]
)
@pytest.mark.parametrize("shape", [(2, 4), (2, 1)])
def test_a_branch_that_divides_is_not_multiplied_by_zero(forward, shape: tuple[int, int]) -> None:
    x = torch.tensor([0.0, 1, -2, 0.95, 0, 0, 2, 1], dtype=torch.float64).view(2, 4)[:, : shape[1]]
    x = x.requires_grad_()
    bp = backhand.derive(forward, x)
    ours, theirs = bp.function(form="shorthand")(x), forward(x)
    up = torch.full_like(theirs, 0.7)
    torch.testing.assert_close(
        torch.autograd.grad(ours, x, up), torch.autograd.grad(theirs, x, up), equal_nan=True
    )


def test_labels_that_count_from_the_end_later_on_are_refused_by_the_text_alone() -> None:
    x, y = torch.randn(2, 4, 5, dtype=torch.float64).unbind()
    usual, other = torch.tensor([1, 2, 0, 4]), torch.tensor([-1, 2, -5, 4])
    bp = backhand.derive(from_the_end, x, y, usual)
    assert "one_hot(i, x.shape[1])" in str(bp.shorthand)
    with pytest.raises(InputError, match="i has negative elements, which the example has not"):
        bp.verify(x, y, other, form="shorthand")
    z = x.clone().requires_grad_()
    ours = torch.autograd.grad(bp.function(form="shorthand")(z, y, other), z)
    torch.testing.assert_close(ours, torch.autograd.grad(from_the_end(z, y, other), z))


def test_a_gradient_has_the_dtype_of_its_value() -> None:
    """A number in double precision does not make a row in single precision one in double."""

    def forward(x: Tensor, w: Tensor) -> Tensor:
        row = w.float()[[1], [0, 1]]
        return (row / (x @ x)).sum()

    x, w = torch.randn(1, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    bp = backhand.derive(forward, x, w, runs="shorthand")
    assert bp.verify(form="shorthand").ok
    _, gradients = bp(x, w)
    assert gradients["w"].dtype == torch.float64
