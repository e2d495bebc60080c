"""Printed passes: the text that people read, and the functions that run exactly that text."""

from __future__ import annotations

import linecache
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from ..errors import UnsupportedError
from ..program.ir import Program, Step
from ..program.sizes import Dim, Size, Symbol, size_text
from .backend import Backend
from .layout import WIDTH, broken
from .python import Line, Printer, printed_name
from .torch_spelling import TORCH

_serial = count()


@dataclass(frozen=True)
class Block:
    """What is printed under one forward statement: the statement, and the lines below it."""

    source: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Listing:
    """A backward pass as source; ``str`` is the text.

    Attributes:
        source: The text, with the forward lines as comments.
        lines: Its statements in order, each with its ``text`` and its ``targets``.
        program: The backward program that was printed.
        preamble: Statements that come first: sizes that have names.
        start: The gradient of the loss itself, which comes next.
        blocks: The lines by forward statement.
    """

    source: str
    lines: tuple[Line, ...]
    program: Program
    preamble: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()

    def __str__(self) -> str:
        return self.source


def size_names(symbols: Sequence[Symbol]) -> dict[str, str]:
    """How each size is spelled in code: by the author's name, or by where it is read."""
    return {s.name: s.name if s.named else s.accessor for s in symbols}


def preamble(symbols: Sequence[Symbol], used: set[str]) -> tuple[str, ...]:
    """Statements that define the author's size names from the inputs."""
    return tuple(
        f"{s.name} = {s.accessor}"
        for s in symbols
        if s.named and s.name in used and s.axis is not None
    )


def size_texts(shape: Sequence[Dim], symbols: Sequence[Symbol]) -> list[str]:
    """The sizes of a shape for people: named ones by name, the others by the example's value."""
    shown = {s.name: s.name if s.named else str(s.hint) for s in symbols}
    named = {s.name for s in symbols if s.named}
    hints = {s.name: s.hint for s in symbols}
    parts = []
    for d in shape:
        if isinstance(d, int):
            parts.append(str(d))
        elif d.names() & named:
            parts.append(size_text(d.expr, shown)[0])
        else:
            parts.append(str(d.evaluate(hints)))
    return parts


def shape_text(shape: Sequence[Dim], symbols: Sequence[Symbol]) -> str:
    """A shape for a comment: named sizes by name, the others by the example's value."""
    return f"[{', '.join(size_texts(shape, symbols))}]"


def print_backward(
    program: Program,
    symbols: Sequence[Symbol],
    start: Sequence[str] = (),
    shapes: bool = True,
    forward: Program | None = None,
    width: int = WIDTH,
    backend: Backend = TORCH,
) -> Listing:
    """A backward program as people read it: one block per step, the forward line above it.

    With ``forward``, the shapes of its named values may be read; lines are broken at ``width``.
    """
    values = [] if forward is None else list(forward.values())
    printer = Printer(program, size_names(symbols), forward=values, backend=backend)
    groups: list[list[Line]] = []
    before: Step | None = None
    for step in program.steps:
        made = _step_lines(printer, step)
        if not made:
            continue
        if before is not None and one_statement(before, step):
            groups[-1] += made
        else:
            groups.append(made)
        before = step

    lines = tuple(line for made in groups for line in made)
    head = preamble(symbols, names_in(line.text for line in lines))
    parts = ["\n".join([*head, *start])] if head or start else []
    blocks: list[Block] = []
    for made in groups:
        first = made[0].step
        blocks.append(Block(first.source if first else "", tuple(made)))
        rows = [f"# {blocks[-1].source}"] if blocks[-1].source else []
        for line in made:
            rows += broken(line.text, width, shape_comment(line, symbols) if shapes else "")
        parts.append("\n".join(rows))
    return Listing("\n\n".join(parts) + "\n", lines, program, head, tuple(start), tuple(blocks))


def _step_lines(printer: Printer, step: Step) -> list[Line]:
    """The statements of a step; what cannot be said is refused with the author's line."""
    try:
        return printer.step_lines(step)
    except UnsupportedError as error:
        raise UnsupportedError(error.message, step.where, error.hint) from None


def one_statement(before: Step, step: Step) -> bool:
    """Whether two neighbouring steps are parts of one statement: ``a, b = f(x), g(x)``."""
    if not step.source or before.where != step.where:
        return False
    targets = {name.strip() for name in step.source.partition("=")[0].split(",")}
    return len(targets) > 1 and {before.name, step.name} <= targets


def shape_comment(line: Line, symbols: Sequence[Symbol]) -> str:
    """The shape of what a line assigns, as the comment behind it."""
    if not line.assigns:
        return ""
    shape = line.assigns[-1].shape
    return f"  # {shape_text(shape, symbols)}" if shape else "  # scalar"


def names_in(texts: Iterable[str]) -> set[str]:
    """Every identifier that the source mentions, attributes aside."""
    return {name for text in texts for name in re.findall(r"(?<![.\w])[^\W\d]\w*", text)}


def read_before(statements: Iterable[str]) -> set[str]:
    """The names that statements read before they assign them: what must be given to them."""
    made: set[str] = set()
    read: set[str] = set()
    for text in statements:
        targets, equals, value = text.partition(" = ")
        read |= names_in([value if equals else text]) - made
        made |= names_in([targets]) if equals else set()
    return read


def print_forward(
    program: Program, symbols: Sequence[Symbol]
) -> tuple[list[Line], tuple[str, ...]]:
    """The forward pass's statements, and the size definitions they need."""
    printer = Printer(program, size_names(symbols))
    lines = printer.lines()
    return lines, preamble(symbols, names_in(line.text for line in lines))


def with_deletions(lines: Sequence[Line], keep: set[str], doomed: set[str]) -> list[str]:
    """The statements, and after each one ``del`` for what nobody reads any more.

    ``doomed``: names that may be deleted besides those the lines assign; ``keep``: never deleted.
    """
    last: dict[str, int] = {}
    for i, line in enumerate(lines):
        for name in (*line.reads, *line.targets):
            last[name] = i
    can_go = doomed | {t for line in lines for t in line.targets}
    ends: dict[int, list[str]] = {}
    for name, i in last.items():
        if name in can_go and name not in keep:
            ends.setdefault(i, []).append(name)
    out: list[str] = []
    for i, line in enumerate(lines):
        out.append(line.text)
        if i in ends:
            out.append(f"del {', '.join(sorted(ends[i]))}")
    return out


def compile_function(
    name: str, parameters: Sequence[str], body: Sequence[str]
) -> Callable[..., Any]:
    """Compile printed statements into a function; tracebacks show the printed lines."""
    import torch

    text = f"def {name}({', '.join(parameters)}):\n"
    text += "".join(f"    {line}\n" for line in body) or "    pass\n"
    filename = f"<backhand {name} {next(_serial)}>"
    namespace: dict[str, Any] = {"torch": torch, "math": math}
    exec(compile(text, filename, "exec"), namespace)
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    function: Callable[..., Any] = namespace[name]
    return function


__all__ = [
    "Block",
    "Listing",
    "Size",
    "compile_function",
    "one_statement",
    "preamble",
    "print_backward",
    "print_forward",
    "printed_name",
    "shape_comment",
    "shape_text",
    "size_names",
    "size_texts",
    "with_deletions",
]
