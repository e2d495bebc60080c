"""Random numbers: drawn once, by the printed forward pass, in the order of the user's code."""

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Gumbel, Normal

import backhand
from backhand.errors import LocatedError


def permutation(x):
    return (x[torch.randperm(x.shape[0])] * x).sum()


def sampled_positions(x):
    positions = torch.multinomial(torch.softmax(x, 1), 2)
    return x.gather(1, positions).pow(2).sum()


def with_replacement(x):
    return x[:, torch.multinomial(torch.ones(3), 7, replacement=True)].pow(2).sum()


def uniform(x):
    noise = torch.empty(x.shape[0], 3).uniform_(-1, 1)
    return (x * noise).sum()


def normal(x):
    noise = torch.empty_like(x).normal_(0, 2)
    return (x * noise).sum()


def other_fills(x):
    a = torch.empty(3).exponential_(2.0) + torch.empty(3).log_normal_()
    b = torch.empty(3).cauchy_(0, 0.5) + torch.empty(3).geometric_(0.3)
    return (x * a * b).sum()


def written_over(x):
    y = x * 2
    y.normal_()
    return (y * x).sum()


def a_row_written_over(x):
    y = x * 2
    y[0].uniform_()
    return (y * x).sum()


def integers(x):
    rows = torch.randint(0, 4, (7,))
    signs = torch.randint(2, (7, 1), dtype=torch.int32) * 2 - 1
    return (x[rows].pow(2) * signs * torch.randint_like(x[rows], 2, 9)).sum()


def around_tensors(x):
    return (x * torch.normal(x, 1.0) * torch.normal(x, x.exp()) * torch.normal(0.5, x.exp())).sum()


def normal_of_a_size(x):
    return (x * torch.normal(0.0, 1.0, size=x.shape)).sum()


def poisson(x):
    return (x * torch.poisson(x.exp())).sum()


def gumbel(x):
    return (F.gumbel_softmax(x, tau=0.5) * x + F.gumbel_softmax(x, hard=True)).pow(2).sum()


def reparametrised(x):
    z = Normal(x, x.exp(), validate_args=False).rsample()
    return (z * Gumbel(x, 1.0, validate_args=False).rsample()).sum()


def randomized_slopes(x):
    return (F.rrelu(x, training=True) * x).sum()


def dropouts(x):
    y = F.alpha_dropout(x, 0.3, True) + F.dropout1d(x, 0.3, True)
    return (y * F.feature_alpha_dropout(x, 0.3, True)).sum()


def unread(x):
    torch.rand(3)
    torch.randn(2)
    return (F.dropout(x, 0.5) * torch.rand_like(x)).sum()


RIGHT = [
    permutation,
    sampled_positions,
    with_replacement,
    uniform,
    normal,
    other_fills,
    written_over,
    a_row_written_over,
    integers,
    around_tensors,
    normal_of_a_size,
    poisson,
    gumbel,
    reparametrised,
    randomized_slopes,
    dropouts,
    unread,
]


@pytest.mark.parametrize("forward", RIGHT, ids=lambda f: f.__name__)
def test_the_same_numbers_in_the_same_order(forward):
    x = torch.linspace(-1.5, 2.0, 12).reshape(4, 3)
    bp = backhand.derive(forward, x)
    report = bp.verify()
    assert report.ok, str(report)
    larger = torch.cat([x, x + 0.1, -x])
    losses = set()
    for seed in (1, 2):
        given = larger.clone().requires_grad_()
        torch.manual_seed(seed)
        truth = forward(given)
        truth.backward()
        after = torch.rand(1)
        torch.manual_seed(seed)
        loss, gradients = bp(larger)
        assert torch.equal(loss, truth.detach())
        assert torch.equal(gradients["x"], given.grad)
        assert torch.equal(torch.rand(1), after), "another number of draws than the user's function"
        losses.add(loss.item())
    assert len(losses) == 2, "the numbers are fixed"


def test_the_text_draws_in_the_forward_pass_only():
    text = backhand.derive(uniform, torch.randn(4, 3)).emit()
    forward, _, backward = text.partition("def backward")
    assert ".uniform_(-1.0)" in forward
    assert "uniform" not in backward and "noise = saved['noise']" in backward


def a_column(x):
    y = x * 2
    y[:, 0].normal_()
    return y.sum()


def random_in_place(x):
    return (torch.empty(3).random_(0, 6) * x).sum()


def own_generator(x):
    return (torch.rand(3, generator=torch.Generator()) * x).sum()


REFUSED = [
    (a_column, "y[:, 0].normal_()", "draw a tensor of its own"),
    (random_in_place, "random_(0, 6)", "torch.randint(low, high, size)"),
    (own_generator, "torch.Generator()", "default generator"),
]


@pytest.mark.parametrize(("forward", "line", "instead"), REFUSED)
def test_refused_with_the_line_and_what_to_write(forward, line, instead):
    with pytest.raises(LocatedError) as caught:
        backhand.derive(forward, torch.randn(4, 3))
    assert line in str(caught.value)
    assert instead in str(caught.value)
