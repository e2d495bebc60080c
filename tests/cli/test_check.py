"""``backhand check``: files to review, and reviewed code that exits, loops, prints and patches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Run, Write

MODULE = """\
import torch

def example_inputs(n=4):
    return torch.randn(n, 3), torch.randn(3, 2)

def forward(x, w):
    y = x @ w
    return (y * y).sum()

def backward(x, w, y):
    dy = 2 * y
    dx = dy @ w.T
    dw = x.T @ dy
    return dx, dw
"""
WRONG = MODULE.replace("x.T @ dy", "-x.T @ dy")
FUNCTION = """\
import torch

class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2
"""


@pytest.mark.parametrize(("text", "status"), [(MODULE, 0), (WRONG, 1)])
def test_the_exit_status_and_the_text(backhand: Run, write: Write, text: str, status: int) -> None:
    write("mine.py", text)
    ended = backhand("check", "mine.py")
    assert ended.status == status and ended.err == ""
    assert "dw = " in ended.out
    assert ("3 exact" in ended.out) == (status == 0)


def test_json(backhand: Run, write: Write) -> None:
    write("mine.py", WRONG)
    ended = backhand("check", "mine.py", "--json")
    found = json.loads(ended.out)
    assert ended.status == 1
    assert (found["file"], found["ok"]) == ("mine.py", False)
    (wrong,) = [g for g in found["gradients"] if g["verdict"] not in ("exact", "close")]
    assert (wrong["name"], wrong["line"]) == ("dw", 13)
    assert set(wrong) >= {"name", "line", "verdict", "local_verdict", "causes"}
    assert all(set(c) >= {"code", "message", "fix"} for c in wrong["causes"])


def test_hints_one_at_a_time(backhand: Run, write: Write) -> None:
    write("mine.py", WRONG)
    plain = backhand("check", "mine.py").out
    said = [backhand("check", "mine.py", "--hint", str(n)).out for n in range(1, 5)]
    assert all(s.startswith(plain.rstrip()) and "\ndw: " in s for s in said)
    assert said[0] != said[3] and "dw = x.T @ dy" in said[3].rpartition("\ndw: ")[2]
    assert backhand("check", "mine.py", "--hint", "5").status == 2


def test_forward_inputs_and_sizes_from_elsewhere(backhand: Run, write: Write) -> None:
    write("net.py", MODULE)
    write("mine.py", "def backward(x, w, y):\n    dy = 2 * y\n    return dy @ w.T, x.T @ dy\n")
    write("more.py", "import torch\ndef made():\n    return torch.ones(5, 3), torch.ones(3, 2)\n")
    assert backhand("check", "mine.py", "--forward", "net.py:forward").status == 0
    options = ("--forward", "net.py:forward", "--inputs", "more.py:made")
    assert backhand("check", "mine.py", *options).status == 0
    assert backhand("check", "net.py", "--at", "n=6").status == 0
    write("lines.py", "dy = 2 * y\ndw = x.T @ dy\n")
    assert backhand("check", "lines.py", "--forward", "net.py:forward").status == 0
    write("double.py", FUNCTION)
    write("ref.py", "import torch\ndef f(x):\n    return x + x\n"
          "def example_inputs():\n    return torch.ones(3)\n")  # fmt: skip
    assert backhand("check", "double.py", "--forward", "ref.py:f").status == 0


HOSTILE = {
    "syntax": (MODULE.replace("y):", "y:", 1), "line 10: '(' was never closed"),
    "import": ("import no_such_thing\n" + MODULE, "No module named 'no_such_thing'"),
    "exit": (MODULE + "import sys\nsys.exit(3)\n", "ended the program (exit 3)"),
    "late exit": (
        MODULE.replace("dy = 2 * y", "dy = 2 * y; raise SystemExit(0)"),
        "ended the program (exit 0)",
    ),
    "hard exit": (MODULE + "import os\nos._exit(0)\n", "ended the whole process"),
    "crash": (
        MODULE + "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
        "(Segmentation fault)\n  it was at mine.py:16",
    ),
    "closed": (MODULE + "import os\nos.closerange(3, 1000)\n", "no result came back"),
    "asks": (MODULE + "input('? ')\n", "EOF when reading a line"),
    "data": (MODULE + "open('absent.txt')\n", "No such file or directory: 'absent.txt'"),
    "recursion": (MODULE + "def f():\n    f()\nf()\n", "maximum recursion depth"),
    "meddles": (
        WRONG.replace("dy = 2 * y", "dy = 2 * y; torch.equal = lambda *a: True"),
        "replaces torch.equal while it is reviewed",
    ),
    "no forward": (MODULE.replace("forward", "other"), "no function forward"),
    "no backward": (MODULE.replace("def backward", "def other"), "no function backward"),
    "nothing": ("import torch\n", "has no forward pass to review"),
    "cuda": (
        MODULE.replace("torch.randn(n, 3)", "torch.randn(n, 3, device='cuda:99')"),
        "example_inputs failed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_every_bad_end_is_one_clear_message(backhand: Run, write: Write, name: str) -> None:
    text, said = HOSTILE[name]
    write("mine.py", text)
    ended = backhand("check", "mine.py")
    assert ended.status == 2 and ended.out == ""
    assert said in ended.err and "Traceback" not in ended.err and "unforeseen" not in ended.err
    assert "mine.py" in ended.err or name == "late exit"


@pytest.mark.parametrize(
    ("file", "said"), [("absent.py", "there is no file absent.py"), (".", "is a directory")]
)
def test_files_that_are_none(backhand: Run, file: str, said: str) -> None:
    ended = backhand("check", file)
    assert ended.status == 2 and said in ended.err


def test_an_endless_loop_is_stopped_where_it_runs(backhand: Run, write: Write) -> None:
    write("mine.py", MODULE + "while True:\n    pass\n")
    started = time.monotonic()
    ended = backhand("check", "mine.py", "--timeout", "1.5")
    assert ended.status == 2 and time.monotonic() - started < 30
    assert "was not done after 1.5 seconds" in ended.err
    assert "it was at mine.py:15" in ended.err or "it was at mine.py:16" in ended.err


def test_a_time_limit_of_nothing_is_refused(backhand: Run, write: Write) -> None:
    write("mine.py", MODULE)
    assert backhand("check", "mine.py", "--timeout", "0").status == 2


def test_a_flood_of_output_is_cut_and_changes_nothing(backhand: Run, write: Write) -> None:
    flood = "for i in range(100_000):\n    print('exact' * 20)\n"
    write("mine.py", MODULE + flood + "print('\\x1b[2J')\n")
    ended = backhand("check", "mine.py", "--json")
    assert ended.status == 0 and json.loads(ended.out)["ok"]
    assert len(ended.err) < 6_000 and "left out" in ended.err and "\x1b" not in ended.err


PATCHES = """
import builtins
torch.equal = torch.allclose = lambda *a, **k: True
torch.Tensor.__eq__ = lambda a, b: torch.ones(())
torch.Tensor.equal = lambda a, b: True
builtins.all = lambda values: True
builtins.abs = lambda value: 0
import backhand.review.judge
backhand.review.judge.compare = None
"""


def test_patched_functions_decide_nothing(backhand: Run, write: Write) -> None:
    write("mine.py", WRONG + PATCHES)
    ended = backhand("check", "mine.py")
    assert ended.status == 1
    assert "1 wrong: dw" in ended.out and "the review uses the originals" in ended.out


def test_a_child_of_the_reviewed_code_does_not_keep_us(backhand: Run, write: Write) -> None:
    started = time.monotonic()
    write("mine.py", MODULE + "import os, time\nif os.fork() == 0:\n    time.sleep(600)\n")
    assert backhand("check", "mine.py").status == 0
    assert time.monotonic() - started < 60


def test_ctrl_c_ends_it_and_leaves_nothing_running(write: Write, tmp_path: Path) -> None:
    text = "import os\nopen('pid', 'w').write(str(os.getpid()))\nwhile True: pass\n"
    write("mine.py", MODULE + text)
    command = [sys.executable, "-m", "backhand", "check", "mine.py"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        pid_file = tmp_path / "pid"
        for _ in range(1200):
            if pid_file.exists() and pid_file.read_text():
                break
            time.sleep(0.05)
        child = int(pid_file.read_text())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err.strip()) == (130, "", "interrupted")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
