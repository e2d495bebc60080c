"""``backhand practice`` as a learner uses it, from the list to the last exercise."""

from __future__ import annotations

import ast
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backhand.practice.curriculum import ORDER
from tests.cli.conftest import Run

from .conftest import MATMUL, fill

Refused = Callable[..., str]


def test_a_whole_exercise(backhand: Run, tmp_path: Path) -> None:
    listed = backhand("practice")
    assert listed.status == 0
    assert [line.split()[1] for line in listed.out.splitlines()[: len(ORDER)]] == list(ORDER)
    assert "0 of 37 passed" in listed.out
    assert "Next: backhand practice start add_multiply" in listed.out

    started = backhand("practice", "start", "matmul")
    assert started.status == 0
    assert "wrote matmul.py: Matrix products" in started.out
    assert "Fill in 4 blanks, then: backhand practice check matmul" in started.out
    sheet = tmp_path / "matmul.py"

    empty = backhand("practice", "check")
    assert empty.status == 1
    assert "matmul: 0 of 4 right, 4 still to be written." in empty.out
    assert "Next: dy, line " in empty.out

    # a matrix the wrong way round, and what follows from it
    fill(sheet, {**MATMUL, "dy": "dout @ c.T * 2"})
    wrong = backhand("practice", "check", "matmul")
    assert wrong.status == 1
    assert "inherits from dy" in wrong.out
    assert "matmul: 1 of 4 right, 3 not right." in wrong.out
    assert "Stuck? backhand practice hint matmul" in wrong.out

    said = backhand("practice", "hint")
    assert said.status == 0
    assert "Hint 1 of 4 on dy" in said.out

    fill(sheet, MATMUL)
    right = backhand("practice", "check", str(sheet))
    assert right.status == 0, right
    assert "matmul: 4 of 4 right." in right.out
    assert "Compare: backhand practice solution matmul" in right.out
    assert "Next: backhand practice start linear" in right.out
    assert "Nothing is wrong" in backhand("practice", "hint").out

    shown = backhand("practice", "solution", "matmul")
    assert shown.status == 0
    assert "dy = dout @ c.T" in shown.out
    ast.parse(shown.out)
    assert "1 of 37 passed" in backhand("practice", "list").out

    # the same file is any file to the reviewer
    assert backhand("check", "matmul.py").status == 0

    begun = backhand("practice", "reset", "matmul")
    assert begun.status == 0
    assert "what was in matmul.py is now in matmul_1.py" in begun.out
    assert "dout @ c.T" in (tmp_path / "matmul_1.py").read_text()
    assert "= ..." in sheet.read_text()
    assert "0 of 37 passed" in backhand("practice").out


def test_a_worksheet_is_never_overwritten(backhand: Run, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "matmul.py").write_text("mine")
    said = refused("practice", "start", "matmul")
    assert "matmul.py exists and is left as it is" in said
    assert (tmp_path / "matmul.py").read_text() == "mine"
    assert backhand("practice", "start", "matmul", ".").status == 2
    assert "there is no directory nowhere" in refused("practice", "start", "matmul", "nowhere")
    (tmp_path / "there").mkdir()
    assert backhand("practice", "start", "matmul", "there").status == 0
    assert (tmp_path / "there" / "matmul.py").exists()
    # found again from anywhere
    assert "0 of 4 right" in backhand("practice", "check", "matmul").out


def test_a_changed_forward_pass_does_not_count(backhand: Run, tmp_path: Path) -> None:
    backhand("practice", "start", "matmul")
    sheet = tmp_path / "matmul.py"
    fill(sheet, {**MATMUL, "dc": "2 * y.T @ dout"})
    sheet.write_text(sheet.read_text().replace("out = y @ c", "out = 2 * y @ c"))
    ended = backhand("practice", "check")
    assert ended.status == 1
    assert "what counts is the exercise's own" in ended.err


def test_a_blank_that_is_taken_out_is_missing(backhand: Run, tmp_path: Path) -> None:
    backhand("practice", "start", "matmul")
    sheet = tmp_path / "matmul.py"
    fill(sheet, MATMUL)
    kept = [line for line in sheet.read_text().splitlines() if not line.startswith("    db = ")]
    sheet.write_text("\n".join(kept) + "\n")
    ended = backhand("practice", "check")
    assert ended.status == 1
    assert "3 of 4 right, 1 still to be written" in ended.out


@pytest.mark.parametrize("start", [b"# coding: latin-1\n# caf\xe9\n", b"\xef\xbb\xbf"])
def test_a_worksheet_is_read_as_python_reads_it(
    backhand: Run, tmp_path: Path, start: bytes
) -> None:
    backhand("practice", "start", "matmul")
    sheet = tmp_path / "matmul.py"
    fill(sheet, MATMUL)
    sheet.write_bytes(start + sheet.read_bytes())
    ended = backhand("practice", "check")
    assert ended.status == 0 and "was changed" not in ended.err, ended


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import sys; sys.exit(0)", "exit"),
        ("import os; os._exit(0)", "ended the whole process"),
        ("while True: pass", "was not done after 2 seconds"),
        ("dy = = 3", "matmul.py"),
    ],
)
def test_a_worksheet_that_does_not_end_well_passes_nothing(
    backhand: Run, tmp_path: Path, line: str, said: str
) -> None:
    backhand("practice", "start", "matmul")
    sheet = tmp_path / "matmul.py"
    fill(sheet, MATMUL)
    sheet.write_text(f"{line}\n{sheet.read_text()}")
    limit = ("--timeout", "2") if "while" in line else ()
    ended = backhand("practice", "check", *limit)
    assert ended.status == 2, ended
    assert said in ended.err and "Traceback" not in ended.err
    assert "0 of 37 passed" in backhand("practice").out


def test_what_cannot_be_done_is_said_in_a_sentence(
    backhand: Run, refused: Refused, tmp_path: Path
) -> None:
    assert "backhand practice start begins the next one" in refused("practice", "check")
    assert "backhand practice start matmul [DIR] writes one" in refused(
        "practice", "check", "matmul"
    )
    (tmp_path / "old.py").write_bytes(b"# caf\xe9\n")
    assert "old.py is not UTF-8 text" in refused("practice", "hint", "old.py")
    assert "there is no exercise ''" in refused("practice", "start", "")
    assert "did you mean softmax" in refused("practice", "start", "sofmax")
    assert "Did you mean check?" in refused("practice", "chek")
    assert "is not passed yet" in refused("practice", "solution", "matmul")
    assert "there is no file other.py" in refused("practice", "check", "other.py")
    (tmp_path / "other.py").write_text("x = 1\n")
    assert "backhand check other.py reviews any file" in refused("practice", "check", "other.py")
    assert "is a directory" in refused("practice", "check", "./")
    assert backhand("practice", "solution", "matmul", "--anyway").status == 0
    backhand("practice", "start", "matmul")
    (tmp_path / "matmul.py").unlink()
    assert "is not there any more" in refused("practice", "hint", "matmul")


def test_progress_that_cannot_be_read_stops_nothing(
    backhand: Run, state: Path, tmp_path: Path
) -> None:
    broken = state / "practice.json"
    broken.write_text("{")
    started = backhand("practice", "start", "matmul")
    assert started.status == 0
    assert "left as it is" in started.err
    fill(tmp_path / "matmul.py", MATMUL)
    ended = backhand("practice", "check", "matmul")
    assert ended.status == 0
    assert "4 of 4 right" in ended.out and "left as it is" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert broken.read_text() == "{"


def test_the_next_exercise_is_the_default(backhand: Run, state: Path) -> None:
    done = {name: {"passed": True} for name in ORDER if name != "pick"}
    (state / "practice.json").write_text(json.dumps({"version": 1, "exercises": done}))
    assert "wrote pick.py" in backhand("practice", "start").out
    done["pick"] = {"passed": True}
    (state / "practice.json").write_text(json.dumps({"version": 1, "exercises": done}))
    listed = backhand("practice")
    assert "37 of 37 passed" in listed.out
    assert "backhand practice new" in listed.out
    assert backhand("practice", "start").status == 2


def test_a_hint_on_a_blank_names_the_readers(backhand: Run) -> None:
    backhand("practice", "start", "used_twice")
    said = [backhand("practice", "hint").out for _ in range(5)]
    for level, text in enumerate((1, 2, 3, 4, 4)):
        assert f"Hint {text} of 4 on d" in said[level]
    assert said[4] == said[3]
    assert "out = t * u" in said[0]
    assert "Every place that reads a value" in said[1]
    assert "da = dy * b = [4, 0, 12]" in said[2] or "b was read by both rows" in said[2]
    assert "dt = dout * u" in said[3] or "du = dout * t" in said[3]


def test_a_hint_on_a_closed_form_ends_with_it(backhand: Run, state: Path) -> None:
    backhand("practice", "start", "softmax")
    assert "on paper" in backhand("practice", "hint").out
    file = state / "practice.json"
    file.write_text(file.read_text().replace('"dlogits": 1', '"dlogits": 3'))
    assert "dlogits = probs * (dprobs - " in backhand("practice", "hint").out


def test_watching(backhand: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved while it is watched, the worksheet is checked again; the last status counts."""
    backhand("practice", "start", "matmul")
    sheet = tmp_path / "matmul.py"
    turns: list[int] = []
    import backhand.cli.practice as module

    checked = module._checked

    def noted(*arguments: object) -> bool:
        ok = checked(*arguments)  # type: ignore[arg-type]
        turns.append(int(ok))
        return ok

    monkeypatch.setattr(module, "_checked", noted)

    def person() -> None:
        deadline = time.monotonic() + 30
        while not turns and time.monotonic() < deadline:
            time.sleep(0.05)
        fill(sheet, MATMUL)
        while len(turns) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        import _thread

        _thread.interrupt_main()

    hand = threading.Thread(target=person)
    hand.start()
    ended = backhand("practice", "check", "--watch")
    hand.join()
    assert turns[0] == 0 and turns[-1] == 1
    assert ended.status == 0
    assert "0 of 4 right" in ended.out and "4 of 4 right" in ended.out
