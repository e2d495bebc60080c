"""What derive, verify and ops print and write, and how the program ends."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from .conftest import FORWARD, Run, Write

Refused = Callable[..., str]
COMMAND = [sys.executable, "-m", "backhand"]


# asking for help, and for what is not there


def test_help_is_short_and_asks_for_nothing(backhand: Run) -> None:
    for arguments in (["-h"], ["--help"], ["derive", "-h"], ["verify", "-h"], ["ops", "-h"]):
        ended = backhand(*arguments)
        assert ended.status == 0
        assert ended.out.startswith("Usage: backhand")
        assert ended.err == ""
    alone = backhand()
    assert (alone.status, alone.out) == (2, "")
    assert "Start with: backhand tour" in alone.err
    assert backhand("--version").out == "backhand, version 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deriv"], "No such command 'deriv'. Did you mean derive?"),
        (["xyz"], "There are: tour, derive, explain, report, verify, check"),
        (["--nope"], "--nope"),
        (["derive"], "Missing argument 'TARGET'"),
        (["derive", "model.py:forward", "more"], "unexpected extra argument (more)"),
        (["derive", "model.py:forward", "--form", "round"], "'round' is not"),
        (["derive", "model.py:forward", "--spelling", "round"], "'round' is not one of"),
        (["verify", "model.py:forward", "--seed", "x"], "'x' is not a valid integer"),
    ],
)
def test_requests_that_are_not_understood(
    refused: Refused, target: str, arguments: list[str], said: str
) -> None:
    assert said in refused(*arguments)


def test_debug_shows_the_traceback(backhand: Run) -> None:
    for arguments in (["--debug", "derive", "x.py:f"], ["derive", "x.py:f", "--debug"]):
        ended = backhand(*arguments)
        assert ended.status == 2
        assert ended.err.startswith("Traceback (most recent call last)")
        assert ended.err.endswith("backhand: there is no file x.py\n")


# files


def test_a_file_is_not_overwritten(
    backhand: Run, refused: Refused, target: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.py"
    ended = backhand("derive", target, "-o", "out.py")
    assert (ended.status, ended.out, ended.err) == (0, "", "wrote out.py\n")
    assert out.read_text().startswith("dloss = ")
    out.write_text("precious")
    message = refused("derive", target, "-o", "out.py")
    assert message.endswith("out.py exists: choose another name, or overwrite it with --force")
    assert out.read_text() == "precious"
    assert backhand("derive", target, "-o", "out.py", "--force").status == 0
    assert out.read_text().startswith("dloss = ")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "__pycache__") == [
        "model.py",
        "out.py",
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "the output file has no name"),
        ("folder", "folder is a directory: give a file name"),
        ("nowhere/out.py", "there is no directory nowhere"),
        ("model.py/out.py", "there is no directory model.py"),
        ("a\0b", "holds a NUL character"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_files_that_cannot_be_written(
    refused: Refused, target: str, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    assert said in refused("derive", target, "-o", name)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_directory(refused: Refused, target: str, tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    assert "cannot be written: Permission denied" in refused("derive", target, "-o", "shut/out.py")


def test_a_pipe_is_written_to_and_not_replaced(backhand: Run, target: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    ended = backhand("derive", target, "-o", "pipe", "--force")
    reader.join(10)
    assert ended.status == 0
    assert read[0].startswith("dloss = ")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_stays_a_link(backhand: Run, target: str, tmp_path: Path) -> None:
    (tmp_path / "real.py").write_text("old")
    (tmp_path / "link.py").symlink_to("real.py")
    assert backhand("derive", target, "-o", "link.py", "--force").status == 0
    assert (tmp_path / "link.py").is_symlink()
    assert (tmp_path / "real.py").read_text().startswith("dloss = ")


# verdicts


def test_json_has_the_contracts_keys(backhand: Run, target: str) -> None:
    ended = backhand("verify", target, "--json")
    assert ended.status == 0
    report = json.loads(ended.out)
    assert set(report) == {"target", "form", "ok", "gradients"}
    assert (report["target"], report["form"], report["ok"]) == (target, "longhand", True)
    for gradient in report["gradients"]:
        contract = {"name", "of", "shape", "verdict", "maxdiff", "ulp"}
        assert set(gradient) == {*contract, "why"}  # why: a sentence, "" where there is none
    by_name = {g["name"]: g for g in report["gradients"]}
    assert by_name["dw"] == {
        "name": "dw",
        "of": "w",
        "shape": [3, 2],
        "verdict": "exact",
        "maxdiff": 0.0,
        "ulp": 0,
        "why": "",
    }


def test_a_wrong_gradient_ends_with_status_1(
    backhand: Run, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backhand.rules.base import RULES

    right = RULES["mul"]
    wrong = replace(right, vjp=lambda c: {k: -v for k, v in right.vjp(c).items() if v is not None})
    monkeypatch.setitem(RULES, "mul", wrong)
    table = backhand("verify", target)
    assert (table.status, table.err) == (1, "")
    assert "WRONG" in table.out
    ended = backhand("verify", target, "--json")
    report = json.loads(ended.out)
    assert (ended.status, report["ok"]) == (1, False)
    assert {g["verdict"] for g in report["gradients"]} == {"exact", "wrong"}


EDGES = """\
import torch

def nans():
    return (torch.tensor([1.0, float("nan"), -3.0, float("inf")]),)

def ties():
    return (torch.tensor([1.0, 1.0, 0.0, -0.0]),)

def one():
    return (torch.tensor([2.0]),)

def empty():
    return (torch.zeros(0),)

def f(x):
    y = x.relu()
    m = torch.maximum(x, x.flip(0))
    s = x.abs().sqrt()
    return (y * m).sum() + s.sum()
"""


@pytest.mark.parametrize("inputs", ["nans", "ties", "one", "empty"])
def test_edge_values_through_verify(backhand: Run, write: Write, inputs: str) -> None:
    write("t.py", EDGES)
    ended = backhand("verify", "t.py:f", "--inputs", f"t.py:{inputs}", "--json")
    assert ended.status == 0, ended
    report = json.loads(ended.out, parse_constant=pytest.fail)
    assert all(g["verdict"] == "exact" for g in report["gradients"])
    assert backhand("derive", "t.py:f", "--inputs", f"t.py:{inputs}").status == 0


# terminals


@pytest.mark.parametrize("width", [40, 80, 200])
def test_tables_fit_the_terminal(
    backhand: Run, target: str, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = backhand("verify", target).out
    assert max(map(len, out.splitlines())) <= width
    for name in ("dloss", "dy", "dw", "dx"):
        assert name in out
    assert max(map(len, backhand("ops", "soft").out.splitlines())) <= width


def test_ops_is_readable_in_80_columns(backhand: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = backhand("ops")
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith("with a rule")
    listed = json.loads(backhand("ops", "--json").out)
    first = {line.split()[0] for line in lines if line.strip()}
    folded = [row["op"] for row in listed if row["op"] not in first]
    assert all(any(name.startswith(f) for f in first) for name in folded)
    assert len(folded) < len(listed) / 20


@pytest.mark.parametrize("env", [{"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_escapes_without_colour(
    backhand: Run, target: str, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    out = backhand("verify", target).out
    assert "\x1b[3" not in out


# what is derived


ODD = """\
import torch

def example_inputs():
    return torch.randn(4, 3), torch.tensor([2, 0, 1, 1]), 4

def loss(x, i, k):
    lambda_ = x[:, i % 3] * k
    s = "\u2028import nowhere"; saved = lambda_.tanh() + len(s) * 0
    return saved.sum()

def several(x, i, k):
    math = x * k
    return {"out": math, "torch": math.sum(0), "i": i + 1}

def constant(x, i, k):
    return (x * torch.tensor([1.0, 2.0, 3.0])).sum()

def alone(x, i, k):
    return x * 2
"""


@pytest.mark.parametrize("name", ["loss", "several", "constant", "alone"])
@pytest.mark.parametrize("spelling", ["plain", "exact"])
def test_emitted_modules_run(
    backhand: Run, write: Write, tmp_path: Path, name: str, spelling: str
) -> None:
    write("t.py", ODD)
    ended = backhand(
        "derive", f"t.py:{name}", "--emit", "torch", "--spelling", spelling, "-o", "out.py"
    )
    assert ended.status == 0, ended
    source = (tmp_path / "out.py").read_text(encoding="utf-8")
    space: dict[str, object] = {}
    exec(compile(source, "out.py", "exec"), space)
    assert str(space["__doc__"]).startswith(f"The forward and the backward pass of ``{name}``")
    own: dict[str, object] = {}
    exec(compile(ODD, "t.py", "exec"), own)
    torch.manual_seed(0)
    for n in (4, 7):
        x = torch.randn(n, 3)
        i = torch.randint(0, 3, (n,))
        leaf = x.clone().requires_grad_()
        truth = own[name](leaf, i, 4)  # type: ignore[operator]
        outputs = list(truth.values()) if isinstance(truth, dict) else [truth]
        floating = [o for o in outputs if o.requires_grad]
        ups = [torch.randn_like(o) for o in floating]
        scalar = len(outputs) == 1 and outputs[0].shape == ()
        if scalar:
            ups = [torch.ones(())]
        (expected,) = torch.autograd.grad(floating, [leaf], ups)
        taken = [x, i, 4][: space["forward"].__code__.co_argcount]  # type: ignore[attr-defined]
        *made, saved = space["forward"](*taken)  # type: ignore[operator]
        assert isinstance(saved, dict)
        for a, b in zip(made, outputs, strict=True):
            torch.testing.assert_close(a, b.detach())
        gradients = space["backward"](saved, *([] if scalar else ups))  # type: ignore[operator]
        assert list(gradients) == ["x"]
        torch.testing.assert_close(gradients["x"], expected)


# outputs that go nowhere, and other surroundings


@pytest.mark.parametrize("command", ["ops", "derive", "verify", "verify --json"])
def test_the_reader_goes_away(
    backhand: Run, target: str, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    name, *options = command.split()
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        ended = backhand(name, *([] if name == "ops" else [target]), *options)
    assert (ended.status, ended.err) == (0, "")


def test_a_real_pipe_and_its_reader_goes_away(target: str, tmp_path: Path) -> None:
    line = f"{shlex.join([*COMMAND, 'derive', target])} | true; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert (ended.stdout, ended.stderr) == ("0\n", "")


def test_a_closed_output(backhand: Run, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (["ops"], ["derive", target], ["verify", target]):
        monkeypatch.setattr(sys, "stdout", None)
        ended = backhand(*command)
        assert (ended.status, ended.err) == (0, ""), command


def test_a_full_disk(backhand: Run, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115 - closing it fails
    monkeypatch.setattr(sys, "stdout", full)
    ended = backhand("derive", target)
    with suppress(OSError):
        full.close()
    assert ended.status == 2
    assert ended.err == "backhand: the output cannot be written: No space left on device\n"


def test_the_text_is_the_same_in_bare_surroundings(
    backhand: Run, write: Write, tmp_path: Path
) -> None:
    """Another hash seed, no home, nowhere to write: not a byte differs."""
    write(
        "t.py",
        "import torch\n"
        "def example_inputs(): return torch.randn(4, 3), torch.randn(3, 5), torch.randn(5)\n"
        "def f(x, w, b):\n"
        "    h = torch.tanh(x @ w + b)\n"
        "    p = h.softmax(1)\n"
        "    q = (p * h).sum(1, keepdim=True)\n"
        "    return (q * p + h.mean(0)).sum() + b.max()\n",
    )
    code = (
        "import contextlib, sys\n"
        "from backhand.cli import main\n"
        "for more in ([], ['--emit', 'torch']):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main(['derive', 't.py:f', *more])\n"
        "main(['verify', 't.py:f', '--json'])\n"
    )
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    env = {k: v for k, v in os.environ.items() if k not in ("TMPDIR", "XDG_CACHE_HOME")}
    tmp_path.chmod(0o500)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            env={**env, "HOME": "/nowhere", "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
        )
    finally:
        tmp_path.chmod(0o700)
    assert (ended.returncode, ended.stderr) == (0, "")
    here = backhand("derive", "t.py:f").out
    here += backhand("derive", "t.py:f", "--emit", "torch").out
    assert "def backward(" in here
    assert ended.stdout.startswith(here)
    assert json.loads(ended.stdout.removeprefix(here))["ok"] is True


def test_an_interruption_ends_in_one_line(backhand: Run, write: Write) -> None:
    write("t.py", FORWARD.replace("    y = ", "    raise KeyboardInterrupt\n    y = "))
    ended = backhand("derive", "t.py:forward")
    assert (ended.status, ended.out, ended.err) == (130, "", "\ninterrupted\n")


def test_ctrl_c_ends_endless_output(write: Write, tmp_path: Path) -> None:
    write("t.py", "while True: print('more', flush=True)\n")
    running = subprocess.Popen(
        [*COMMAND, "derive", "t.py:forward"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert running.stderr is not None
    assert running.stderr.readline() == "more\n"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "interrupted"


# --cost


def test_cost_is_a_table(backhand: Run, target: str) -> None:
    ended = backhand("derive", target, "--cost", "--at", "n=64,d=32")
    assert (ended.status, ended.err) == (0, "")
    table, _, sizes = ended.out.partition("\n\n")
    head, *rows = [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]
    assert head == ["longhand", "shorthand", "ratio"]
    assert [row[0] for row in rows] == [
        "statements", "passes over large tensors", "bytes moved", "bytes saved", "operations",
    ]  # fmt: skip
    assert all(len(row) == 4 for row in rows)
    assert "x.shape[0] = 64" in sizes


def test_cost_writes_no_file(refused: Refused, target: str) -> None:
    assert "leave out" in refused("derive", target, "--cost", "-o", "out.py")
    assert "leave out" in refused("derive", target, "--cost", "--emit", "torch")


def test_refused_forms_are_shown_with_their_reasons(backhand: Run, write: Write) -> None:
    write(
        "gate.py",
        "import torch\n"
        "def forward(gate, up):\n"
        "    return gate * torch.sigmoid(gate) * up\n"
        "def example_inputs():\n"
        "    return torch.randn(6, 7), torch.randn(6, 7)\n",
    )
    ended = backhand("derive", "gate.py:forward", "--explain-refusals")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("dup, dgate from dout: ")


# complete modules


def test_modules_for_every_library(backhand: Run, write: Write) -> None:
    write("net.py", FORWARD)
    for emit, sign in (
        ("torch", "def forward("),
        ("function", "class Forward(torch.autograd.Function)"),
        ("numpy", "import numpy as np"),
        ("jax", "import jax.numpy as jnp"),
    ):
        ended = backhand("derive", "net.py:forward", "--emit", emit, "--save", "least")
        assert ended.status == 0, ended.err
        assert sign in ended.out and "saved: " in ended.out
        compile(ended.out, emit, "exec")


def test_what_is_saved_is_checked(backhand: Run, write: Write) -> None:
    write("net.py", FORWARD)
    alone = backhand("derive", "net.py:forward", "--save", "least")
    assert (alone.status, alone.out) == (2, "")
    assert "give --emit as well" in alone.err
    unknown = backhand("derive", "net.py:forward", "--emit", "numpy", "--save", "nosuch")
    assert unknown.status == 2
    assert "no value named 'nosuch'" in unknown.err
