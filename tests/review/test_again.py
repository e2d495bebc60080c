"""Reviews of a file that is saved again and again, by children that have prepared themselves."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backhand.errors import BackhandError
from backhand.review import Review
from backhand.review.again import Reviews
from backhand.review.intact import Intact
from backhand.review.outcome import review_file

MODULE = """\
import torch
from neighbour import FACTOR

BIAS = torch.tensor([1.0, 2.0])

def scaled(x):
    return x * FACTOR

def forward(x, w):
    y = scaled(x) @ w + BIAS
    loss = (y * y).mean()
    return loss

def backward(x, w, y):
    dy = 2 * y / y.numel()
    dw = scaled(x).T @ dy
    dx = FACTOR * dy @ w.T
    return dx, dw

def example_inputs():
    return torch.randn(5, 3), torch.randn(3, 2)
"""
SCRIPT = """\
import torch
x = torch.randn(5, 3)
w = torch.randn(3, 2, requires_grad=True)
h = (x @ w).tanh()
loss = h.mean()
dh = torch.ones_like(h) / h.numel()
dw = x.T @ (dh * (1 - h * h))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "neighbour.py").write_text("FACTOR = 3.0\n")
    (tmp_path / "mine.py").write_text(MODULE)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("neighbour", None)


@pytest.fixture
def reviews(folder: Path) -> Iterator[Reviews]:
    made = Reviews("mine.py")
    yield made
    made.close()


def wait(reviews: Reviews) -> None:
    """Until the child has prepared itself: what it has sent lies in the pipe."""
    assert reviews._child is not None
    ready, _, _ = select.select([reviews._child.result], [], [], 60)
    assert ready


# Each changes something that the forward pass rests on, or nothing of it.
SAVES: dict[str, tuple[str, Callable[[str], str], bool]] = {
    "nothing": (MODULE, lambda t: t, True),
    "a backward line": (MODULE, lambda t: t.replace("scaled(x).T", "x.T"), True),
    "a line more below": (MODULE, lambda t: t.replace("    dx", "    # dx\n    dx"), True),
    "a line of the script": (SCRIPT, lambda t: t.replace("x.T @ (dh", "2 * x.T @ (dh"), True),
    "the forward pass": (MODULE, lambda t: t.replace("y * y).mean", "y * y).sum"), False),
    "its place": (MODULE, lambda t: t.replace("def forward", "# here\ndef forward"), False),
    "a helper": (MODULE, lambda t: t.replace("x * FACTOR", "x + FACTOR"), False),
    "a constant": (MODULE, lambda t: t.replace("[1.0, 2.0]", "[1.0, 3.0]"), False),
    "the script's forward": (SCRIPT, lambda t: t.replace(".tanh()", ".exp()"), False),
}


@pytest.mark.parametrize("name", SAVES)
def test_what_was_prepared_is_used_where_it_still_holds(
    name: str, folder: Path, reviews: Reviews
) -> None:
    text, change, same = SAVES[name]
    Path("mine.py").write_text(text)
    reviews._prepare(Intact())
    before = reviews._before
    assert before is not None
    Path("mine.py").write_text(change(text))
    assert (reviews._now().forward is before.handwritten.forward) is same


@pytest.mark.parametrize("name", ["a backward line", "a helper", "a line of the script"])
def test_a_prepared_child_says_what_a_fresh_one_says(
    name: str, folder: Path, reviews: Reviews
) -> None:
    text, change, _ = SAVES[name]
    Path("mine.py").write_text(text)
    reviews.get_ready()
    wait(reviews)
    Path("mine.py").write_text(change(text))
    assert reviews.review().review == review_file("mine.py").review


def test_other_numbers_of_the_inputs_are_the_new_ones(folder: Path, reviews: Reviews) -> None:
    def with_inputs(made: str) -> Review:
        Path("mine.py").write_text(MODULE.replace("torch.randn(5, 3)", made))
        return reviews.review().review

    with_inputs("torch.randn(5, 3)")
    for made in ("torch.zeros(4, 3)", "torch.full((4, 3), 9.0)"):
        reviews.get_ready()
        wait(reviews)
        assert with_inputs(made) == review_file("mine.py").review


def test_a_neighbour_that_has_changed_is_read_anew(folder: Path, reviews: Reviews) -> None:
    reviews.get_ready()
    wait(reviews)
    Path("neighbour.py").write_text("FACTOR = -30.0  # another\n")
    Path("mine.py").write_text(MODULE.replace("FACTOR * dy", "-30.0 * dy"))
    assert reviews.review().review.ok


def test_a_child_that_does_not_get_ready_is_no_hindrance(folder: Path, reviews: Reviews) -> None:
    for unlucky in ("while True: pass", "raise SystemExit", "import os; os._exit(3)", "x = ("):
        Path("mine.py").write_text(f"{MODULE}\n{unlucky}\n")
        reviews.get_ready()
        time.sleep(0.2)
        Path("mine.py").write_text(MODULE)
        assert reviews.review().review.ok, unlucky


def test_what_was_patched_while_preparing_is_mended(folder: Path, reviews: Reviews) -> None:
    patch = "\ntorch.Tensor.mean = torch.Tensor.sum\ntorch.equal = lambda *_: True\n"
    Path("mine.py").write_text(MODULE + patch)
    reviews.get_ready()
    wait(reviews)
    Path("mine.py").write_text(MODULE.replace("x).T @ dy", "x).T @ dy * 2"))
    review = reviews.review().review
    assert not review.ok and not review.notes
    assert review == review_file("mine.py").review


def test_what_it_prints_while_preparing_is_not_shown(folder: Path, reviews: Reviews) -> None:
    Path("mine.py").write_text(f"{MODULE}\nprint('hello' * 100_000)\n")
    reviews.get_ready()
    wait(reviews)
    Path("mine.py").write_text(f"{MODULE}\nprint('once')\n")
    assert reviews.review().printed == "once\n"


def test_a_prepared_child_ends_with_its_parent(folder: Path) -> None:
    program = (
        "import os, select, sys, time\n"
        "from backhand.review.again import Reviews\n"
        "r = Reviews('mine.py')\n"
        "r.get_ready()\n"
        "select.select([r._child.result], [], [], 60)\n"
        "print(r._child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    pid = int(ended.stdout)
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return  # it has ended, and whoever adopted it has not looked yet
        time.sleep(0.05)
    os.kill(pid, 9)
    raise AssertionError("the child outlives its parent")


def test_its_errors_are_those_of_one_review(folder: Path, reviews: Reviews) -> None:
    reviews.get_ready()
    wait(reviews)
    Path("mine.py").write_text(MODULE.replace("@ dy", "@ ("))
    with pytest.raises(BackhandError, match=r"mine\.py, line 16"):
        reviews.review()
