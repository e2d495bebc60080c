"""`backhand train` as a person meets it: its words, its exit statuses, its silence."""

from __future__ import annotations

import io
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from backhand.cli.train import train as command
from backhand.errors import BackhandError
from backhand.train import checkpoint, loop
from backhand.train import run as running
from backhand.train.progress import Report, clock

SMALL = shlex.split(
    "--hidden 8 --n-embd 4 --steps 60 --batch 8 --grad autograd --checkpoint-every 20 --samples 3"
)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, number: signal.Signals) -> None:
    class Interrupting(Report):
        def __call__(self, done: int, losses: Any) -> None:
            super().__call__(done, losses)
            if done == step:
                signal.raise_signal(number)

    monkeypatch.setattr(running, "Report", Interrupting)


def test_a_run_tells_its_data_its_progress_and_its_losses(tmp_path: Path) -> None:
    result = invoke(*SMALL, "--out", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    for words in (
        "data: 1,546 names (shipped with backhand)",
        "network: 27 letters, context 3, hidden 8; gradients by autograd",
        "step 30 of 60  loss ",
        " steps/s  0:00 left",
        "train",
        "dev",
        "test",
        "New names: ",
        "loss curve: ",
    ):
        assert words in result.output
    assert (tmp_path / "run" / "loss.png").stat().st_size > 5000


def test_a_log_gets_a_line_every_tenth_of_the_way_and_no_escapes(tmp_path: Path) -> None:
    result = invoke(*SMALL, "--out", str(tmp_path / "run"))
    lines = [line for line in result.output.splitlines() if line.startswith("step ")]
    assert [int(line.split()[1]) for line in lines] == list(range(6, 61, 6))
    assert "\x1b" not in result.output and "\r" not in result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_that_command_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut in two"
    assert invoke(*SMALL, "--out", str(whole)).exit_code == 0
    interrupt_at(monkeypatch, 33, number)
    result = invoke(*SMALL, "--out", str(cut))
    monkeypatch.undo()
    assert result.exit_code == 130
    assert "stopped at step 33 of 60; go on with:" in result.output
    assert "Traceback" not in result.output
    words = shlex.split(result.output.splitlines()[-1])
    assert words[:2] == ["backhand", "train"]
    assert invoke(*words[2:]).exit_code == 0
    ends = [path / f"{checkpoint.stem(60)}.safetensors" for path in (whole, cut)]
    assert ends[0].read_bytes() == ends[1].read_bytes()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("initialise", "stopped before the first step; nothing was saved"),
        ("calibrate", "stopped; go on with:\n  backhand train --resume --out "),
    ],
)
def test_ctrl_c_outside_the_steps_is_no_traceback_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    def interrupted(*arguments: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop, name, interrupted)
    result = invoke(*SMALL, "--out", str(tmp_path / "run"))
    assert result.exit_code == 130
    assert words in result.output
    assert "Traceback" not in result.output


def test_going_on_refuses_an_option_that_differs_and_takes_one_that_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "run")
    interrupt_at(monkeypatch, 33, signal.SIGINT)
    invoke(*SMALL, "--out", out)
    monkeypatch.undo()
    result = invoke("--resume", "--out", out, "--hidden", "200")
    assert isinstance(result.exception, BackhandError)
    assert "hidden is 8 in the checkpoint and 200 here" in str(result.exception)
    assert invoke("--resume", "--out", out, "--hidden", "8", "--samples", "1").exit_code == 0


def test_errors_reach_the_caller_as_backhands_own(tmp_path: Path) -> None:
    result = invoke(*SMALL, "--data", str(tmp_path / "none.txt"))
    assert isinstance(result.exception, BackhandError)
    result = invoke("--resume", "--out", str(tmp_path / "none"))
    assert isinstance(result.exception, BackhandError)
    assert not (tmp_path / "none").exists()
    assert invoke("--resume", "--force").exit_code == 2


def test_help_shows_every_option_and_its_default() -> None:
    output = invoke("--help").output
    for option in ("--data", "--steps", "--rate-late", "--resume", "--force", "--device"):
        assert option in output
    assert "200000" in output and "2147483647" in output


def test_a_terminal_gets_one_bar_that_is_redrawn() -> None:
    import torch

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    report = Report(console, steps=1000, interval=0.0)
    for step in range(1, 1001):
        report(step, torch.ones(1000))
    report.close()
    report.close()
    text = screen.getvalue()
    assert "step 1,000 of 1,000" in text
    assert "loss 1.0000" in text and "steps/s" in text and "left" in text
    assert text.count("\n") <= 2


def test_times_read_as_a_clock() -> None:
    assert [clock(s) for s in (0, 59.6, 61, 3599, 3600, 360_000, -1)] == [
        "0:00",
        "1:00",
        "1:01",
        "59:59",
        "1:00:00",
        "100:00:00",
        "0:00",
    ]
