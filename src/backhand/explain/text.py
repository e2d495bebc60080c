"""Explanations for the terminal: Unicode mathematics, readable at 80 columns, colour on request."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

from .blocks import (
    Block,
    Code,
    Equation,
    Explanation,
    Formula,
    Matrix,
    Paragraph,
    Proof,
    Readers,
    Ruler,
    Section,
    Span,
    Spans,
    Strip,
    Table,
)
from .plain import plain

WIDTH = 80
_INDENT = 4


def text(explanation: Explanation, width: int = WIDTH) -> str:
    """One explanation as plain text."""
    e = explanation
    shape = e.shape if e.shape == e.sizes else f"{e.shape} = {e.sizes}"
    head = f"{e.name}   the gradient of {e.of}, {shape}"
    lines = [head, "═" * min(width, columns(head)), *_Writer(width).blocks(e.blocks)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def columns(line: str) -> int:
    """How wide a line is in a terminal: combining marks take no room, wide letters two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in line
    )


def _pad(line: str, width: int) -> str:
    return line + " " * (width - columns(line))


class _Writer:
    def __init__(self, width: int, level: int = 0) -> None:
        self.width = width
        self.level = level

    def blocks(self, blocks: Iterable[Block]) -> list[str]:
        out: list[str] = []
        for block in blocks:
            out += ["", *_BLOCKS[type(block)](self, block)]
        return out

    @staticmethod
    def spans(spans: Spans) -> str:
        return "".join(_Writer.span(s) for s in spans)

    @staticmethod
    def span(span: Span) -> str:
        return plain(span.text) if span.kind == "math" else span.text

    def paragraph(self, block: Paragraph) -> list[str]:
        return self.wrapped(self.spans(block.spans))

    def wrapped(self, line: str, indent: str = "", more: str | None = None) -> list[str]:
        return textwrap.wrap(
            line,
            self.width,
            initial_indent=indent,
            subsequent_indent=indent if more is None else more,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]

    def formula(self, block: Formula) -> list[str]:
        lines = self.wrapped(plain(block.tex), " " * _INDENT, " " * (2 * _INDENT))
        if block.note:
            short = f"{lines[-1]}   ({block.note})"
            if columns(short) <= self.width:
                lines[-1] = short
            else:
                lines += self.wrapped(f"({block.note})", " " * _INDENT)
        return lines

    def code(self, block: Code) -> list[str]:
        return [" " * _INDENT + line for line in block.text.split("\n")]

    def table(self, block: Table) -> list[str]:
        rows = [[self.spans(cell) for cell in row] for row in block.rows]
        head = [self.spans(cell) for cell in block.head]
        return self.grid(head, rows)

    def grid(self, head: list[str], rows: list[list[str]]) -> list[str]:
        """Aligned columns; where they do not fit, a row's cells below one another."""
        widths = [max(map(columns, column)) for column in zip(head, *rows, strict=True)]
        if sum(widths) + 3 * (len(widths) - 1) + 2 <= self.width:
            rule = "  " + "   ".join("─" * w for w in widths)
            out = [self._row(head, widths), rule]
            return out + [self._row(row, widths) for row in rows]
        out = []
        label = max(map(columns, head))
        for row in rows:
            if out:
                out.append("")
            for name, cell in zip(head, row, strict=True):
                start = "  " + _pad(name, label) + "   "
                out += self.wrapped(cell, start, " " * (label + 5))
        return out

    @staticmethod
    def _row(cells: list[str], widths: list[int]) -> str:
        return "  " + "   ".join(_pad(c, w) for c, w in zip(cells, widths, strict=True))

    def equation(self, block: Equation) -> list[str]:
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
        if self._wide(line) <= self.width:
            return out
        return self._cells(block)

    @staticmethod
    def _wide(pieces: list[list[str]]) -> int:
        return _INDENT + sum(max(map(columns, p)) for p in pieces) + 2 * (len(pieces) - 1)

    def _beside(self, pieces: list[list[str]]) -> list[str]:
        height = max(len(p) for p in pieces)
        tall = []
        for piece in pieces:
            above = (height - len(piece)) // 2
            width = max(map(columns, piece))
            lines = [""] * above + piece + [""] * (height - above - len(piece))
            tall.append([_pad(line, width) for line in lines])
        return [" " * _INDENT + "  ".join(row).rstrip() for row in zip(*tall, strict=True)]

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
                out.append(" " * _INDENT + plain(part))
                continue
            for i, row in enumerate(part.cells, 1):
                for j, cell in enumerate(row, 1):
                    start = f"{' ' * _INDENT}[{i}, {j}]  "
                    out += self.wrapped(plain(cell), start, " " * len(start))
        return out

    def strip(self, block: Strip) -> list[str]:
        names = [block.above.name, "memory", block.below.name]
        label = max(map(columns, names))
        cells = [plain(c) for c in block.cells]
        rulers = [
            [plain(m).replace(", ", ",") for m in r.marks] for r in (block.above, block.below)
        ]
        widths = [max(map(columns, c)) for c in zip(cells, *rulers, strict=True)]
        room = max(1, (self.width - label - _INDENT) // (max(widths) + 3))
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
        return out

    @staticmethod
    def _ruled(ruler: Ruler, marks: list[str], widths: list[int], label: int) -> str:
        shown = " ".join(f" {_pad(m, k)} " for m, k in zip(marks, widths, strict=True))
        return f"{_pad(ruler.name, label)}   {shown}"

    def readers(self, block: Readers) -> list[str]:
        head = [f"cell of {block.operand}", f"read by, in {block.result}", "so its gradient is"]
        rows = [
            [plain(r.cell), ", ".join(map(plain, r.readers)) or "nobody", plain(r.total)]
            for r in block.rows
        ]
        return self.grid(head, rows)

    def proof(self, block: Proof) -> list[str]:
        out = self.wrapped(f"Given {plain(block.given)}.")
        indent = " " * _INDENT
        if block.lemmas:
            out.append("The forward pass guarantees:")
            for lemma in block.lemmas:
                out += self.wrapped(plain(lemma), indent, indent * 2)
        if block.assumptions:
            where = ", ".join(map(plain, block.assumptions))
            out += self.wrapped(f"In real arithmetic, where {where}:")
        for line in block.lines:
            out += self.wrapped(plain(line.tex), indent, indent * 2)
            if line.through:
                out += self.wrapped(f"through {line.through}", indent * 2, indent * 3)
        return [*out, "So, in terms of what is kept:", *self.code(Code(block.statement))]

    def section(self, block: Section) -> list[str]:
        title = self.wrapped(self.spans(block.title))
        line = "─" if self.level == 0 else "·"
        inner = _Writer(self.width, self.level + 1)
        rule = line * max(map(columns, title))
        return [*title, rule, *inner.blocks(block.blocks)[1:]]


_BLOCKS: dict[type[Any], Callable[[_Writer, Any], list[str]]] = {
    Paragraph: _Writer.paragraph,
    Formula: _Writer.formula,
    Code: _Writer.code,
    Table: _Writer.table,
    Equation: _Writer.equation,
    Strip: _Writer.strip,
    Readers: _Writer.readers,
    Proof: _Writer.proof,
    Section: _Writer.section,
}

__all__ = ["WIDTH", "text"]
