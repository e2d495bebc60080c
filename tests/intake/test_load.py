"""Files and notebooks of functions and classes: how they are loaded, and what they are tried on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backhand.errors import InputError
from backhand.review import review
from backhand.review.sources.load import load

CLASS = """\
import torch

class Half(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w.T, x.T @ g

def example_inputs(n=4):
    return torch.ones(n, 3), torch.ones(3, 2)
"""


@pytest.mark.parametrize("notebook", [False, True])
@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("    return torch.ones(4, 3), nothing", "failed: NameError: "),
        ("    return torch.ones(4, 3)", "does not fit Half.forward: missing a required argument"),
        ("    return {'x': torch.ones(4, 3), 'v': 1}", "does not fit Half.forward: "),
        ("    return None", "returns no inputs"),
    ],
)
def test_inputs_of_a_class_that_do_not_work_are_the_users(
    tmp_path: Path, made: str, said: str, notebook: bool
) -> None:
    text = CLASS.replace("    return torch.ones(n, 3), torch.ones(3, 2)", made)
    path = _written(tmp_path, text, notebook)
    with pytest.raises(InputError) as error:
        load(path)
    assert f"{path}:example_inputs" in str(error.value) and said in str(error.value)


@pytest.mark.parametrize("notebook", [False, True])
def test_inputs_of_a_class_by_name(tmp_path: Path, notebook: bool) -> None:
    text = CLASS.replace(
        "torch.ones(n, 3), torch.ones(3, 2)", "{'w': torch.ones(3, 2), 'x': torch.ones(n, 3)}"
    )
    found = load(_written(tmp_path, text, notebook))
    assert [tuple(i.shape) for i in found.inputs] == [(4, 3), (3, 2)] and review(found).ok


def test_sizes_that_the_inputs_of_a_class_do_not_take(tmp_path: Path) -> None:
    path = _written(tmp_path, CLASS)
    assert [tuple(i.shape) for i in load(path, sizes={"n": 5}).inputs] == [(5, 3), (3, 2)]
    with pytest.raises(InputError, match=r"takes no size named 'k' \(it takes: n\)"):
        load(path, sizes={"k": 5})


def _written(folder: Path, text: str, notebook: bool = False) -> str:
    path = folder / ("half.ipynb" if notebook else "half.py")
    cells = [{"cell_type": "code", "execution_count": None, "source": text}]
    path.write_text(json.dumps({"cells": cells}) if notebook else text, encoding="utf-8")
    return str(path)


DATA = """\
import torch
from pathlib import Path

def data():
    with Path("runs.txt").open("a") as file:
        file.write("once\\n")
    return torch.ones(4, 3)

x = data()
w = torch.ones(3, 2)
"""
BY_HAND = """\
def forward(x, w):
    y = x @ w
    return (y * y).sum()

def backward(x, w, y):
    dy = 2 * y
    return dy @ w.T, x.T @ dy
"""


@pytest.mark.parametrize("text", [BY_HAND, CLASS.partition("def example_inputs")[0]])
def test_a_notebooks_cells_run_once(tmp_path: Path, text: str) -> None:
    """What the functions see is what the inputs are taken from, and data is loaded once."""
    found = load(_written(tmp_path, DATA + text, notebook=True))
    assert (tmp_path / "runs.txt").read_text(encoding="utf-8") == "once\n"
    assert found.scope["x"] is found.inputs[0] and review(found).ok


def test_a_notebook_that_lacks_a_forward_pass_is_told_so_before_it_runs(tmp_path: Path) -> None:
    backward = BY_HAND.partition("\n\n")[2]
    path = _written(tmp_path, DATA + CLASS + backward, notebook=True)
    with pytest.raises(InputError, match="a function backward and no function forward"):
        load(path)
    assert not (tmp_path / "runs.txt").exists()


def test_a_notebook_takes_no_sizes(tmp_path: Path) -> None:
    path = _written(tmp_path, CLASS, notebook=True)
    with pytest.raises(InputError, match="with the inputs it makes itself"):
        load(path, sizes={"n": 3})


def test_inputs_given_as_a_dict_go_by_name(tmp_path: Path) -> None:
    path = tmp_path / "named.py"
    path.write_text(
        "import torch\ndef example_inputs():\n"
        "    return {'w': torch.ones(3, 2), 'x': torch.ones(4, 3)}\n"
        "def forward(x, w):\n    y = x @ w\n    return (y * y).sum()\n"
        "def backward(x, w, y):\n    dy = 2 * y\n    return dy @ w.T, x.T @ dy\n",
        encoding="utf-8",
    )
    assert [tuple(i.shape) for i in load(str(path)).inputs] == [(4, 3), (3, 2)]
