"""Requests that make no sense as they stand: each refused in a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import FORWARD, Run, Write

Refused = Callable[..., str]

HEAD = """\
import torch

def example_inputs():
    return torch.randn(4, 3), torch.randn(3, 2)

"""


@pytest.mark.parametrize(
    ("source", "said", "line"),
    [
        (
            "def f(x, w):\n    with torch.autocast('cpu'):\n        return (x @ w).sum()\n",
            "leave it out and cast where you want to",
            "t.py:8: return (x @ w).sum()",
        ),
        (
            "def f(x, w):\n    return (x @ w).argmax()\n",
            "no output depends on an input that has a gradient",
            "t.py:7: return (x @ w).argmax()",
        ),
        (
            "@torch.no_grad()\ndef f(x, w):\n    return (x @ w).sum()\n",
            "leave out what cuts it off from the inputs",
            "t.py:8: return (x @ w).sum()",
        ),
        (
            "def f(x, w):\n    yield (x @ w).sum()\n",
            "return the loss or the outputs instead of yielding them",
            "t.py:6: def f(x, w):",
        ),
        (
            "async def f(x, w):\n    return (x @ w).sum()\n",
            "write it as a plain function: def instead of async def",
            "t.py:6: async def f(x, w):",
        ),
        (
            "def f(x, w, seen=[]):\n    seen.append(1)\n    return (x @ w).sum() * len(seen)\n",
            "the forward pass changes seen while it runs",
            "t.py:6: def f(x, w, seen=[]):",
        ),
        (
            "def f(x, w):\n    return torch.tensor(x).sum() + w.sum()\n",
            "torch.tensor(x) is x.detach().clone()",
            "t.py:7: return torch.tensor(x).sum() + w.sum()",
        ),
        (
            "@torch.compile\ndef f(x, w):\n    return (x @ w).sum()\n",
            "a torch.compile'd function cannot be captured",
            "t.py:7: def f(x, w):",
        ),
        (
            "def f(x, w):\n    return (x @ w).sum() + torch.zeros(10**7, 10**7).sum()\n",
            "the forward pass fails on these inputs: RuntimeError",
            "t.py:7: return (x @ w).sum() + torch.zeros(10**7, 10**7).sum()",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:To copy construct", "ignore:`torch.jit.script_method`")
def test_forward_passes(refused: Refused, write: Write, source: str, said: str, line: str) -> None:
    write("t.py", HEAD + source)
    message = refused("verify", "t.py:f")
    assert said in message
    assert line in message


def test_a_scripted_function_is_not_blamed_on_another_line(refused: Refused, write: Write) -> None:
    write(
        "t.py",
        HEAD
        + "import warnings\n"
        + "def plain(x, w):\n    return (x @ w).sum()\n"
        + "with warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n"
        + "    f = torch.jit.trace(plain, example_inputs())\n",
    )
    lines = refused("derive", "t.py:f").splitlines()
    assert lines == [
        "backhand: a TorchScript function cannot be captured",
        "  call the plain Python function it was made from",
    ]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("torch.ones(4, 3, device='meta'), torch.ones(3, 2)", "x is on the meta device"),
        ("torch.ones(4, 3, dtype=torch.complex64), torch.ones(3, 2)", "x is complex"),
        ("torch.eye(3).to_sparse(), torch.ones(3, 2)", "x is not a dense tensor"),
        ("torch.ones(4, 3).numpy(), torch.ones(3, 2).numpy()", "torch.from_numpy"),
        ("[[1.0]], [[2.0]]", "x_0_0 is a float, w_0_0 is a float"),
        ("(i for i in ()), 2.0", "return the inputs instead of yielding them"),
        ("inference(), torch.ones(3, 2)", "x was made under torch.inference_mode"),
        ("nested(), torch.ones(3, 2)", "x is a nested tensor"),
        ("torch.ones(4, 3), torch.ones(4, 2)", "mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_inputs(refused: Refused, write: Write, made: str, said: str) -> None:
    write(
        "t.py",
        "import torch\n"
        f"def example_inputs(): return {made}\n"
        "def inference():\n"
        "    with torch.inference_mode(): return torch.ones(4, 3)\n"
        "def nested(): return torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged)\n"
        "def f(x, w):\n    return (x @ w).sum()\n",
    )
    message = refused("verify", "t.py:f")
    assert said in message
    assert len(message.splitlines()) <= 3


def test_deriving_needs_no_data(backhand: Run, write: Write) -> None:
    write("t.py", FORWARD.replace("randn(n, d)", "empty(n, d, device='meta')"))
    assert "dw = x.T @ dy" in backhand("derive", "t.py:forward").out


def test_signatures_are_shown_as_they_are_written(refused: Refused, write: Write) -> None:
    write(
        "t.py",
        HEAD
        + "def f(x, *, w):\n    return (x @ w).sum()\n"
        + "class Holder:\n    def m(self, x, w):\n        return (x @ w).sum()\n",
    )
    message = refused("derive", "t.py:f")
    assert "it takes (x, *, w), so return a dict for those after the *" in message
    assert "so it is a method: make an object and name its method" in refused(
        "derive", "t.py:Holder.m"
    )


def test_a_lazy_module_is_to_be_called_first(refused: Refused, write: Write) -> None:
    write(
        "t.py",
        "import torch\ndef example_inputs(): return (torch.ones(4, 3),)\n"
        "net = torch.nn.LazyLinear(2)\n",
    )
    assert "call the module once on real inputs" in refused("derive", "t.py:net")


def test_frozen_parameters_have_no_gradient_unless_named(
    backhand: Run, refused: Refused, write: Write
) -> None:
    write(
        "t.py",
        "import torch\ndef example_inputs(): return (torch.ones(4, 3),)\n"
        "def whole(): return (torch.tensor([1, 0]),)\n"
        "net = torch.nn.Linear(3, 2)\nnet.weight.requires_grad_(False)\n"
        "table = torch.nn.Embedding(3, 2)\ntable.weight.requires_grad_(False)\n",
    )
    out = backhand("derive", "t.py:net").out
    assert "dbias = " in out
    assert "dweight" not in out
    assert "dweight = " in backhand("derive", "t.py:net", "--wrt", "weight").out
    assert backhand("verify", "t.py:net").status == 0
    message = refused("derive", "t.py:table", "--inputs", "t.py:whole")
    assert "the parameters have requires_grad=False" in message


def test_an_unknown_operator_has_neighbours(refused: Refused) -> None:
    assert "did you mean softmax" in refused("ops", "zoftmax")
    assert "`backhand ops` lists all of them" in refused("ops", "--json", "qqqqqq")


def test_every_gradient_is_judged_whatever_is_returned(backhand: Run, write: Write) -> None:
    write(
        "t.py",
        HEAD
        + "def same(x, w):\n    return x\n"
        + "def both(x, w):\n    return x, (x @ w).sum()\n"
        + "def nested(x, w):\n    return {'a': [(x @ w).sum(), {'b': (x * 2).mean()}]}\n",
    )
    for name, names in (
        ("same", {"dx"}),
        ("both", {"dout_1", "dw", "dx"}),
        ("nested", {"dout_0", "dout_1", "dw", "dx"}),
    ):
        ended = backhand("verify", f"t.py:{name}")
        assert ended.status == 0
        shown = {line.split()[0] for line in ended.out.splitlines() if " exact " in line}
        assert names <= shown, name


def test_inputs_that_are_nan_tell_nothing_and_that_is_said(backhand: Run, write: Write) -> None:
    write("t.py", FORWARD.replace("torch.randn(n, d)", "torch.full((n, d), float('nan'))"))
    out = " ".join(backhand("verify", "t.py:forward").out.split())
    assert "NaN everywhere" in out


def test_a_fault_of_backhands_own_is_called_one(
    backhand: Run, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import backhand.capture.convert as convert

    def broken(*arguments: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(convert, "adapt", broken)
    ended = backhand("derive", target)
    assert ended.status == 2
    assert ended.err == (
        "backhand: capturing this line failed: KeyError: 'planted'\n"
        "  model.py:7: y = x @ w\n"
        "  this is a fault of backhand's own, not of your code: please report it, with the "
        "traceback that --debug shows\n"
    )
    ended = backhand("--debug", "derive", target)
    assert 'raise KeyError("planted")' in ended.err
