"""Notebooks in a real kernel: ``backhand.check`` on their namespace, and the cell magic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import nbclient
import nbformat
import pytest

import backhand

SETUP = """\
import torch
%load_ext backhand
x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
w = torch.randn(3, 2, generator=torch.Generator().manual_seed(2), requires_grad=True)
"""
FORWARD = ["y = x @ w\nh = y.tanh()", "loss = (h * h).sum()\nloss.backward()"]
FUNCTION = "def forward(x, w):\n    q = x @ w\n    return (q * q).sum()\nq = x @ w"

Run = Callable[[Sequence[str]], list[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs cells in a kernel of their own; what each of them printed or raised."""
    # the kernel is to find this very package, and to keep its files to itself
    source = str(Path(backhand.__file__).resolve().parents[1])
    monkeypatch.setenv("PYTHONPATH", source)
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")

    def execute(cells: Sequence[str]) -> list[str]:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        client = nbclient.NotebookClient(
            book,
            timeout=120,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": str(tmp_path)}},
        )
        client.execute()
        said = []
        for cell in book.cells:
            parts = [o.get("text") or "\n".join(o.get("traceback", ())) for o in cell.outputs]
            said.append("".join(parts))
        return said

    return execute


pytestmark = [
    # the kernel's client and its event loop are not this package's
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def test_the_cell_magic_and_the_namespace(run: Run) -> None:
    cells = [
        SETUP,
        *FORWARD,
        "%%backhand\ndloss = 1.0\ndh = 2 * h * dloss",
        "%%backhand --hint 4\ndy = (1 - h) * dh\ndw = x.T @ dy",
        "print(tuple(dw.shape))",
        "%%backhand\ndy = (1 - h * h) * dh",
        FUNCTION,
        "dq = 2 * q\ndx = 5 * dq @ w.T",
        "import backhand\nreview = backhand.check(forward, globals())\nprint(review)\n"
        "print(review.ok, [(g.name, g.where) for g in review.gradients if not g.ok])",
        "%%backhand forward\ndq = 2 * q\ndw = x.T @ dq",
        "%%backhand forward --timeout 2\ndq = 2 * q\nwhile True: dw = x.T @ dq",
        "%%backhand\nprint('nothing to see')",
        "%%backhand forward --hint 9\ndq = 1",
        "%%backhand forward\ndq = 2 * q\ndw = __import__('os')._exit(1)",
        "print('alive')",
    ]
    said = run(cells)
    assert "".join(said[:3]) == ""
    assert "2 gradients: 2 exact" in said[3]
    assert "1 wrong: dy; 1 inherits an error" in said[4] and "\ndy: " in said[4]
    assert said[5] == "(3, 2)\n"  # a reviewed cell has run
    assert "1 gradients: 0 exact, 1 close" in said[6], said[6]
    # dw was typed for the other forward pass
    assert "False [('dw', 'In [5]'), ('dx', 'In [9]')]" in said[9], said[9]
    assert "2 gradients: 2 exact" in said[10]
    assert "this cell was not done after 2 seconds" in said[11]
    assert "no line of the cell writes a gradient" in said[12]
    assert "there is no hint 9" in said[13]
    assert "ended the whole process before the review was done" in said[14]
    assert said[15] == "alive\n"
    for text in said:
        assert "Traceback" not in text
