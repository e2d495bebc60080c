"""Targets that cannot be used, each refused in a sentence; and odd ones that can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import FORWARD, Run, Write

Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.py:forward", "there is no file nowhere.py"),
        ("model.py:forwrd", "model.py has nothing named forwrd: did you mean forward?"),
        ("model.py:zzz", "model.py has nothing named zzz: it has example_inputs, forward"),
        ("nowhere:f", "there is no module named nowhere"),
        ("torch.nowhere:f", "there is no module named torch.nowhere"),
        ("torch.nn:Linaer", "torch.nn has nothing named Linaer: did you mean Linear?"),
        ("model.py", "'model.py' is not a target: write path/file.py:function"),
        (":forward", "is not a target"),
        ("model.py:", "is not a target"),
        ("folder:forward", "folder is a directory: name a file, as in folder/model.py"),
        ("two words:f", "'two words' is neither a file nor the name of a module"),
    ],
)
def test_unknown_targets(refused: Refused, write: Write, target: str, name: str, said: str) -> None:
    write("folder/inner.py", "")
    assert said in refused("derive", name)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(:\n", "line 1: invalid syntax\n  def f(:"),
        ("import os\n1 / 0\n", "t.py failed: ZeroDivisionError: division by zero\n"),
        ("import sys\nsys.exit(7)\n", "t.py ended the program (exit 7)"),
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("x = 1\0\n", "null bytes"),
        ("raise KeyError\n", "t.py failed: KeyError: no message"),
        ("from .other import f\n", "name it with dots"),
        ("# coding: klingon\n", "unknown encoding"),
    ],
)
def test_files_that_do_not_load(refused: Refused, write: Write, source: str, said: str) -> None:
    write("t.py", source)
    message = refused("verify", "t.py:f")
    assert said in message
    assert len(message.splitlines()) <= 2


def test_a_failing_file_is_shown_at_its_own_line(refused: Refused, write: Write) -> None:
    write("t.py", "import json\n\njson.loads('{')\n")
    assert refused("derive", "t.py:f").endswith("t.py:3: json.loads('{')")


def test_a_file_that_is_not_text(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "t.py").write_bytes(b"# \xff\xfe\ndef f(x):\n    return x\n")
    assert refused("derive", "t.py:f") == "backhand: t.py is not UTF-8 text"
    (tmp_path / "model").write_bytes(b"def f(x): return x\n")
    assert "ends in .py" in refused("derive", "./model:f")


def test_things_that_are_no_forward_pass(refused: Refused, write: Write) -> None:
    write(
        "t.py",
        "import torch\n"
        "def example_inputs(): return (torch.ones(2, 3),)\n"
        "number = 3\n"
        "class Plain: pass\n"
        "class Needs(torch.nn.Module):\n"
        "    def __init__(self, width): super().__init__()\n"
        "class Broken(torch.nn.Module):\n"
        "    def __init__(self): raise TypeError('inside')\n",
    )
    assert "number in t.py is of type int" in refused("derive", "t.py:number")
    assert "torch in t.py is of type Python module" in refused("derive", "t.py:torch")
    assert "Plain is a class, but no nn.Module" in refused("derive", "t.py:Plain")
    needs = refused("derive", "t.py:Needs")
    assert "Needs cannot be made without arguments" in needs
    assert "write an instance beside it, such as model = Needs(…)" in needs
    assert "Broken() failed: TypeError: inside" in refused("derive", "t.py:Broken")


def test_modules_classes_and_instances(backhand: Run, write: Write) -> None:
    write(
        "t.py",
        "import torch\n"
        "def example_inputs(): return (torch.ones(2, 3),)\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, width=2):\n"
        "        super().__init__()\n"
        "        self.fc = torch.nn.Linear(3, width)\n"
        "    def forward(self, x):\n"
        "        return self.fc(x).sum()\n"
        "class Holder:\n"
        "    net = Net(5)\n",
    )
    for name in ("Net", "Holder.net"):
        ended = backhand("derive", f"t.py:{name}")
        assert ended.status == 0
        assert "dfc_weight = " in ended.out
        assert ended.err == ""


def test_dotted_modules_are_found_from_here(backhand: Run, write: Write) -> None:
    write("pack/__init__.py", "")
    write("pack/scale.py", "SCALE = 5\n")
    write(
        "pack/model.py",
        "import torch\nfrom .scale import SCALE\n"
        "def example_inputs(): return (torch.ones(3),)\n"
        "def f(x): return (x * SCALE).sum()\n",
    )
    ended = backhand("derive", "pack.model:f")
    assert ended.status == 0
    assert "dx = 5 * " in ended.out


NEIGHBOURLY = """\
import torch
import helper

def example_inputs():
    return (torch.ones(3),)

def f(x):
    return (x * helper.SCALE).sum()

def late(x):
    import helper as again
    return (x * again.SCALE).sum()
"""


def test_neighbours_are_each_targets_own(backhand: Run, write: Write) -> None:
    for folder, scale in (("a", 2), ("b", 3)):
        write(f"{folder}/helper.py", f"SCALE = {scale}\n")
        write(f"{folder}/t.py", NEIGHBOURLY)
    for folder, scale in (("a", 2), ("b", 3), ("a", 2)):
        for name in ("f", "late"):
            assert f"dx = {scale} * " in backhand("derive", f"{folder}/t.py:{name}").out
    # with inputs from elsewhere the neighbours are still the target's
    ended = backhand("derive", "a/t.py:late", "--inputs", "b/t.py:example_inputs")
    assert "dx = 2 * " in ended.out


def test_an_edited_target_is_read_again(backhand: Run, write: Write) -> None:
    write("helper.py", "SCALE = 2\n")
    write("t.py", NEIGHBOURLY)
    assert "dx = 2 * " in backhand("derive", "t.py:f").out
    write("helper.py", "SCALE = 345\n")
    assert "dx = 345 * " in backhand("derive", "t.py:f").out


@pytest.mark.parametrize("name", ["types", "random", "torch", "numpy", "rich", "ast", "json"])
def test_files_named_like_libraries_break_nothing(
    backhand: Run, write: Write, target: str, name: str
) -> None:
    write(f"{name}.py", "raise RuntimeError('the wrong one')\n")
    ended = backhand("verify", target)
    assert ended.status == 0
    assert "4 exact" in ended.out


def test_what_the_target_prints_is_kept_out_of_the_result(backhand: Run, write: Write) -> None:
    noisy = FORWARD.replace("    y = ", "    print('running')\n    y = ") + "print('loading')\n"
    write("t.py", noisy)
    ended = backhand("derive", "t.py:forward")
    assert "loading" not in ended.out
    assert "running" not in ended.out
    assert ended.err.startswith("loading\n")
    compile(ended.out, "derived", "exec")


def test_a_forward_pass_cannot_end_the_program(refused: Refused, write: Write) -> None:
    write("t.py", FORWARD.replace("    y = ", "    raise SystemExit(0)\n    y = "))
    assert refused("verify", "t.py:forward") == "backhand: t.py:forward ended the program (exit 0)"


def test_names_in_any_alphabet(backhand: Run, write: Write) -> None:
    write(
        "größe.py",
        "import torch\n"
        "def example_inputs(): return (torch.ones(3),)\n"
        "def überschuß(größe):\n    δ = größe * 2\n    return δ.sum()\n",
    )
    ended = backhand("derive", "größe.py:überschuß", "--emit", "torch")
    assert ended.status == 0
    assert "dgröße = 2 * dδ" in ended.out
    compile(ended.out, "emitted", "exec")


def test_terminal_escapes_are_stripped(refused: Refused, backhand: Run, write: Write) -> None:
    write(
        "t.py",
        "import torch\n"
        "def example_inputs(): return (torch.ones(3),)\n"
        "def bad(x): raise ValueError('\x1b[31mred\x1b]0;title\x07 \x9b1m')\n"
        "def good(x):\n    y = x * {'\x1b[31m': 2}['\x1b[31m']\n    return y.sum()\n",
    )
    message = refused("derive", "t.py:bad")
    assert "ValueError: red" in message
    assert message.isprintable() or "\n" in message
    assert not any(ch in message for ch in "\x1b\x07\x9b")
    assert "\x1b" not in refused("derive", "no\x1b[31m.py:f")
    assert "\x1b" not in refused("derive", "t.py:good", "\x1b[31m")
    assert "\x1b" not in refused("\x1b[31m")
    assert "\x1b" not in backhand("derive", "t.py:good").out
