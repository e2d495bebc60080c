"""Explanations as a LaTeX document, for XeLaTeX or LuaLaTeX (names may be in any script)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .blocks import (
    Block,
    Code,
    Equation,
    Explanation,
    Formula,
    Paragraph,
    Proof,
    Readers,
    Section,
    Spans,
    Strip,
    Table,
)
from .markdown import equation_tex, tex

_DOCUMENT = r"""\documentclass{article}
\usepackage{amsmath, amssymb, fontspec, fvextra}
\title{%s}
\date{}
\begin{document}
\maketitle
%s
\end{document}
"""
_SECTIONS = ("section", "subsection", "subsubsection", "paragraph", "subparagraph")
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def latex(explanations: Iterable[Explanation], title: str) -> str:
    """A whole document."""
    body = "\n".join(_one(e) for e in explanations)
    return _DOCUMENT % (escaped(title), body)


def escaped(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text)


def _one(e: Explanation) -> str:
    shape = e.shape if e.shape == e.sizes else f"{e.shape} = {e.sizes}"
    head = rf"\section{{\texttt{{{escaped(e.name)}}}}}"
    line = rf"The gradient of \texttt{{{escaped(e.of)}}}, {escaped(shape)}."
    return "\n\n".join([head, line, *_Writer(1).blocks(e.blocks)]) + "\n"


class _Writer:
    def __init__(self, level: int) -> None:
        self.level = level

    def blocks(self, blocks: Iterable[Block]) -> list[str]:
        return [_BLOCKS[type(block)](self, block) for block in blocks]

    def spans(self, spans: Spans) -> str:
        out = []
        for span in spans:
            if span.kind == "math":
                out.append(f"${tex(span.text)}$")
            elif span.kind in ("code", "gradient"):
                out.append(rf"\texttt{{{escaped(span.text)}}}")
            elif span.kind == "strong":
                out.append(rf"\textbf{{{escaped(span.text)}}}")
            else:
                out.append(escaped(span.text))
        return "".join(out)

    def paragraph(self, block: Paragraph) -> str:
        return self.spans(block.spans)

    def formula(self, block: Formula) -> str:
        note = rf" \qquad \text{{({escaped(block.note)})}}" if block.note else ""
        return rf"\[ {tex(block.tex)}{note} \]"

    def code(self, block: Code) -> str:
        text = block.text.replace(r"\end{Verbatim}", r"\end {Verbatim}")
        return f"\\begin{{Verbatim}}[breaklines]\n{text}\n\\end{{Verbatim}}"

    def table(self, block: Table) -> str:
        return self._table(
            [self.spans(cell) for cell in block.head],
            [[self.spans(cell) for cell in row] for row in block.rows],
        )

    @staticmethod
    def _table(head: list[str], rows: list[list[str]]) -> str:
        lines = [" & ".join(head) + r" \\ \hline", *(" & ".join(row) + r" \\" for row in rows)]
        body = "\n".join(lines)
        return rf"\begin{{tabular}}{{{'l' * len(head)}}}" + f"\n{body}\n" + r"\end{tabular}"

    def equation(self, block: Equation) -> str:
        return rf"\[ {equation_tex(block)} \]"

    def strip(self, block: Strip) -> str:
        rows = [
            [
                rf"\texttt{{{escaped(block.above.name)}}}",
                *(f"${tex(m)}$" for m in block.above.marks),
            ],
            ["memory", *(f"${tex(c)}$" for c in block.cells)],
            [
                rf"\texttt{{{escaped(block.below.name)}}}",
                *(f"${tex(m)}$" for m in block.below.marks),
            ],
        ]
        return self._table(rows[0], rows[1:])

    def readers(self, block: Readers) -> str:
        head = [
            rf"cell of \texttt{{{escaped(block.operand)}}}",
            rf"read by, in \texttt{{{escaped(block.result)}}}",
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
            items = "\n".join(rf"\item ${tex(lemma)}$" for lemma in block.lemmas)
            out.append("The forward pass guarantees:")
            out.append(f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}")
        if block.assumptions:
            where = ", ".join(f"${tex(a)}$" for a in block.assumptions)
            out.append(f"In real arithmetic, where {where}:")
        for line in block.lines:
            out.append(rf"\[ {tex(line.tex)} \]")
            if line.through:
                out.append(rf"through \texttt{{{escaped(line.through)}}}")
        out.append("So, in terms of what is kept:")
        out.append(self.code(Code(block.statement)))
        return "\n\n".join(out)

    def section(self, block: Section) -> str:
        kind = _SECTIONS[min(self.level, len(_SECTIONS) - 1)]
        title = rf"\{kind}{{{self.spans(block.title).strip()}}}"
        return "\n\n".join([title, *_Writer(self.level + 1).blocks(block.blocks)])


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

__all__ = ["escaped", "latex"]
