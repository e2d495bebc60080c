"""Every formula and text of an explanation, and what a formula's MathML has to be."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache

from latex2mathml.converter import convert

from backhand.explain.blocks import (
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
from backhand.explain.mathml import mathml
from backhand.explain.notation import parse, to_tex

# How many children an element of MathML has: exactly that many; None for any number.
CHILDREN = {
    "math": 1, "mrow": None, "mfrac": 2, "msqrt": None, "msub": 2, "msup": 2, "msubsup": 3,
    "munder": 2, "mover": 2, "munderover": 3, "mi": 0, "mn": 0, "mo": 0, "mtext": 0, "mspace": 0,
}  # fmt: skip
TOKENS = ("mi", "mn", "mo", "mtext")


def blocks_in(explanation: Explanation) -> Iterator[Block]:
    def inside(blocks: tuple[Block, ...]) -> Iterator[Block]:
        for block in blocks:
            yield block
            if isinstance(block, Section):
                yield from inside(block.blocks)

    yield from inside(explanation.blocks)


def section_titles(explanation: Explanation) -> Iterator[str]:
    for block in blocks_in(explanation):
        if isinstance(block, Section):
            yield block.title[0].text


def formulas(explanation: Explanation) -> Iterator[str]:
    for block in blocks_in(explanation):
        yield from _of(block)


def _of(block: Block) -> Iterator[str]:
    if isinstance(block, Formula):
        yield block.tex
    elif isinstance(block, Equation):
        for part in block.parts:
            if isinstance(part, str):
                yield part
            else:
                yield from (cell for row in part.cells for cell in row)
    elif isinstance(block, Strip):
        yield from (*block.cells, *block.above.marks, *block.below.marks)
    elif isinstance(block, Readers):
        for row in block.rows:
            yield from (row.cell, *row.readers, row.total)
    elif isinstance(block, Proof):
        yield from (block.given, *block.lemmas, *block.assumptions)
        yield from (line.tex for line in block.lines)
    elif not isinstance(block, Code):
        yield from _math(_spans(block))


def _spans(block: Paragraph | Table | Section) -> Iterator[Spans]:
    if isinstance(block, Table):
        yield from block.head
        yield from (cell for row in block.rows for cell in row)
    else:
        yield block.spans if isinstance(block, Paragraph) else block.title


def _math(every: Iterator[Spans]) -> Iterator[str]:
    yield from (span.text for spans in every for span in spans if span.kind == "math")


@cache
def check_formula(tex: str) -> None:
    """It is LaTeX for another's parser, and MathML with the right structure."""
    latex = to_tex(parse(tex))
    convert(latex)
    assert to_tex(parse(latex)) == latex, f"{tex} is another formula when read again"
    check_mathml(mathml(tex))


def check_mathml(text: str) -> None:
    root = ET.fromstring(text)
    assert root.tag == "math"
    for element in root.iter():
        assert element.tag in CHILDREN, f"{element.tag} in {text}"
        count = CHILDREN[element.tag]
        assert count is None or len(element) == count, f"<{element.tag}> in {text}"
        if element.tag in TOKENS:
            assert element.text, f"an empty <{element.tag}> in {text}"
        else:
            assert not (element.text or "").strip(), f"text in <{element.tag}> in {text}"
        assert not (element.tail or "").strip(), f"text after <{element.tag}> in {text}"
