"""What an explanation is made of: a frozen tree of blocks that knows no network and no renderer.

A formula is TeX in the small language of ``notation``; a piece of running text is a ``Span``. Which
way a block is shown is for the renderers alone, and every one of them shows all of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

SpanKind: TypeAlias = Literal["text", "strong", "code", "math", "gradient"]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of running text; a ``gradient`` is the name of one that has its own explanation."""

    text: str
    kind: SpanKind = "text"


Role: TypeAlias = Literal["value", "gradient"]
Spans: TypeAlias = tuple[Span, ...]


def strong(text: str) -> Span:
    return Span(text, "strong")


def code(text: str) -> Span:
    return Span(text, "code")


def math(tex: str) -> Span:
    return Span(tex, "math")


def gradient(name: str) -> Span:
    return Span(name, "gradient")


def spans(*parts: str | Span) -> Spans:
    """Text and spans, in order."""
    return tuple(Span(part) if isinstance(part, str) else part for part in parts)


@dataclass(frozen=True, slots=True)
class Paragraph:
    spans: Spans


def para(*parts: str | Span) -> Paragraph:
    return Paragraph(spans(*parts))


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula on a line of its own; ``note`` says in words what it states."""

    tex: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """Source. ``role`` says whose: a ``forward`` line of the author's, a ``backward`` line."""

    text: str
    role: Literal["forward", "backward", "example"] = "backward"


@dataclass(frozen=True, slots=True)
class Table:
    head: tuple[Spans, ...]
    rows: tuple[tuple[Spans, ...], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A little matrix: one formula a cell. ``role`` colours it."""

    cells: tuple[tuple[str, ...], ...]
    role: Role = "value"


@dataclass(frozen=True, slots=True)
class Equation:
    """Little matrices beside one another, with signs (formulas) between them."""

    parts: tuple[Matrix | str, ...]


@dataclass(frozen=True, slots=True)
class Ruler:
    """What the cells of a strip of memory are called in one of the shapes."""

    name: str
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """Memory in its order, a formula a cell, with one ruler above it and one below."""

    cells: tuple[str, ...]
    above: Ruler
    below: Ruler


@dataclass(frozen=True, slots=True)
class Reader:
    """One cell of an operand, the cells of the result that read it, and what its gradient is."""

    cell: str
    readers: tuple[str, ...]
    total: str


@dataclass(frozen=True, slots=True)
class Readers:
    """The who-reads-me table: ask who read a cell, and add up their gradients."""

    operand: str
    result: str
    rows: tuple[Reader, ...]


@dataclass(frozen=True, slots=True)
class ProofLine:
    """What one gradient comes to, the forward line that it goes back through, and by what laws."""

    tex: str
    through: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class LawLine:
    """A law of algebra: its name, what it says, and what has to hold for it, in words."""

    name: str
    tex: str
    where: str


@dataclass(frozen=True, slots=True)
class Proof:
    """How a closed form follows: what is given, what the forward pass guarantees, the lines.

    ``closing`` leads from the last line to the statement, ``by`` says by what laws; ``laws`` has
    all that are named.
    """

    given: str
    lemmas: tuple[str, ...]
    assumptions: tuple[str, ...]
    lines: tuple[ProofLine, ...]
    closing: str
    statement: str
    by: str
    laws: tuple[LawLine, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a title."""

    title: Spans
    blocks: tuple[Block, ...]


Block: TypeAlias = (
    "Paragraph | Formula | Code | Table | Equation | Strip | Readers | Proof | Section"
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One gradient explained: its name, whose gradient it is, its shape, and the blocks.

    ``shape`` is in the author's sizes, ``sizes`` the example's: ``[n, 27]`` and ``[32, 27]``.
    """

    name: str
    of: str
    shape: str
    sizes: str
    blocks: tuple[Block, ...]

    @property
    def shapes(self) -> str:
        """Both, where they differ: ``[n, 27] = [32, 27]``."""
        return self.shape if self.shape == self.sizes else f"{self.shape} = {self.sizes}"
