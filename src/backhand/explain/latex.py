"""Explanations as a LaTeX document, for XeLaTeX or LuaLaTeX (names may be in any script)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .blocks import Code, Explanation, Formula, Spans
from .writer import TexWriter, proper

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
    writer = _Writer(1)
    body = "\n".join(writer.whole(e) for e in explanations)
    return _DOCUMENT % (writer.escaped(title), body)


class _Writer(TexWriter):
    def whole(self, e: Explanation) -> str:
        head = rf"\section{{{self.inline(e.name)}}}"
        line = f"The gradient of {self.inline(e.of)}, {self.escaped(e.shapes)}."
        return f"{head}\n\n{line}\n\n{self.blocks(e.blocks)}\n"

    def escaped(self, text: str) -> str:
        return "".join(_SPECIAL.get(c, c) for c in text)

    def strong(self, text: str) -> str:
        return rf"\textbf{{{self.escaped(text)}}}"

    def inline(self, text: str) -> str:
        return rf"\texttt{{{self.escaped(text)}}}"

    def heading(self, title: Spans) -> str:
        kind = _SECTIONS[min(self.level, len(_SECTIONS) - 1)]
        return rf"\{kind}{{{self.spans(title).strip()}}}"

    def display(self, latex: str) -> str:
        return rf"\[ {latex} \]"

    def formula(self, block: Formula) -> str:
        note = rf" \qquad \text{{({self.escaped(block.note)})}}" if block.note else ""
        return self.display(proper(block.tex) + note)

    def code(self, block: Code) -> str:
        text = block.text.replace(r"\end{Verbatim}", r"\end {Verbatim}")
        return f"\\begin{{Verbatim}}[breaklines]\n{text}\n\\end{{Verbatim}}"

    def grid(self, head: list[str], rows: list[list[str]]) -> str:
        lines = [" & ".join(head) + r" \\ \hline", *(" & ".join(row) + r" \\" for row in rows)]
        body = "\n".join(lines)
        return rf"\begin{{tabular}}{{{'l' * len(head)}}}" + f"\n{body}\n" + r"\end{tabular}"

    def lemmas(self, lemmas: Sequence[str]) -> str:
        items = "\n".join(rf"\item {self.math(lemma)}" for lemma in lemmas)
        return f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"


__all__ = ["latex"]
