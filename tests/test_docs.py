"""The documentation tells the truth: its transcripts are run, its made pages are made again."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs import build_transcript

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/onboarding.md", "docs/adding-a-rule.md")
BLOCK = re.compile(r"^```[a-z]*\n(\$ backhand .*?)^```", re.MULTILINE | re.DOTALL)


def transcripts() -> list[tuple[str, str, list[str]]]:
    """Every ``$ backhand …`` block of the pages: page, command, lines shown."""
    found = []
    for page in PAGES:
        for block in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
            command, *shown = block.rstrip("\n").split("\n")
            found.append((page, command.removeprefix("$ backhand "), shown))
    return found


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether the printed lines are the ones shown; a line ``…`` stands for any number of them."""
    if not shown:
        return not printed
    if shown[0].strip() == "…":
        return any(matches(shown[1:], printed[i:]) for i in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and matches(shown[1:], printed[1:])


@pytest.mark.parametrize(
    ("page", "command", "shown"), transcripts(), ids=[f"{p}-{c}" for p, c, _ in transcripts()]
)
def test_transcript_is_what_is_printed(page: str, command: str, shown: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backhand", *shlex.split(command)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": "", "COLUMNS": "100", "NO_COLOR": "1", "HOME": str(ROOT)},
        timeout=120,
    )
    assert done.stderr == ""
    printed = [line.rstrip() for line in done.stdout.rstrip("\n").split("\n")]
    assert matches([line.rstrip() for line in shown], printed), done.stdout


def test_the_readme_has_transcripts() -> None:
    assert len(transcripts()) >= 2


def test_a_wrong_transcript_would_be_noticed() -> None:
    assert matches(["a", "…", "d"], ["a", "b", "c", "d"])
    assert not matches(["a", "…", "x"], ["a", "b", "c", "d"])
    assert not matches(["a", "b"], ["a", "b", "c"])


def test_the_article_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/build_article.py", "--check"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, "run .venv/bin/python docs/build_article.py"


def test_the_transcript_of_a_check_is_up_to_date() -> None:
    shown = build_transcript.PAGE.read_text(encoding="utf-8")
    made = build_transcript.page()
    comparable = build_transcript.comparable
    assert comparable(shown) == comparable(made), "run .venv/bin/python -m docs.build_transcript"
    # and it goes where it is meant to: from five mistakes of different kinds to none
    assert "; 5 wrong: dhpreact, dbnbias, dbndiff2, dbndiff, dC;" in shown
    assert "\n26 gradients: 26 exact\n$ echo $?\n0\n" in shown
    assert {hint.level for mend in build_transcript.MENDS for hint in mend.hints} == {1, 2, 3, 4}


def test_only_what_depends_on_the_processor_may_differ() -> None:
    wrong = "da = -b  wrong\n  the sign\n"
    page = f"dh = a * b  close\n  rounding; of 35 elements 23 the same bits\n{wrong}"
    other = f"dh = a * b  exact\n{wrong}"
    counts = "26 gradients: 11 exact, 14 close; 1 wrong: da", "26 gradients: 25 exact; 1 wrong: da"
    comparable = build_transcript.comparable
    assert comparable(page + counts[0]) == comparable(other + counts[1])
    assert comparable(page) != comparable(page.replace("close", "wrong"))
    assert comparable(page) != comparable(page.replace("the sign", "a sign"))
    assert comparable(counts[0]) != comparable(counts[0].replace("1 wrong", "2 wrong"))
