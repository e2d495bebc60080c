"""Scripts and notebooks in the style of a lecture are cut in two, and nothing else of them runs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from backhand import derive
from backhand.errors import BackhandError, InputError, LocatedError
from backhand.review import review
from backhand.review.handwritten import Handwritten
from backhand.review.sources.load import load

from .lecture import (
    DATA,
    EMBEDDING,
    GRADIENT_LINES,
    GRADIENTS,
    NETWORK,
    PARAMETERS,
    PARTS,
    SCRIPT,
    write_notebook,
    write_script,
)

# the lecture leaves its data file for Python to close
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

# Parameters in a few lines, for what the data has no part in.
SMALL = """\
import torch
g = torch.Generator().manual_seed(3)
x = torch.randn(4, 3, generator=g)
w = torch.randn(3, 2, generator=g, requires_grad=True)
"""
FORWARD = """\
y = x @ w
h = y.tanh()
loss = (h * h).sum()
"""
BACKWARD = """\
dh = 2 * h
dy = (1 - h * h) * dh
dw = x.T @ dy
"""


def heads(handwritten: Handwritten) -> list[str]:
    return [s.text.split("\n")[0] for s in handwritten.statements]


def names(handwritten: Handwritten) -> list[str]:
    return list(inspect.signature(handwritten.forward).parameters)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Handwritten]:
    return lambda text: load(write_script(tmp_path, text))


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Handwritten]:
    def read(cells: Sequence[str], counts: Sequence[int | None] | None = None) -> Handwritten:
        return load(write_notebook(tmp_path, cells, counts))

    return read


def test_a_lecture_is_cut_in_two(
    script: Callable[[str], Handwritten], capfd: pytest.CaptureFixture[str]
) -> None:
    found = script(SCRIPT)
    # the training loop would run for days, and printing is not asked for
    assert capfd.readouterr().out == ""
    assert heads(found) == GRADIENT_LINES
    assert names(found) == ["C", "Xb", "W1", "b1"]
    assert [i.requires_grad for i in found.inputs] == [True, False, True, True]
    assert found.scope["n"] == 7
    line = SCRIPT.split("\n").index("dh = 2 * h / n") + 1
    assert found.statements[1].line == line
    assert all(s.where == "" for s in found.statements)
    last = found.statements[-1]
    assert (last.line, last.end_line) == (line + 8, line + 11)
    assert set(last.writes) == {"k", "j", "ix", "dC"} and "demb" in last.reads


def test_the_forward_pass_keeps_its_names_and_lines(script: Callable[[str], Handwritten]) -> None:
    found = script(SCRIPT)
    bp = derive(found.forward, *found.inputs)
    assert [s.name for s in bp.captured.program.values() if s.var][4:] == [
        "emb",
        "embcat",
        "hpreact",
        "h",
        "loss",
    ]
    steps = {s.where.text: s.where.line for s in bp.captured.program.steps if s.where}
    assert (
        steps["h = torch.tanh(hpreact)"] == SCRIPT.split("\n").index("h = torch.tanh(hpreact)") + 1
    )


def test_a_lecture_is_reviewed(script: Callable[[str], Handwritten]) -> None:
    assert review(script(SCRIPT)).ok
    wrong = review(script(SCRIPT.replace("db1 = dhpreact.sum(0)", "db1 = dhpreact.sum(1)")))
    assert [g.name for g in wrong.gradients if not g.ok] == ["db1"]


def test_cells_of_a_notebook_count_their_own_lines(notebook: Callable[..., Handwritten]) -> None:
    parts = ["%matplotlib inline\n" + DATA, "!pip list\n", *PARTS[1:], "%%bash\ndh = 1\n"]
    found = notebook(parts)
    assert heads(found) == GRADIENT_LINES
    assert {s.where for s in found.statements} == {"cell 7"}
    assert found.statements[1].line == 2
    assert review(found).ok


def test_hints_and_sizes_are_said_as_the_notebook_has_them(
    notebook: Callable[..., Handwritten],
) -> None:
    """The size of x is n as well, and it is n that the lines divide by."""
    forward = FORWARD.replace("loss = ", "loss = 1/(n-1)*")
    backward = BACKWARD.replace("dh = ", "dh = 1/n*")
    found = review(notebook([SMALL + "n = 4\n", forward, backward]))
    (wrong,) = [g for g in found.gradients if g.causes]
    assert wrong.causes[0].message.startswith("dh is (n - 1)/n times the gradient")
    assert wrong.hint(1) == "Look at line 1 of cell 3: dh = 1/n*2 * h"


def test_a_forward_pass_may_go_over_several_cells(notebook: Callable[..., Handwritten]) -> None:
    found = notebook([DATA, PARAMETERS, EMBEDDING, "k = n\n" + NETWORK, GRADIENTS])
    bp = derive(found.forward, *found.inputs)
    made = [v.name for v in bp.captured.program.values() if v.var is not None]
    assert [n for n in ("emb", "embcat", "hpreact", "h", "loss") if n in made] == made[4:]
    where = {str(s.where) for s in bp.captured.program.steps if s.where}
    assert any("cell 3:1" in w for w in where) and any("cell 4:3" in w for w in where)


def test_cells_out_of_order_are_read_as_they_were_run(
    notebook: Callable[..., Handwritten],
) -> None:
    cells = [GRADIENTS, DATA, NETWORK, PARAMETERS, EMBEDDING]
    assert heads(notebook(cells, [9, 1, 5, 3, 4])) == GRADIENT_LINES
    with pytest.raises(LocatedError, match="no line after the loss writes a gradient"):
        notebook(cells)


def test_a_cell_that_is_no_python_is_left_out_and_said(
    notebook: Callable[..., Handwritten],
) -> None:
    found = notebook([SMALL, "so far so good:\n", FORWARD, BACKWARD])
    assert heads(found) == BACKWARD.splitlines()
    assert any("cell 2" in note for note in found.notes)


def test_gradients_without_a_tape(script: Callable[[str], Handwritten]) -> None:
    """Where nothing asks for a gradient, those that are written tell what has one."""
    plain = SMALL.replace(", requires_grad=True", "")
    assert names(script(plain + FORWARD + BACKWARD)) == ["x", "w"]
    within = "with torch.no_grad():\n  " + BACKWARD.replace("\n", "\n  ").rstrip() + "\n"
    found = script(plain + FORWARD + within)
    assert heads(found) == BACKWARD.splitlines()
    # the first gradients only: what is above them is an input
    found = script(plain + FORWARD + "dh = 2 * h\n")
    assert names(found) == ["h"] and review(found).ok


def test_a_loop_around_it_all_is_taken_once(script: Callable[[str], Handwritten]) -> None:
    body = "scale = 1.0 + i\ny = x @ w * scale\nloss = (y * y).sum()\n"
    body += "dy = 2 * y\ndw = x.T @ dy * scale\nw.data -= 0.1 * dw\n"
    text = SMALL + "for i in range(3):\n  " + body.replace("\n", "\n  ").rstrip() + "\n"
    found = script(text)
    assert heads(found) == ["dy = 2 * y", "dw = x.T @ dy * scale"]
    assert review(found).ok


def test_what_only_looks_like_a_gradient_is_left(script: Callable[[str], Handwritten]) -> None:
    rest = "diff = (dw - w).abs().max()\ndevice = 'cpu'\nprint(diff)\nassert diff < 9\n"
    assert heads(script(SMALL + FORWARD + BACKWARD + rest)) == BACKWARD.splitlines()


def test_a_misspelt_gradient_is_handed_on(script: Callable[[str], Handwritten]) -> None:
    text = SMALL + FORWARD.replace("y", "hidden") + "dhiden = 2 * hidden\ndw = x.T @ x @ w\n"
    assert "dhiden = 2 * hidden" in heads(script(text))


def test_a_gradient_taken_from_autograd_is_none(script: Callable[[str], Handwritten]) -> None:
    found = script(SMALL + FORWARD + "loss.backward()\ndh = 2 * h\ndw = w.grad\n")
    assert heads(found) == ["dh = 2 * h"]
    assert any("takes dw from autograd" in note for note in found.notes)


def test_helpers_constants_and_temporaries_come_along(
    script: Callable[[str], Handwritten],
) -> None:
    helpers = """\
def scatter(into, at, what):
  for k in range(at.shape[0]):
    into[at[k]] += what[k]

def back_tanh(g):
  return (1 - h * h) * g

factor = 2
"""
    lines = """\
tmp = factor * h
dh = tmp
dy = back_tanh(dh)
dw = torch.zeros_like(w)
scatter(dw, torch.arange(3), x.T @ dy)
"""
    found = script(SMALL + helpers + FORWARD + lines)
    assert heads(found) == lines.splitlines()
    assert found.statements[-1].writes == ("dw",)


def test_several_forms_of_one_gradient_are_all_there(
    script: Callable[[str], Handwritten],
) -> None:
    more = "dy = 2 * h\ndy *= 1 - h * h\n"
    found = review(script(SMALL + FORWARD + BACKWARD + more))
    attempts = [g for g in found.gradients if g.name == "dy"]
    assert len(attempts) == 2 and [g.last for g in attempts] == [False, True]


def test_a_second_forward_pass_ends_the_first_ones_gradients(
    script: Callable[[str], Handwritten],
) -> None:
    other = "loss = (h * h * h).sum()\ndh = 3 * h * h\n"
    found = script(SMALL + FORWARD + BACKWARD + other)
    assert heads(found) == BACKWARD.splitlines()
    assert any("computes loss anew" in note for note in found.notes)
    # the same line again is no other loss
    again = script(SMALL + FORWARD + BACKWARD + "loss = (h * h).sum()\ndh = h + h\n")
    assert heads(again)[-1] == "dh = h + h" and again.notes == ()


def test_another_name_for_the_loss(script: Callable[[str], Handwritten]) -> None:
    text = SMALL + FORWARD.replace("loss", "E") + BACKWARD
    assert heads(script(text + "E.backward()\n")) == BACKWARD.splitlines()
    assert heads(script(text.replace("dh =", "dE = 1.0\ndh =", 1)))[0] == "dE = 1.0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL + "y = x @ w\n", "nothing at top level assigns loss"),
        (SMALL + FORWARD.replace("loss", "Loss") + BACKWARD, "did you mean Loss?"),
        (SMALL + FORWARD, "no line after the loss writes a gradient"),
        ("import no_such_thing\n" + SMALL + "x = no_such_thing.f(x)\n" + FORWARD + BACKWARD,
         "No module named 'no_such_thing'"),
        (SMALL.replace("4, 3", "4, 3, device='cuda:7'") + FORWARD + BACKWARD, "on the CPU"),
        (DATA.replace("names.txt", "absent.txt") + PARAMETERS + EMBEDDING + NETWORK + GRADIENTS,
         "reads a file that is not there: absent.txt"),
        (SMALL + "x = x + 1 / 0\n" + FORWARD + BACKWARD, "ZeroDivisionError"),
        (SMALL + "x = missing + x\n" + FORWARD + BACKWARD, "name 'missing' is not defined"),
        (SMALL + FORWARD.replace("x @ w", "x @ w.T") + BACKWARD, "cannot be multiplied"),
        (SMALL + "import sys\nx = sys.exit(4)\n" + FORWARD + BACKWARD, "(exit 4)"),
    ],
)  # fmt: skip
def test_what_cannot_be_sliced_is_explained(
    script: Callable[[str], Handwritten], text: str, said: str
) -> None:
    with pytest.raises(BackhandError) as error:
        script(text)
    assert said in str(error.value)


def test_an_error_names_the_line(script: Callable[[str], Handwritten]) -> None:
    with pytest.raises(LocatedError) as error:
        script(SMALL + "x = x + 1 / 0\n" + FORWARD + BACKWARD)
    assert error.value.where is not None
    assert (error.value.where.line, error.value.where.text) == (5, "x = x + 1 / 0")


def test_imports_that_only_plots_need_are_not_run(script: Callable[[str], Handwritten]) -> None:
    text = "import a_plotting_library_nobody_has as plots\n" + SMALL + FORWARD + BACKWARD
    assert heads(script(text + "plots.show(dw)\n")) == BACKWARD.splitlines()


@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_files_that_are_nothing_to_review(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    with pytest.raises(InputError, match="there is no file"):
        load(str(path))
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is empty"):
        load(str(path))
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        load(str(path))
    with pytest.raises(InputError, match="is a directory"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"cells": [', "is not a notebook"),
        ("[1, 2]", "has no list of cells"),
        ('{"cells": []}', "has no cell with Python code"),
        ('{"cells": [{"cell_type": "code", "source": "a b"}]}', "cell 1, line 1"),
    ],
)
def test_unreadable_notebooks(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load(str(path))


def test_the_working_directory_and_the_path_are_as_before(
    script: Callable[[str], Handwritten], tmp_path: Path
) -> None:
    before = Path.cwd(), list(sys.path), list(sys.argv)
    (tmp_path / "neighbour.py").write_text("SCALE = 2.0\n", encoding="utf-8")
    found = script("from neighbour import SCALE\n" + SMALL + FORWARD.replace("x @", "SCALE * x @")
                   + BACKWARD.replace("x.T", "SCALE * x.T"))  # fmt: skip
    assert (Path.cwd(), list(sys.path), list(sys.argv)) == before
    assert found.scope["SCALE"] == 2.0 and review(found).ok


def test_neighbours_are_each_scripts_own(tmp_path: Path) -> None:
    def scaled(folder: str, scale: float) -> float:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "neighbour.py").write_text(f"SCALE = {scale}\n", encoding="utf-8")
        mine = tmp_path / folder / "mine.py"
        mine.write_text(
            "from neighbour import SCALE\n" + SMALL + FORWARD.replace("x @", "SCALE * x @")
            + BACKWARD.replace("x.T", "SCALE * x.T"), encoding="utf-8"
        )  # fmt: skip
        found = load(str(mine))
        assert review(found).ok
        return float(found.scope["SCALE"])

    # the last time one of them has been edited
    for folder, scale in (("a", 2.0), ("b", 3.0), ("a", 2.0), ("a", 45.0)):
        assert scaled(folder, scale) == scale


def test_a_decorator_may_change_what_it_is_taken_from(
    script: Callable[[str], Handwritten],
) -> None:
    registry = """\
class Registry:
    scale = 1.0
    def register_(self, scale):
        self.scale = scale
        return lambda function: function

app = Registry()

@app.register_(3.0)
def unused(x):
    return x

"""
    scaled = FORWARD.replace("x @ w", "app.scale * x @ w")
    found = script(SMALL + registry + scaled + BACKWARD.replace("x.T", "3.0 * x.T"))
    assert review(found).ok


REBOUND = """\
x0 = x
x = x @ w
x = x.tanh()
loss = (x * x).sum()
dx = 2 * x
dx = (1 - x * x) * dx
dw = x0.T @ dx
"""


def test_names_mean_what_they_mean_at_the_end_of_the_script(tmp_path: Path) -> None:
    """``x`` is no input any more there; another name of the input still is."""
    outcome = review(load(write_script(tmp_path, SMALL + REBOUND)))
    assert outcome.ok, str(outcome)
    assert [g.name for g in outcome.gradients] == ["dx", "dx", "dw"]
    for old, new, wrong in (
        ("dx = (1 - x * x)", "dx = (1 + x * x)", "dx"),
        ("dx = 2 * x", "dx = -2 * x", "dx"),
        ("x0.T", "-x0.T", "dw"),
    ):
        assert old in REBOUND
        outcome = review(load(write_script(tmp_path, SMALL + REBOUND.replace(old, new))))
        found = [(g.name, [c.code for c in g.causes]) for g in outcome.gradients if g.causes]
        assert found == [(wrong, ["sign"])], str(outcome)
