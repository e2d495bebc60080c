"""Worksheets of anybody's forward pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run, Write

from .conftest import fill

Refused = Callable[..., str]

HEAD = """\
import torch

"""


def check(backhand: Run, sheet: Path, lines: dict[str, str]) -> None:
    """A worksheet is all blank, then right."""
    empty = backhand("check", str(sheet))
    assert empty.status == 1, empty
    assert empty.out.count("missing") >= len(lines)
    fill(sheet, lines)
    right = backhand("check", str(sheet))
    assert right.status == 0, right


def test_a_function_is_copied_with_what_it_needs(
    backhand: Run, write: Write, tmp_path: Path
) -> None:
    write(
        "model.py",
        HEAD
        + """\
SCALE = 0.5
UNUSED = 3


# squares, but not quite
def squash(x):
    return x * x


def example_inputs():
    return torch.randn(5, 3) * SCALE, torch.randn(3, 2)


def model(x, w):
    y = x @ w  # the only product
    z = squash(y)
    return SCALE * z.sum()
""",
    )
    made = backhand("practice", "new", "model.py:model", "-o", "sheet.py")
    assert made.status == 0, made
    assert "wrote sheet.py: 4 blanks to fill in" in made.out
    assert "Then: backhand check sheet.py" in made.out
    text = (tmp_path / "sheet.py").read_text()
    assert "y = x @ w  # the only product" in text
    assert "# squares, but not quite\ndef squash(x):" in text
    assert "UNUSED" not in text and "def forward(x, w):" in text
    lines = [line.strip() for line in text.splitlines() if " = ...  #" in line]
    assert lines == [
        "dz = ...  # [5, 2]",
        "dy = ...  # [5, 2]",
        "dx = ...  # [5, 3]",
        "dw = ...  # [3, 2]",
    ]
    check(
        backhand,
        tmp_path / "sheet.py",
        {
            "dz": "SCALE * torch.ones_like(z)",
            "dy": "2 * y * dz",
            "dx": "dy @ w.T",
            "dw": "x.T @ dy",
        },
    )


def test_a_module_is_written_out_with_its_parameters(
    backhand: Run, write: Write, tmp_path: Path
) -> None:
    write(
        "net.py",
        HEAD
        + """\
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, x):
        y = self.fc(x)
        out = torch.tanh(y)
        return out


def example_inputs():
    return (torch.randn(5, 3),)
""",
    )
    made = backhand("practice", "new", "net.py:Net", "-o", "sheet.py")
    assert made.status == 0, made
    text = (tmp_path / "sheet.py").read_text()
    assert "def forward(x, fc_weight, fc_bias):" in text
    assert "net" not in text.replace("Net", "").split("import torch")[1]
    check(
        backhand,
        tmp_path / "sheet.py",
        {
            "dy": "dout * (1 - out**2)",
            "dx": "dy @ fc_weight",
            "dfc_weight": "dy.T @ x",
            "dfc_bias": "dy.sum(0)",
        },
    )


def test_what_changes_a_global_is_copied_with_it(
    backhand: Run, write: Write, tmp_path: Path
) -> None:
    """Every statement that has a part in a value comes along, however it binds it."""
    write(
        "model.py",
        """\
from __future__ import annotations
import torch, math
from torch import Tensor
A = 2.0; SCALE = math.sqrt(4.0)
SCALE *= 3
W = torch.ones(3)
W[0] = 5
for i in range(2):
    W[i] += 1


def example_inputs():
    return {"x": torch.randn(4, 3), "s": 2}


def model(x: Tensor, s: int):
    y = x * W / s
    return (
        SCALE * y
    ).sum()  # the loss


SCALE += A
if __name__ == "__main__":
    SCALE = 1
""",
    )
    made = backhand("practice", "new", "model.py:model", "-o", "sheet.py")
    assert made.status == 0, made
    text = (tmp_path / "sheet.py").read_text()
    assert text.startswith('"""The backward pass of model\n')
    assert (
        "import torch, math\nfrom torch import Tensor\n\nA = 2.0\nSCALE = math.sqrt(4.0)\n" in text
    )
    assert "__main__" not in text
    # what is returned has a name, which its gradient begins from
    assert "    loss = (\n        SCALE * y\n    ).sum()  # the loss\n    return loss\n" in text
    assert "def backward(x, y, loss):\n    dloss = torch.ones_like(loss)\n" in text
    check(backhand, tmp_path / "sheet.py", {"dy": "8 * torch.ones_like(y)", "dx": "dy * W / 2"})


def test_the_sizes_of_the_inputs_are_those_asked_for(
    backhand: Run, write: Write, tmp_path: Path
) -> None:
    """A function that cannot do without a size is not called without it."""
    write(
        "model.py",
        HEAD
        + "def example_inputs(n):\n    return torch.randn(n, 3)\n\n\n"
        + "def model(x):\n    return torch.tanh(x)\n",
    )
    made = backhand("practice", "new", "model.py:model", "--at", "n=5", "-o", "sheet.py")
    assert made.status == 0, made
    text = (tmp_path / "sheet.py").read_text()
    assert "torch.rand([5, 3]" in text and "def backward(x, out, dout):" in text
    check(backhand, tmp_path / "sheet.py", {"dx": "dout * (1 - out**2)"})


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "from near import double\n\n\ndef f(x):\n    y = double(x)\n    return y.sum()\n",
            "a file beside it would not be found from elsewhere",
        ),
        (
            "def f(x):\n    h = x * 3\n    h = h.tanh()\n    return h.sum()\n",
            "a name bound twice stands for two values",
        ),
        (
            "f = lambda x: (x * x).sum()\n",
            "there is no definition to copy",
        ),
        (
            "def f(x, *, near=2):\n    y = x * near\n    return (y.sum(),)\n",
            "a result in a pair of brackets cannot be given a name",
        ),
        (
            "import os\n\nnear = len(os.path.basename(__file__))\n\n\n"
            "def f(x):\n    y = x * near\n    return y.sum()\n",
            "the file has a name that the worksheet has not",
        ),
    ],
)
def test_what_cannot_be_copied_is_written_out(
    backhand: Run, write: Write, tmp_path: Path, source: str, why: str
) -> None:
    write("near.py", "def double(x):\n    return 2 * x\n")
    write("it.py", f"{HEAD}{source}\n\ndef example_inputs():\n    return torch.randn(4, 3)\n")
    made = backhand("practice", "new", "it.py:f", "-o", "sheet.py")
    assert made.status == 0, (why, made)
    text = (tmp_path / "sheet.py").read_text()
    assert "near" not in text and "lambda" not in text and "def forward(x):" in text
    empty = backhand("check", "sheet.py")
    assert empty.status == 1 and "missing" in empty.out, empty


def test_inputs_are_made_up_in_the_range_of_the_examples(
    backhand: Run, write: Write, tmp_path: Path
) -> None:
    """Positive stays positive, and integers stay where they index."""
    write(
        "logs.py",
        HEAD
        + """\
def make():
    return torch.rand(40, 3) + 0.5, torch.randint(0, 3, (40,))


def pick(x, where):
    logs = x.log()
    picked = logs[range(40), where]
    return picked.sum()
""",
    )
    made = backhand("practice", "new", "logs.py:pick", "--inputs", "logs.py:make")
    assert made.status == 0, made
    sheet = tmp_path / "worksheet_pick.py"
    assert "example_inputs" in sheet.read_text()
    check(
        backhand,
        sheet,
        {
            "dpicked": "dloss.expand(40)",
            "dlogs": "torch.zeros_like(logs).index_put((torch.arange(40), where), dpicked)",
            "dx": "dlogs / x",
        },
    )


def test_what_makes_no_worksheet_is_refused(
    backhand: Run, refused: Refused, write: Write, target: str
) -> None:
    assert "is not a target" in refused("practice", "new", "model.py")
    assert "there is no file" in refused("practice", "new", "none.py:f")
    assert backhand("practice", "new", target, "-o", "w.py").status == 0
    assert "w.py exists" in refused("practice", "new", target, "-o", "w.py")
    assert backhand("practice", "new", target, "-o", "w.py", "--force").status == 0
    assert "name that ends in .py" in refused("practice", "new", target, "-o", "w.txt")
    assert "has no name" in refused("practice", "new", target, "-o", "")
    write(
        "two.py",
        f"{HEAD}def f(x):\n    return x * 2, x.exp()\n\n\n"
        "def example_inputs():\n    return torch.randn(4, 3)\n",
    )
    assert "returns 2 tensors" in refused("practice", "new", "two.py:f")
