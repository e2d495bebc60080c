"""Explanations for the terminal: Unicode mathematics, readable at 80 columns."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

from .blocks import (
    Code,
    Equation,
    Explanation,
    Formula,
    LawLine,
    Matrix,
    Paragraph,
    ProofLine,
    Ruler,
    Section,
    Spans,
    Strip,
)
from .plain import plain
from .writer import Writer, reasons

WIDTH = 80
INDENT = " " * 4


def text(explanation: Explanation, width: int = WIDTH) -> str:
    """One explanation as plain text."""
    e = explanation
    head = f"{e.name}   the gradient of {e.of}, {e.shapes}"
    made = f"{head}\n{'═' * min(width, columns(head))}\n\n{_Writer(width).blocks(e.blocks)}\n"
    return "\n".join(line.rstrip() for line in made.split("\n"))


def columns(line: str) -> int:
    """How wide a line is in a terminal: combining marks take no room, wide letters two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in line
    )


def _pad(line: str, width: int) -> str:
    return line + " " * (width - columns(line))


class _Writer(Writer):
    within = "\n"

    def __init__(self, width: int) -> None:
        super().__init__(0)
        self.width = width

    def escaped(self, text: str) -> str:
        return text

    def strong(self, text: str) -> str:
        return text

    def inline(self, text: str) -> str:
        return text

    def math(self, tex: str) -> str:
        return plain(tex)

    def section(self, block: Section) -> str:
        return f"{self.heading(block.title)}\n{self.deeper().blocks(block.blocks)}"

    def heading(self, title: Spans) -> str:
        lines = self.wrapped(self.spans(title))
        rule = "─" if self.level == 0 else "·"
        return "\n".join([*lines, rule * max(map(columns, lines))])

    def paragraph(self, block: Paragraph) -> str:
        return "\n".join(self.wrapped(self.spans(block.spans)))

    def wrapped(self, line: str, indent: str = "", more: str | None = None) -> list[str]:
        return textwrap.wrap(
            line,
            self.width,
            initial_indent=indent,
            subsequent_indent=indent if more is None else more,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]

    def displayed(self, tex: str) -> list[str]:
        return self.wrapped(plain(tex), INDENT, INDENT * 2)

    def formula(self, block: Formula) -> str:
        lines = self.displayed(block.tex)
        if block.note:
            short = f"{lines[-1]}   ({block.note})"
            if columns(short) <= self.width:
                lines[-1] = short
            else:
                lines += self.wrapped(f"({block.note})", INDENT)
        return "\n".join(lines)

    def code(self, block: Code) -> str:
        return "\n".join(INDENT + line for line in block.text.split("\n"))

    def lemmas(self, lemmas: Sequence[str]) -> str:
        return "\n".join(line for lemma in lemmas for line in self.displayed(lemma))

    def derivation(self, lines: Sequence[ProofLine]) -> str:
        out: list[str] = []
        for line in lines:
            out += self.displayed(line.tex)
            for said in reasons(line):
                out += self.wrapped(self.spans(said.spans), INDENT * 2, INDENT * 3)
        return "\n".join(out)

    def laws(self, laws: Sequence[LawLine]) -> str:
        out: list[str] = []
        for law in laws:
            where = f"   ({law.where})" if law.where else ""
            out += self.wrapped(f"{law.name}: {plain(law.tex)}{where}", INDENT, INDENT * 2)
        return "\n".join(out)

    def grid(self, head: list[str], rows: list[list[str]]) -> str:
        """Aligned columns; where they do not fit, a row's cells below one another."""
        widths = [max(map(columns, column)) for column in zip(head, *rows, strict=True)]
        if sum(widths) + 3 * (len(widths) - 1) + 2 <= self.width:
            lines = [head, ["─" * w for w in widths], *rows]
            return "\n".join("  " + "   ".join(map(_pad, line, widths)) for line in lines)
        out: list[str] = []
        label = max(map(columns, head))
        for row in rows:
            if out:
                out.append("")
            for name, cell in zip(head, row, strict=True):
                start = "  " + _pad(name, label) + "   "
                out += self.wrapped(cell, start, " " * (label + 5))
        return "\n".join(out)

    def equation(self, block: Equation) -> str:
        """Matrices side by side, signs at half height; below one another where that is too wide."""
        pieces = [self.matrix(p) if isinstance(p, Matrix) else [plain(p)] for p in block.parts]
        out: list[str] = []
        line: list[list[str]] = []
        for piece in pieces:
            if line and self._wide([*line, piece]) > self.width:
                out += [*self._beside(line), ""]
                line = []
            line.append(piece)
        out += self._beside(line)
        return "\n".join(out if self._wide(line) <= self.width else self._cells(block))

    @staticmethod
    def _wide(pieces: list[list[str]]) -> int:
        return len(INDENT) + sum(max(map(columns, p)) for p in pieces) + 2 * (len(pieces) - 1)

    def _beside(self, pieces: list[list[str]]) -> list[str]:
        height = max(len(p) for p in pieces)
        tall = []
        for piece in pieces:
            above = (height - len(piece)) // 2
            width = max(map(columns, piece))
            lines = [""] * above + piece + [""] * (height - above - len(piece))
            tall.append([_pad(line, width) for line in lines])
        return [INDENT + "  ".join(row).rstrip() for row in zip(*tall, strict=True)]

    def matrix(self, block: Matrix) -> list[str]:
        cells = [[plain(cell) for cell in row] for row in block.cells]
        widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(_pad(c, w) for c, w in zip(row, widths, strict=True)) for row in cells]
        if len(lines) == 1:
            return [f"[ {lines[0]} ]"]
        last = len(lines) - 1
        left = ["⎡" if k == 0 else "⎣" if k == last else "⎢" for k in range(len(lines))]
        right = ["⎤" if k == 0 else "⎦" if k == last else "⎥" for k in range(len(lines))]
        return [f"{a} {line} {b}" for a, line, b in zip(left, lines, right, strict=True)]

    def _cells(self, block: Equation) -> list[str]:
        """A matrix that is wider than the page: a line for each cell, with its place."""
        out: list[str] = []
        for part in block.parts:
            if not isinstance(part, Matrix):
                out.append(INDENT + plain(part))
                continue
            for i, row in enumerate(part.cells, 1):
                for j, cell in enumerate(row, 1):
                    start = f"{INDENT}[{i}, {j}]  "
                    out += self.wrapped(plain(cell), start, " " * len(start))
        return out

    def strip(self, block: Strip) -> str:
        names = [block.above.name, "memory", block.below.name]
        label = max(map(columns, names))
        cells = [plain(c) for c in block.cells]
        rulers = [
            [plain(m).replace(", ", ",") for m in r.marks] for r in (block.above, block.below)
        ]
        widths = [max(map(columns, c)) for c in zip(cells, *rulers, strict=True)]
        room = max(1, (self.width - label - len(INDENT)) // (max(widths) + 3))
        out: list[str] = []
        for start in range(0, len(cells), room):
            part = slice(start, start + room)
            w = widths[part]
            out += [""] if out else []
            out += [
                self._ruled(block.above, rulers[0][part], w, label),
                " " * (label + 2) + "┌" + "┬".join("─" * (k + 2) for k in w) + "┐",
                _pad("memory", label) + "  │" + "│".join(
                    f" {_pad(c, k)} " for c, k in zip(cells[part], w, strict=True)
                ) + "│",
                " " * (label + 2) + "└" + "┴".join("─" * (k + 2) for k in w) + "┘",
                self._ruled(block.below, rulers[1][part], w, label),
            ]  # fmt: skip
        return "\n".join(out)

    @staticmethod
    def _ruled(ruler: Ruler, marks: list[str], widths: list[int], label: int) -> str:
        shown = " ".join(f" {_pad(m, k)} " for m, k in zip(marks, widths, strict=True))
        return f"{_pad(ruler.name, label)}   {shown}"


__all__ = ["WIDTH", "text"]
