"""Forward passes that bind a name again: ``h`` is its last value, ``dh`` each one's in turn."""

from __future__ import annotations

import pytest
import torch

from backhand.review import Review, review

from .handmade import handmade


def rebound(x, w1, w2):
    h = x @ w1
    h = h.tanh()
    y = h @ w2
    loss = (y**2).mean()
    return loss


def thrice(x, w1, w2):
    x = x * 3
    h = x @ w1
    h = h.tanh()
    h = h * 2
    loss = ((h @ w2) ** 2).mean()
    return loss


def in_place(x, w1, w2):
    h = x @ w1
    h += 1
    h = h * h
    h *= 3
    loss = (h @ w2).sum() / h.numel()
    return loss


def looped(x, w1, w2):
    h = x @ w1
    for _ in range(2):
        h = h.tanh()
    loss = (h @ w2).mean()
    return loss


def shifted(x, w1, w2):
    logits = x @ w1
    logits = logits - logits.max(1, keepdim=True).values
    p = logits.exp()
    p = p / p.sum(1, keepdim=True)
    loss = -p[:, 0].log().mean() + w2.mean()
    return loss


_SHAPES = ((5, 3), (3, 4), (4, 2))
INPUTS = tuple(torch.randn(s, generator=torch.Generator().manual_seed(3)) for s in _SHAPES)
_Y = "dy = 2 * y / y.numel()\ndw2 = h.T @ dy\n"
_END = "dw1 = x.T @ dh\ndx = dh @ w1.T\n"
_Z = "dz = 2 * (h @ w2) / (x.shape[0] * w2.shape[1])\n"

RIGHT = {
    "a line for each value": (
        rebound, f"{_Y}dh = dy @ w2.T\ndh = dh * (1 - h**2)\n{_END}"
    ),
    "in place": (rebound, f"{_Y}dh = dy @ w2.T\ndh *= 1 - h**2\n{_END}"),
    "one line for both values": (rebound, f"{_Y}dh = (dy @ w2.T) * (1 - h**2)\n{_END}"),
    "a name of its own for the first": (
        rebound, f"{_Y}dh = dy @ w2.T\ndz = dh * (1 - h**2)\ndw1 = x.T @ dz\ndx = dz @ w1.T\n"
    ),
    "parts of a sum": (
        rebound,
        f"{_Y}dh = dy[:, :1] @ w2.T[:1]\ndh += dy[:, 1:] @ w2.T[1:]\ndh = dh - dh * h**2\n{_END}",
    ),
    "three values and an input": (
        thrice,
        f"{_Z}dh = dz @ w2.T\ndh = dh * 2\ndh = dh * (1 - (h / 2) ** 2)\n"
        "dw1 = (3 * x).T @ dh\ndx = dh @ w1.T\ndx = 3 * dx\n",
    ),
    "two steps at once": (
        thrice,
        f"{_Z}dh = dz @ w2.T\ndh = 2 * dh * (1 - (h / 2) ** 2)\n"
        "dw1 = (3 * x).T @ dh\ndx = 3 * dh @ w1.T\n",
    ),
    "in-place steps": (
        in_place,
        "dz = torch.ones(x.shape[0], w2.shape[1]) / h.numel()\ndw2 = h.T @ dz\ndh = dz @ w2.T\n"
        f"dh = 3 * dh\ndh = dh * 2 * (x @ w1 + 1)\n{_END}",
    ),
    "a loop back": (
        looped,
        "dz = torch.ones(x.shape[0], w2.shape[1]) / (x.shape[0] * w2.shape[1])\ndh = dz @ w2.T\n"
        "h1 = (x @ w1).tanh()\ndh = dh * (1 - h**2)\ndh = dh * (1 - h1**2)\n"
        f"{_END}",
    ),
    "one gradient in three steps": (
        shifted,
        "dlogits = p.clone()\ndlogits[:, 0] -= 1\ndlogits /= x.shape[0]\n"
        "dw1 = x.T @ dlogits\ndx = dlogits @ w1.T\n",
    ),
}  # fmt: skip


def of(name: str) -> Review:
    forward, text = RIGHT[name]
    return review(handmade(forward, text, INPUTS))


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_no_alarm(name: str) -> None:
    outcome = of(name)
    assert outcome.ok, str(outcome)
    assert {g.verdict for g in outcome.gradients} <= {"exact", "close"}, str(outcome)


# The text, what stands in its place, the line that is to blame (counted from 1), the cause.
WRONG = [
    ("a line for each value", "dh * (1 - h**2)", "dh * (1 - h**3)", 4, "exponent"),
    ("a line for each value", "dy @ w2.T", "-dy @ w2.T", 3, "sign"),
    ("in place", "dh *= 1 - h**2", "dh *= 1 + h**2", 4, "sign"),
    ("three values and an input", "dx = 3 * dx", "dx = -3 * dx", 7, "sign"),
    ("three values and an input", "dh = dh * 2\n", "dh = -dh * 2\n", 3, "sign"),
    ("one gradient in three steps", "-= 1", "-= 2", 2, "constant"),
]


@pytest.mark.parametrize(("name", "old", "new", "line", "code"), WRONG)
def test_the_line_that_is_wrong_is_blamed(
    name: str, old: str, new: str, line: int, code: str
) -> None:
    forward, text = RIGHT[name]
    assert old in text
    outcome = review(handmade(forward, text.replace(old, new), INPUTS))
    wrong = [(g.line, [c.code for c in g.causes]) for g in outcome.gradients if g.causes]
    assert wrong == [(line, [code])], str(outcome)


def test_nothing_is_said_of_a_value_that_has_no_name_any_more() -> None:
    forward, text = RIGHT["a line for each value"]
    outcome = review(handmade(forward, text.replace("(1 - h**2)", "(1 - h**2) * x"), INPUTS))
    assert "h_1" not in str(outcome)
