"""The documentation tells the truth: whatever stands in a fence is run, parsed or looked up."""

from __future__ import annotations

import importlib.util
import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import torch

import backhand as package
from backhand.cli.main import cli
from tests.cli.conftest import Run
from tests.docs.blocks import KINDS, QUOTING, ROOT, TEXTS, Block, blocks, pages

ARTICLE = ("index", "exercise-1", "exercise-2", "exercise-3", "exercise-4")


def sessions() -> dict[str, list[str]]:
    """The pages whose Python is run as one session: each for itself, the article's as one."""
    article = [f"docs/article/{name}.md" for name in ARTICLE]
    alone = [p for p in pages() if p not in article and p not in QUOTING]
    found = {p: [p] for p in alone if any(b.kind == "python" for b in blocks(p))}
    return {**found, "docs/article": article}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the examples where the pages say that they are."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKHAND_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return tmp_path


def test_every_block_is_of_a_known_kind() -> None:
    assert [f"{b} {b.kind!r}" for b in blocks() if b.kind not in KINDS] == []
    for page in pages():
        fences = (ROOT / page).read_text("utf-8").count("\n```")
        assert fences == 2 * len(blocks(page)), f"{page} has a fence that is not read"


def test_links_of_the_root_lead_somewhere() -> None:
    """Those of pages in docs/ are checked when the site is built."""
    for page in ROOT.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (ROOT / target).exists(), f"{page.name} links to {target}"


# python


def run(block: Block, space: dict[str, Any]) -> None:
    """Run a block; a comment below a ``print`` at its left margin is what is printed there."""
    printed = io.StringIO()
    code = compile("\n" * block.line + block.text, block.page, "exec")
    with redirect_stdout(printed):
        exec(code, space)
    lines = block.text.splitlines()
    claimed = [
        after.removeprefix("# ")
        for line, after in pairwise(lines)
        if line.lstrip().startswith("print(") and after.startswith("# ")
    ]
    shown = printed.getvalue().splitlines()
    assert not claimed or shown[-len(claimed) :] == claimed, f"{block} prints {shown}"


@pytest.fixture(scope="module")
def spaces() -> dict[str, dict[str, Any]]:
    """What the sessions leave behind."""
    return {}


@pytest.mark.parametrize("name", sessions())
def test_python_runs(name: str, spaces: dict[str, dict[str, Any]]) -> None:
    torch.manual_seed(0)
    space = spaces[name] = {"__name__": "__page__"}
    for page in sessions()[name]:
        for block in blocks(page):
            if block.kind == "python":
                run(block, space)


def test_the_articles_lines_give_autograds_gradients(spaces: dict[str, dict[str, Any]]) -> None:
    """The session of the retelling, and the lines of its first exercise as they are derived."""
    if "docs/article" not in spaces:
        test_python_runs("docs/article", spaces)
    space = spaces["docs/article"]
    import article

    bp = package.derive(article.forward, *article.example_inputs())
    given = [v.requires_grad_(v.is_floating_point()) for v in article.example_inputs()]
    article.forward(*given).backward()
    names = article.forward.__code__.co_varnames
    for name, value in zip(names, given, strict=False):
        if value.grad is not None:
            torch.testing.assert_close(space[f"d{name}"], value.grad)
    told = "".join(b.text for b in blocks("docs/article/exercise-1.md") if b.kind == "python")
    assert statements(bp.longhand.source) <= statements(told), "a derived line is not retold"


def statements(source: str) -> set[str]:
    """The assignments to gradients, however they are broken into lines."""
    import ast

    lines = {ast.unparse(s) for s in ast.parse(source).body if isinstance(s, ast.Assign)}
    return {line for line in lines if line.startswith("d")}


@pytest.mark.parametrize("page", QUOTING)
def test_quotations_stand_in_the_code(page: str) -> None:
    code = "".join(p.read_text("utf-8") for p in (ROOT / "src" / "backhand").rglob("*.py"))
    for block in blocks(page):
        if block.kind in ("python", "text"):
            assert block.text in code, f"{block} is not in the code any more"


def test_a_block_that_shows_something_else_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match=r"page:7 prints \['3'\]"):
        run(Block("page", 7, "python", "print(1 + 2)\n# 4\n"), {})


# console


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether the printed lines are the ones shown; a line ``…`` stands for any number of them."""
    if not shown:
        return not printed
    if shown[0].strip() == "…":
        return any(matches(shown[1:], printed[i:]) for i in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and matches(shown[1:], printed[1:])


TRANSCRIPTS = [p for p in pages() if any(b.kind == "console" for b in blocks(p))]
# What is printed is the same on every page, if the command leaves nothing behind.
PURE = ("derive", "verify", "explain", "check", "ops")
_printed: dict[str, list[str]] = {}


@pytest.mark.parametrize("page", TRANSCRIPTS)
def test_transcript_is_what_is_printed(page: str, backhand: Run) -> None:
    for block in (b for b in blocks(page) if b.kind == "console"):
        first, *shown = block.text.rstrip("\n").split("\n")
        assert first.startswith("$ backhand "), f"{block} is no transcript of ours"
        words = shlex.split(first.removeprefix("$ backhand "))
        if first not in _printed or words[0] not in PURE:
            ended = backhand(*words)
            assert ended.err == "", f"{block}: {ended.err}"
            _printed[first] = [line.rstrip() for line in ended.out.rstrip("\n").split("\n")]
        assert matches([s.rstrip() for s in shown], _printed[first]), "\n".join(_printed[first])


def test_a_wrong_transcript_would_be_noticed() -> None:
    assert matches(["a", "…", "d"], ["a", "b", "c", "d"])
    assert not matches(["a", "…", "x"], ["a", "b", "c", "d"])
    assert not matches(["a", "b"], ["a", "b", "c"])


# sh and text


def commands() -> Iterator[tuple[Block, str]]:
    """The commands of every ``sh`` block, without what is said of them beside."""
    for block in blocks():
        if block.kind == "sh":
            for line in block.text.splitlines():
                yield block, re.split(r"\s{3,}|\s+#", line)[0].strip()


def fault(command: str) -> str:
    """What is wrong with a command; nothing if it could be run as it stands."""
    words = [w.strip("[]") for w in shlex.split(command)]
    program, arguments = words[0], words[1:]
    if program in ("backhand", ".venv/bin/backhand"):
        return _misuse(arguments)
    if program == "make":
        made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
        return "" if {a for a in arguments if "=" not in a} <= made else "no such target"
    if program == ".venv/bin/python":
        if arguments[0] == "-m":
            found = importlib.util.find_spec(arguments[1]) is not None
            paths = [a for a in arguments[2:] if a.startswith("tests/")]
            return "" if found and all((ROOT / p).exists() for p in paths) else "no such module"
        return "" if (ROOT / arguments[0]).is_file() else "no such script"
    return f"an unknown program {program}"


def _misuse(arguments: list[str]) -> str:
    """What the command line would say; options and their values are checked, nothing is run."""
    command: click.Command = cli
    context: click.Context | None = None
    while isinstance(command, click.Group) and arguments:
        name, *arguments = arguments
        if name == "--help":
            return ""
        # with its settings: click keeps a command's help option as it was asked for first
        context = click.Context(command, parent=context, **command.context_settings)
        found = command.get_command(context, name)
        if found is None:
            return f"no command {name}"
        command = found
    try:
        command.make_context(command.name, arguments, parent=context)
    except click.UsageError as error:
        return error.message
    return ""


def test_commands_are_commands() -> None:
    found = {f"{block}: {command}": fault(command) for block, command in commands()}
    assert {where: said for where, said in found.items() if said} == {}
    assert len(found) > 40


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("backhand derive FILE.py:f --emit fortran", "'fortran' is not one of"),
        ("backhand explain FILE.py:f --number", "No such option"),
        ("backhand explian FILE.py:f", "no command"),
        ("make demos", "no such target"),
        (".venv/bin/python benchmarks/nothing.py", "no such script"),
        ("rm -rf build", "unknown program"),
    ],
)
def test_a_wrong_command_would_be_noticed(command: str, said: str) -> None:
    assert said in fault(command)


def test_text_is_text_for_a_reason() -> None:
    for block in blocks():
        if block.kind == "text":
            known = TEXTS.get(block.page, {})
            assert any(block.text.startswith(start) for start in known), f"{block}: what is it?"
