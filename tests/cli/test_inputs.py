"""Example inputs: where they come from, and what is said when they do not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import backhand as package
from backhand.errors import InputError

from .conftest import FORWARD, Run, Write

Refused = Callable[..., str]

ANNOTATED = """\
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

def plain(x: Float[Tensor, "n d"], w: Float[Tensor, "d k"], y: Int[Tensor, "n"]):
    logits = x @ w
    return torch.nn.functional.cross_entropy(logits, y)

def half(x: Float[Tensor, "n d"], w):
    return (x * w).sum()

def odd(x: Float[Tensor, "n-!"]):
    return x.sum()

def loose(x: Float[Tensor, "... d"], y: Float[Tensor, "_ d"]):
    return x.sum() + y.sum()

def table(words: Float[Tensor, "3 d"], i: Int[Tensor, "n"], keep: Bool[Tensor, "n"]):
    return (words[i] * keep.unsqueeze(1)).sum()

def counted(x: Float[Tensor, "n d"], n: int, scale: float = 2.0, b: Float[Tensor, "d"] = None):
    return (x + b).sum() * scale / n

def named_only(x: Float[Tensor, "n"], *, y: Float[Tensor, "n"]):
    return (x * y).sum()

def sideways():
    return {"w": torch.randn(3, 5), "x": torch.randn(6, 3), "y": torch.zeros(6, dtype=torch.long)}

def few():
    return torch.randn(2, 3), torch.randn(3, 2)

def nothing():
    return None

def breaks():
    raise RuntimeError("no inputs today")

def leaves():
    raise SystemExit("bye")

def wants(q):
    return q

value = 3
"""


@pytest.fixture
def annotated(write: Write) -> str:
    write("a.py", ANNOTATED)
    return "a.py:plain"


def test_there_are_none(refused: Refused, write: Write) -> None:
    write("t.py", "def f(x):\n    return x.sum()\n")
    message = refused("derive", "t.py:f")
    assert "there are no example inputs (x has no jaxtyping annotation)" in message
    assert "define example_inputs() beside the target" in message
    assert 'x: Float[Tensor, "n d"]' in message
    assert "sum has no signature" in refused("derive", "torch:sum")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("half", "there are no example inputs (w has no jaxtyping annotation)"),
        ("odd", "the axis 'n-!' of x is not understood"),
        ("named_only", "y can be given by name only"),
    ],
)
def test_annotations_that_do_not_do(refused: Refused, annotated: str, name: str, said: str) -> None:
    assert said in refused("derive", f"a.py:{name}")


@pytest.mark.parametrize("name", ["plain", "loose", "table", "counted"])
def test_annotations_that_do(backhand: Run, annotated: str, name: str) -> None:
    ended = backhand("verify", f"a.py:{name}")
    assert ended.status == 0, ended
    assert " = x.shape" not in ended.out


def test_an_axis_without_a_name_gets_none(backhand: Run, annotated: str) -> None:
    out = backhand("derive", "a.py:loose").out
    assert "_ = " not in out
    assert "[_" not in out


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("n", "--at 'n' is not understood: write --at n=32,d=64"),
        ("n=x", "is not understood"),
        ("n=-1", "is not understood"),
        ("n=²", "is not understood"),
        ("n=1e3", "is not understood"),
        ("n=2,n=3", "--at gives n twice"),
        ("q=4", "no annotation has a size named 'q' (the sizes are: d, k, n)"),
        ("n=99999999999999999999", "no tensor has an axis that long"),
        ("n=1000000000,d=1000000000", "it does not fit into memory"),
    ],
)
def test_sizes_that_do_not_do(refused: Refused, annotated: str, at: str, said: str) -> None:
    assert said in refused("verify", annotated, "--at", at)


def test_sizes_of_annotations(backhand: Run, annotated: str) -> None:
    out = backhand("verify", annotated, "--at", "n=9, d=4").out
    assert "9×4" in out


def test_sizes_of_example_inputs(backhand: Run, refused: Refused, target: str) -> None:
    assert "7×3" in backhand("verify", target, "--at", "n=7").out
    message = refused("verify", target, "--at", "q=7")
    assert "example_inputs() takes no size named 'q' (it takes: n, d)" in message


@pytest.mark.parametrize("at", ["n=1", "n=0", "d=1", "d=0", "n=0,d=0"])
def test_sizes_of_one_and_none(backhand: Run, target: str, at: str) -> None:
    ended = backhand("verify", target, "--at", at)
    assert ended.status == 0
    assert "4 exact" in ended.out


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("a.py", "'a.py' is not a target"),
        ("nowhere.py:f", "there is no file nowhere.py"),
        ("a.py:nowhere", "a.py has nothing named nowhere"),
        ("a.py:value", "a.py:value is not a function"),
        ("a.py:nothing", "a.py:nothing returns no inputs"),
        ("a.py:breaks", "a.py:breaks failed: RuntimeError: no inputs today\n"),
        ("a.py:leaves", "a.py:leaves ended the program (exit bye)"),
        ("a.py:wants", "must work without arguments, or with sizes from --at"),
        ("a.py:few", "what a.py:few returns does not fit plain: missing a required argument: 'y'"),
    ],
)
def test_inputs_that_do_not_do(refused: Refused, annotated: str, inputs: str, said: str) -> None:
    assert said in refused("derive", annotated, "--inputs", inputs)


def test_inputs_by_name_from_another_file(backhand: Run, annotated: str, write: Write) -> None:
    write("other.py", ANNOTATED)
    for file in ("a.py", "other.py"):
        out = backhand("verify", annotated, "--inputs", f"{file}:sideways").out
        assert "6×3" in out


@pytest.mark.parametrize(
    ("wrt", "said"),
    [
        ("y", "y holds int64: only floating-point inputs have gradients"),
        ("zz", "there is no input named 'zz': the inputs are x, w, y"),
        ("logits", "there is no input named 'logits'"),
        ("", "--wrt names no input"),
        (",", "--wrt names no input"),
    ],
)
def test_gradients_that_cannot_be_had(
    refused: Refused, annotated: str, wrt: str, said: str
) -> None:
    assert said in refused("derive", annotated, "--wrt", wrt)


def test_gradients_of_some_inputs(backhand: Run, annotated: str) -> None:
    out = backhand("derive", annotated, "--wrt", "w").out
    assert "dw = " in out
    assert "dx = " not in out


def test_integers_alone_have_no_gradient(refused: Refused, write: Write) -> None:
    write(
        "t.py",
        "import torch\ndef example_inputs(): return (torch.arange(3),)\n"
        "def f(i):\n    return (i * 2).sum()\n",
    )
    message = refused("derive", "t.py:f")
    assert "no input can have a gradient (i [3] int64): only floating-point tensors" in message


LINES = {
    "branch": ("if y.sum() > 0:\n        y = y * 2", "use torch.where(condition, a, b)"),
    "mutated": ("x += 1", "work on a copy (x = x.clone()) instead"),
    "unsupported": ("y = torch.special.bessel_j0(y)", "`backhand ops` lists what is"),
    "item": ("y = y * y[0, 0].item()", ".item()"),
    "shapes": ("y = y @ w", "mat1 and mat2 shapes cannot be multiplied (4x2 and 3x2)"),
    "raises": ('raise ValueError("no")', "the forward pass fails on the example inputs"),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_that_cannot_be_derived(refused: Refused, write: Write, name: str) -> None:
    line, said = LINES[name]
    write("t.py", FORWARD.replace("    return (y", f"    {line}\n    return (y"))
    message = refused("derive", "t.py:forward")
    assert said in message
    assert f"t.py:8: {line.splitlines()[0]}" in message


def test_a_call_with_shapes_that_do_not_fit() -> None:
    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return (x @ w).sum()

    bp = package.derive(forward, torch.randn(4, 3), torch.randn(3, 2))
    with pytest.raises(InputError) as error:
        bp(torch.randn(4, 3), torch.randn(5, 2))
    message = str(error.value)
    assert "the forward pass fails on these inputs" in message
    assert "return (x @ w).sum()" in message
    assert "given: x [4, 3] float32, w [5, 2] float32" in message
    assert "derived with: x [4, 3] float32, w [3, 2] float32" in message
    with pytest.raises(InputError, match=r"given: x .* float64, w .* float32"):
        bp(torch.randn(4, 3).double(), torch.randn(3, 2))
    with pytest.raises(InputError, match=r"expected the inputs \(x, w\), got \(x\)"):
        bp(torch.randn(4, 3))
    loss, gradients = bp(torch.ones(7, 3), torch.ones(3, 2))
    assert (loss.item(), gradients["x"].shape) == (42.0, (7, 3))


def test_an_output_that_is_no_scalar_needs_an_upstream() -> None:
    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return x @ w

    x, w = torch.randn(4, 3), torch.randn(3, 2)
    bp = package.derive(forward, x, w)
    with pytest.raises(InputError, match="not a scalar loss: pass upstream=…, the gradient of out"):
        bp(x, w)
    with pytest.raises(InputError, match="is not a tensor"):
        bp(x, w, upstream=3.0)
    for other in (x, torch.ones(2), torch.ones(4, 2).double(), torch.ones(5, 2)):
        with pytest.raises(InputError, match=r"upstream of out .* out has \[4, 2\] float32"):
            bp(x, w, upstream=other)
    out, gradients = bp(torch.ones(5, 3), w, upstream=torch.ones(5, 2))
    assert (out.shape, gradients["x"].shape) == ((5, 2), (5, 3))


def test_a_scalar_loss_takes_no_upstream() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return x.sum()

    bp = package.derive(forward, torch.ones(3))
    with pytest.raises(InputError, match="its upstream is 1, give none"):
        bp(torch.ones(3), upstream=torch.ones(()))
