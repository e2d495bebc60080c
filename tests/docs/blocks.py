"""The fenced blocks of every page of the documentation, by kind.

Each kind of block has a test that holds it against the code; a block of no known kind, or of none,
is a failure, so that nothing on a page goes unread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What becomes of a block: run, run and compared, read as commands, shown as it is, put in by the
# site (from the explanation of a gradient).
KINDS = ("python", "console", "sh", "text", "explain")

# Pages that scripts write; test_made.py and tests/review hold them against what they are made from.
MADE = ("docs/check-causes.md", "docs/check-transcript.md")
# Pages that quote the code instead of using it: their blocks have to stand in it.
QUOTING = ("docs/adding-a-rule.md",)
# Blocks of text that are neither output of ours nor code, by how they begin, and what they are.
TEXTS = {
    "docs/adding-a-rule.md": {"asinh(x)": "a row of the op table; held as a quotation"},
    "docs/design.md": {
        "cli   ": "the layers; tests/test_layering.py has them as data",
        "the user's function": "a diagram",
    },
    "docs/onboarding.md": {"src/backhand/": "the map of the folders"},
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its first fence, its kind and what is in it."""

    page: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page that people write, by its path."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [p for p in sorted(str(f.relative_to(ROOT)) for f in found) if p not in MADE]


FENCE = re.compile(r"^```(.*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)


def blocks(*wanted: str) -> list[Block]:
    """The blocks of these pages, or of all, in order."""
    out = []
    for page in wanted or pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        for m in FENCE.finditer(text):
            out.append(Block(page, text.count("\n", 0, m.start()) + 1, m[1], m[2]))
    return out


__all__ = ["KINDS", "QUOTING", "ROOT", "TEXTS", "Block", "blocks", "pages"]
