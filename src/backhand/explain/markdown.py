"""Explanations as Markdown, their formulas in LaTeX."""

from __future__ import annotations

import re
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
    Spans,
    Strip,
    Table,
)
from .notation import parse, to_tex


def markdown(explanation: Explanation, level: int = 2) -> str:
    """One explanation as Markdown; formulas between dollar signs. ``level`` is its heading's."""
    e = explanation
    shape = e.shape if e.shape == e.sizes else f"{e.shape} = {e.sizes}"
    head = f"{'#' * level} {_code(e.name)}\n\nThe gradient of {_code(e.of)}, {_escaped(shape)}."
    return "\n\n".join([head, *_Writer(level).blocks(e.blocks)]) + "\n"


def tex(formula: str) -> str:
    """A formula of the notation as LaTeX proper."""
    return to_tex(parse(formula))


def _code(text: str) -> str:
    """Inline code; backticks inside need a longer fence around it."""
    text = text.replace("\n", " ")
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|$~])", r"\\\1", text)


def matrix_tex(block: Matrix) -> str:
    rows = r" \\ ".join(" & ".join(map(tex, row)) for row in block.cells)
    return rf"\begin{{bmatrix}} {rows} \end{{bmatrix}}"


def equation_tex(block: Equation) -> str:
    return " ".join(tex(p) if isinstance(p, str) else matrix_tex(p) for p in block.parts)


class _Writer:
    def __init__(self, level: int) -> None:
        self.level = level

    def blocks(self, blocks: Iterable[Block]) -> list[str]:
        return [_BLOCKS[type(block)](self, block) for block in blocks]

    def spans(self, spans: Spans, cell: bool = False) -> str:
        out = []
        for span in spans:
            if span.kind == "math":
                found = f"${tex(span.text)}$"
            elif span.kind in ("code", "gradient"):
                found = _code(span.text)
            else:
                found = _escaped(span.text)
                found = f"**{found.strip()}** " if span.kind == "strong" else found
            out.append(found)
        text = "".join(out)
        # in a table a bar ends the cell, whatever stands around it
        return re.sub(r"(?<!\\)\|", r"\\|", text) if cell else text

    def paragraph(self, block: Paragraph) -> str:
        return self.spans(block.spans)

    def formula(self, block: Formula) -> str:
        note = f"\n\n({_escaped(block.note)})" if block.note else ""
        return f"$$\n{tex(block.tex)}\n$${note}"

    def code(self, block: Code) -> str:
        fence = "`" * max(3, max(map(len, re.findall("`+", block.text)), default=0) + 1)
        return f"{fence}python\n{block.text}\n{fence}"

    def table(self, block: Table) -> str:
        return self._table(
            [self.spans(cell, True) for cell in block.head],
            [[self.spans(cell, True) for cell in row] for row in block.rows],
        )

    @staticmethod
    def _table(head: list[str], rows: list[list[str]]) -> str:
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def equation(self, block: Equation) -> str:
        return f"$$\n{equation_tex(block)}\n$$"

    def strip(self, block: Strip) -> str:
        def row(name: str, cells: Iterable[str]) -> list[str]:
            return [name, *(f"${tex(c)}$" for c in cells)]

        def ruler(of: Ruler) -> list[str]:
            return row(_code(of.name), of.marks)

        return self._table(ruler(block.above), [row("memory", block.cells), ruler(block.below)])

    def readers(self, block: Readers) -> str:
        head = [
            f"cell of {_code(block.operand)}",
            f"read by, in {_code(block.result)}",
            "so its gradient is",
        ]
        rows = [
            [
                f"${tex(r.cell)}$",
                ", ".join(f"${tex(who)}$" for who in r.readers) or "nobody",
                f"${tex(r.total)}$",
            ]
            for r in block.rows
        ]
        return self._table(head, rows)

    def proof(self, block: Proof) -> str:
        out = [f"Given ${tex(block.given)}$."]
        if block.lemmas:
            out.append("The forward pass guarantees:")
            out.append("\n".join(f"- ${tex(lemma)}$" for lemma in block.lemmas))
        if block.assumptions:
            where = ", ".join(f"${tex(a)}$" for a in block.assumptions)
            out.append(f"In real arithmetic, where {where}:")
        for line in block.lines:
            out.append(f"$$\n{tex(line.tex)}\n$$")
            if line.through:
                out.append(f"through {_code(line.through)}")
        out.append("So, in terms of what is kept:")
        out.append(self.code(Code(block.statement)))
        return "\n\n".join(out)

    def section(self, block: Section) -> str:
        level = min(self.level + 1, 6)
        title = f"{'#' * level} {self.spans(block.title).strip()}"
        return "\n\n".join([title, *_Writer(level).blocks(block.blocks)])


_BLOCKS: dict[type[Any], Callable[[_Writer, Any], str]] = {
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

__all__ = ["equation_tex", "markdown", "matrix_tex", "tex"]
