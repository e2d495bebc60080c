"""What derive, verify and ops print and write, and how the program ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from .conftest import FORWARD, Run, Write

Refused = Callable[..., str]
COMMAND = [sys.executable, "-m", "backhand"]


def process(
    *arguments: str,
    cwd: Path,
    code: str = "",
    redirect: str = "",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """The command (or ``code``) in a process of its own; ``redirect`` is a shell's redirection."""
    command = [sys.executable, "-c", code] if code else [*COMMAND, *arguments]
    if redirect:
        command = ["bash", "-c", f"{shlex.join(command)} {redirect}"]
    given = {**os.environ, "OMP_NUM_THREADS": "1"} if env is None else dict(env)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=given, cwd=cwd)


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
        (["xyz"], "There are: tour, derive, verify"),
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


# A wrong rule, planted before the command runs.
PLANTED = """\
from dataclasses import replace
import backhand.rules
from backhand.rules import base
rules = base.RULES
found = rules["mul"]
rules["mul"] = replace(found, vjp=lambda c: {k: -v for k, v in found.vjp(c).items()})
from backhand.cli import main
"""


def test_a_wrong_gradient_ends_with_status_1(target: str, write: Write, tmp_path: Path) -> None:
    write("model.py", FORWARD)
    ended = process(code=f"{PLANTED}main(['verify', {target!r}, '--json'])", cwd=tmp_path)
    assert ended.returncode == 1, ended
    assert ended.stderr == ""
    report = json.loads(ended.stdout)
    assert report["ok"] is False
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
    assert "no operator of that name" in backhand("ops", "nowhere").out


@pytest.mark.parametrize("env", [{"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_escapes_without_colour(
    backhand: Run, target: str, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    out = backhand("verify", target).out
    assert "\x1b[3" not in out


# what is derived


def test_output_does_not_depend_on_hash_seeds(write: Write, tmp_path: Path) -> None:
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
    for arguments in (["derive", "t.py:f"], ["derive", "t.py:f", "--emit", "torch"]):
        runs = [
            process(*arguments, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=tmp_path)
            for seed in "12"
        ]
        assert [r.returncode for r in runs] == [0, 0], runs
        assert runs[0].stdout == runs[1].stdout != ""


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


# processes


def test_the_reader_goes_away(target: str, tmp_path: Path) -> None:
    for arguments in (["ops"], ["verify", target], ["derive", target]):
        ended = process(*arguments, cwd=tmp_path, redirect="| true; echo ${PIPESTATUS[0]}")
        assert (ended.stdout, ended.stderr) == ("0\n", "")


def test_a_closed_and_a_full_output(target: str, tmp_path: Path) -> None:
    closed = process("ops", cwd=tmp_path, redirect=">&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    full = process("derive", target, cwd=tmp_path, redirect="> /dev/full")
    assert full.returncode == 2
    assert full.stderr == "backhand: the output cannot be written: No space left on device\n"


def test_no_home_and_nowhere_to_write(target: str, tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k not in ("TMPDIR", "XDG_CACHE_HOME")}
    tmp_path.chmod(0o500)
    try:
        ended = process("verify", target, cwd=tmp_path, env={**env, "HOME": "/nowhere"})
    finally:
        tmp_path.chmod(0o700)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "4 exact" in ended.stdout


@pytest.mark.parametrize("where", ["load", "forward"])
def test_ctrl_c_ends_in_one_line(write: Write, tmp_path: Path, where: str) -> None:
    endless = "import sys\nwhile True: print('more', flush=True)\n"
    body = FORWARD
    if where == "load":
        body += endless
    else:
        body = body.replace("    y = ", "    while True: print('more', flush=True)\n    y = ")
    write("t.py", body)
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
    assert running.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "interrupted"
