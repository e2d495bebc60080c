"""Drop-in operators pick first and add one-hot rows where they are not zero: same numbers, less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import backhand

N, K = 6, 24


def cross_entropy(x: Tensor, y: Tensor) -> Tensor:
    n = x.shape[0]
    e = (x - x.max(1, keepdim=True).values).exp()
    logprobs = (e / e.sum(1, keepdim=True)).log()
    return -logprobs[range(n), y].mean()


def one_a_row(x: Tensor, y: Tensor) -> Tensor:
    e = x.exp()
    return -(e / e.sum(1, keepdim=True)).log()[torch.arange(x.shape[0]), y]


def smoothed(x: Tensor, y: Tensor) -> Tensor:
    logprobs = torch.log_softmax(x, 1)
    nll = -logprobs[range(x.shape[0]), y]
    return (0.9 * nll - 0.1 * logprobs.mean(1)).mean()


def rewarded(x: Tensor, y: Tensor) -> Tensor:
    """The row comes first: a row minus a tensor."""
    return (F.one_hot(y, K) * x).sum() - (x.exp().sum(1)).log().sum()


def from_columns(x: Tensor, y: Tensor, gain: Tensor) -> Tensor:
    """What is the same in every row is picked from by the column alone."""
    return (x.tanh() * gain).exp()[torch.arange(x.shape[0]), y].sum()


def gathered(x: Tensor, y: Tensor) -> Tensor:
    z = (x - x.mean(1, keepdim=True)) * 0.5
    return (z.sigmoid().gather(1, y.view(-1, 1)) ** 2).sum()


def in_three_axes(x: Tensor, y: Tensor) -> Tensor:
    z = x.view(2, -1, K).exp() * 3
    i = torch.arange(3)
    return z[i % 2, i % z.shape[1], y[0] + i].sum()


def twice(x: Tensor, y: Tensor) -> Tensor:
    """A value that the picked one is made of in two ways."""
    e = x.exp()
    return ((e + 1 / e) * e.sin())[range(x.shape[0]), y].sum()


LABELS = torch.tensor([0, 2, 23, 4, 2, 11])
CASES: dict[str, tuple[Callable[..., Any], int, str, str]] = {
    # what is given besides x and the labels; what is in the text then, and what is not
    "cross-entropy": (cross_entropy, 0, "scatter_add", "logprobs ="),
    "one loss a row": (one_a_row, 0, "scatter_add", "one_hot"),
    "label smoothing": (smoothed, 0, "scatter_add", "one_hot"),
    "row minus tensor": (rewarded, 0, "scatter_add", "- torch.nn.functional.one_hot"),
    "columns": (from_columns, K, "gain[y]", "loss_exp["),
    "gather": (gathered, 0, "z_2.gather", "loss_sigmoid.gather"),
    "three axes": (in_three_axes, 0, "z_1[i % 2", " z[i"),
    "two ways": (twice, 0, "x[torch.arange", "sin()["),
}


def given(name: str, n: int = N, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    g = torch.Generator().manual_seed(5)
    _, more, _, _ = CASES[name]
    labels = LABELS if n == N else torch.randint(0, K, (n,), generator=g)
    out = [torch.randn(n, K, generator=g, dtype=dtype), labels]
    if more:
        out.append(torch.rand(more, generator=g, dtype=dtype))
    return out


def code(module: str) -> str:
    """The two passes, without comments."""
    passes = module.split("\nclass ")[0]
    return "\n".join(n for n in passes.splitlines() if not n.lstrip().startswith("#"))


def both(function: Callable[..., Any], values: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    values = [v.clone().requires_grad_(v.is_floating_point()) for v in values]
    out = function(*values)
    up = torch.linspace(0.5, 2, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, list(torch.autograd.grad(out, [v for v in values if v.requires_grad], up))


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_autograds(name: str) -> None:
    forward = CASES[name][0]
    bp = backhand.derive(forward, *given(name))
    operator = bp.function(form="shorthand")
    for n in (N, 2, 8):
        values = given(name, n)
        ours, truth = both(operator, values), both(forward, values)
        torch.testing.assert_close(ours, truth, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_the_text_is_leaner(name: str) -> None:
    forward, _, there, gone = CASES[name]
    bp = backhand.derive(forward, *given(name))
    text = code(bp.emit("function", form="shorthand"))
    assert there in text and gone not in text


def test_what_people_read_keeps_its_rows() -> None:
    bp = backhand.derive(cross_entropy, *given("cross-entropy"))
    assert "one_hot(y, x.shape[1])" in str(bp.shorthand)
    # the longhand has autograd's bits, in every emitted form
    assert "logprobs = " in code(bp.emit("function"))


def hidden(x: Tensor, y: Tensor) -> Tensor:
    """The row meets a whole tensor: it stays one."""
    return (torch.softmax(x, 1) * (F.one_hot(y, K) - x)).sum()


def many(x: Tensor, y: Tensor) -> Tensor:
    """Most elements are picked: no fewer are made by picking first."""
    return x.exp()[torch.arange(x.shape[0]).repeat(20), y.repeat(20)].sum()


def below(x: Tensor, y: Tensor) -> Tensor:
    """Where an element stands decides about it."""
    return (x.exp().tril() * 2)[torch.arange(x.shape[0]), y].sum()


def halved(x: Tensor, y: Tensor) -> Tensor:
    return F.glu(x, 1)[torch.arange(x.shape[0]), y // 2].sum()


def by_channel(x: Tensor, y: Tensor) -> Tensor:
    slopes = torch.arange(K) / torch.tensor(K, dtype=x.dtype)
    return F.prelu(x, slopes)[torch.arange(x.shape[0]), y].sum()


LEFT = [
    (hidden, "one_hot"), (many, ".exp()["), (below, ".tril()["), (halved, "]"), (by_channel, "]"),
]  # fmt: skip


@pytest.mark.parametrize(("forward", "stays"), LEFT)
def test_what_would_not_gain_is_left(forward: Callable[..., Any], stays: str) -> None:
    values = given("cross-entropy")
    bp = backhand.derive(forward, *values)
    text = code(bp.emit("function", form="shorthand"))
    assert stays in text
    torch.testing.assert_close(
        both(bp.function(form="shorthand"), values), both(forward, values), rtol=1e-11, atol=1e-13
    )


def test_the_smallest_probabilities_keep_their_loss() -> None:
    """The drop-in's forward pass has the bits of the author's: a pick changes no element."""
    x = torch.linspace(-60, 60, N * K).view(N, K)
    bp = backhand.derive(cross_entropy, x, LABELS)
    ours, theirs = bp.function(form="shorthand")(x, LABELS), cross_entropy(x, LABELS)
    assert torch.equal(ours, theirs)


def test_labels_alone_may_be_mapped_over() -> None:
    x, y = given("cross-entropy")
    f = backhand.derive(cross_entropy, x, y).function(form="shorthand")
    labels = torch.stack([y, y.flip(0)])
    gradient = torch.func.vmap(torch.func.grad(f), (None, 0))(x, labels)
    truth = torch.stack([both(cross_entropy, [x, row])[1][0] for row in labels])
    torch.testing.assert_close(gradient * 0.5, truth, rtol=1e-11, atol=1e-13)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled() -> None:
    values = given("cross-entropy", dtype=torch.float32)
    f = backhand.derive(cross_entropy, *values).function(form="shorthand")
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(both(compiled, values), both(cross_entropy, values))


def test_labels_out_of_range_are_refused() -> None:
    x, y = given("cross-entropy")
    f = backhand.derive(cross_entropy, x, y).function(form="shorthand")
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        f(x.requires_grad_(), torch.full_like(y, K))
