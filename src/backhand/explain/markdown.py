"""Explanations as Markdown, their formulas in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .blocks import Code, Explanation, Formula, Spans
from .writer import TexWriter, proper


def markdown(explanation: Explanation, level: int = 2) -> str:
    """One explanation as Markdown; formulas between dollar signs. ``level`` is its heading's."""
    e, writer = explanation, _Writer(level)
    head = f"{'#' * level} {writer.inline(e.name)}"
    line = f"The gradient of {writer.inline(e.of)}, {writer.escaped(e.shapes)}."
    return f"{head}\n\n{line}\n\n{writer.blocks(e.blocks)}\n"


def _fence(text: str, least: int) -> str:
    """Backticks around code; those inside need longer ones around them."""
    return "`" * max(least, max(map(len, re.findall("`+", text)), default=0) + 1)


class _Writer(TexWriter):
    def escaped(self, text: str) -> str:
        return re.sub(r"([\\`*_{}\[\]<>#|$~])", r"\\\1", text)

    def strong(self, text: str) -> str:
        return f"**{self.escaped(text).strip()}** "

    def inline(self, text: str) -> str:
        text = text.replace("\n", " ")
        fence = _fence(text, 1)
        pad = " " if text.startswith("`") or text.endswith("`") else ""
        return f"{fence}{pad}{text}{pad}{fence}"

    def cell(self, cell: Spans) -> str:
        # a bar ends the cell, whatever stands around it
        return re.sub(r"(?<!\\)\|", r"\\|", self.spans(cell))

    def heading(self, title: Spans) -> str:
        return f"{'#' * min(self.level + 1, 6)} {self.spans(title).strip()}"

    def display(self, latex: str) -> str:
        return f"$$\n{latex}\n$$"

    def formula(self, block: Formula) -> str:
        note = f"\n\n({self.escaped(block.note)})" if block.note else ""
        return f"{self.display(proper(block.tex))}{note}"

    def code(self, block: Code) -> str:
        fence = _fence(block.text, 3)
        return f"{fence}python\n{block.text}\n{fence}"

    def grid(self, head: list[str], rows: list[list[str]]) -> str:
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def lemmas(self, lemmas: Sequence[str]) -> str:
        return "\n".join(f"- {self.math(lemma)}" for lemma in lemmas)


__all__ = ["markdown"]
