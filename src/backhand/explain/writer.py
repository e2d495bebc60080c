"""What every renderer of explanations does alike; a renderer says how it writes each piece."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, assert_never

from .blocks import (
    Block,
    Code,
    Equation,
    Formula,
    LawLine,
    Matrix,
    Paragraph,
    Proof,
    ProofLine,
    Readers,
    Section,
    Span,
    Spans,
    Strip,
    Table,
    code,
    math,
    para,
    spans,
)
from .notation import parse, to_tex


class Writer(ABC):
    """Writes blocks as text of one format; ``level`` is how deep the headings around them are."""

    between: ClassVar[str] = "\n\n"  # two blocks
    within: ClassVar[str] = "\n\n"  # two parts of a proof

    def __init__(self, level: int) -> None:
        self.level = level

    def blocks(self, blocks: Iterable[Block]) -> str:
        return self.between.join(map(self.block, blocks))

    def block(self, block: Block) -> str:
        match block:
            case Paragraph():
                return self.paragraph(block)
            case Formula():
                return self.formula(block)
            case Code():
                return self.code(block)
            case Table():
                return self.table(block)
            case Equation():
                return self.equation(block)
            case Strip():
                return self.strip(block)
            case Readers():
                return self.table(readers_table(block))
            case Proof():
                return self.proof(block)
            case Section():
                return self.section(block)
        assert_never(block)

    def section(self, block: Section) -> str:
        return self.between.join([self.heading(block.title), self.deeper().blocks(block.blocks)])

    def deeper(self) -> Writer:
        """The writer of what stands in a section."""
        inner = copy.copy(self)
        inner.level += 1
        return inner

    def proof(self, block: Proof) -> str:
        parts = [self.paragraph(para("Given ", math(block.given), "."))]
        if block.lemmas:
            parts.append(self.paragraph(para("The forward pass guarantees:")))
            parts.append(self.lemmas(block.lemmas))
        if block.assumptions:
            where = listed(map(math, block.assumptions))
            parts.append(self.paragraph(para("In real arithmetic, where ", *where, ":")))
        parts.append(self.derivation(block.lines))
        parts.append(self.paragraph(para(block.closing)))
        parts.append(self.code(Code(block.statement)))
        if block.by:
            parts.append(self.paragraph(para(f"by {block.by}.")))
        if block.laws:
            parts.append(self.paragraph(para("The laws of algebra that are named:")))
            parts.append(self.laws(block.laws))
        return self.within.join(parts)

    def laws(self, laws: Sequence[LawLine]) -> str:
        """Laws with what they say and where they hold."""
        rows = tuple(
            (spans(law.name), spans(math(law.tex)), spans(law.where or "always")) for law in laws
        )
        return self.table(Table((spans("law"), spans("says"), spans("holds where")), rows))

    def table(self, block: Table) -> str:
        head = [self.cell(cell) for cell in block.head]
        return self.grid(head, [[self.cell(cell) for cell in row] for row in block.rows])

    def cell(self, cell: Spans) -> str:
        return self.spans(cell)

    def spans(self, spans: Spans) -> str:
        return "".join(map(self.span, spans))

    def span(self, span: Span) -> str:
        match span.kind:
            case "math":
                return self.math(span.text)
            case "code":
                return self.inline(span.text)
            case "gradient":
                return self.gradient(span.text)
            case "strong":
                return self.strong(span.text)
            case "text":
                return self.escaped(span.text)
        assert_never(span.kind)

    def gradient(self, name: str) -> str:
        return self.inline(name)

    def paragraph(self, block: Paragraph) -> str:
        return self.spans(block.spans)

    @abstractmethod
    def escaped(self, text: str) -> str:
        """Running text."""

    @abstractmethod
    def strong(self, text: str) -> str: ...

    @abstractmethod
    def inline(self, text: str) -> str:
        """Code in running text."""

    @abstractmethod
    def math(self, tex: str) -> str:
        """A formula in running text."""

    @abstractmethod
    def heading(self, title: Spans) -> str: ...

    @abstractmethod
    def formula(self, block: Formula) -> str: ...

    @abstractmethod
    def code(self, block: Code) -> str: ...

    @abstractmethod
    def grid(self, head: list[str], rows: list[list[str]]) -> str:
        """A table whose cells are written."""

    @abstractmethod
    def equation(self, block: Equation) -> str: ...

    @abstractmethod
    def strip(self, block: Strip) -> str: ...

    @abstractmethod
    def lemmas(self, lemmas: Sequence[str]) -> str:
        """Formulas that are given together."""

    @abstractmethod
    def derivation(self, lines: Sequence[ProofLine]) -> str:
        """Formulas that follow from one another."""


class TexWriter(Writer):
    """What the formats whose formulas are LaTeX have in common."""

    def math(self, tex: str) -> str:
        return f"${proper(tex)}$"

    @abstractmethod
    def display(self, latex: str) -> str:
        """LaTeX on a line of its own."""

    def equation(self, block: Equation) -> str:
        parts = (proper(p) if isinstance(p, str) else _matrix(p) for p in block.parts)
        return self.display(" ".join(parts))

    def strip(self, block: Strip) -> str:
        above, below = (
            [self.inline(ruler.name), *map(self.math, ruler.marks)]
            for ruler in (block.above, block.below)
        )
        return self.grid(above, [["memory", *map(self.math, block.cells)], below])

    def derivation(self, lines: Sequence[ProofLine]) -> str:
        parts: list[str] = []
        for line in lines:
            parts.append(self.display(proper(line.tex)))
            parts += [self.paragraph(said) for said in reasons(line)]
        return self.within.join(parts)


def reasons(line: ProofLine) -> list[Paragraph]:
    """The forward line behind a line of a proof, and the laws that it needs."""
    by = f"by {line.by}" if line.by else ""
    if line.through:
        return [para("through ", code(line.through), f", {by}" if by else "")]
    return [para(by)] if by else []


def proper(tex: str) -> str:
    """A formula of the notation as LaTeX proper."""
    return to_tex(parse(tex))


def _matrix(block: Matrix) -> str:
    rows = r" \\ ".join(" & ".join(map(proper, row)) for row in block.cells)
    return rf"\begin{{bmatrix}} {rows} \end{{bmatrix}}"


def listed(parts: Iterable[Span]) -> Spans:
    """Spans with commas between them."""
    out: list[Span] = []
    for part in parts:
        out += [*spans(", " if out else ""), part]
    return tuple(out)


def readers_table(block: Readers) -> Table:
    """The who-reads-me table."""
    head = (
        spans("cell of ", code(block.operand)),
        spans("read by, in ", code(block.result)),
        spans("so its gradient is"),
    )
    rows = tuple(
        (
            spans(math(row.cell)),
            listed(map(math, row.readers)) or spans("nobody"),
            spans(math(row.total)),
        )
        for row in block.rows
    )
    return Table(head, rows)


__all__ = ["TexWriter", "Writer", "listed", "proper"]
