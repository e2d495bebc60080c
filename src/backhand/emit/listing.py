"""Printed passes: the text that people read, and the functions that run exactly that text."""

from __future__ import annotations

import linecache
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from ..program.ir import Program, Value
from ..program.sizes import Dim, Size, Symbol, size_text
from .python import Line, Printer, printed_name, sizes_read

_serial = count()


@dataclass(frozen=True)
class Listing:
    """A backward pass as source. ``str`` gives the text; ``lines`` its statements in order."""

    source: str
    lines: tuple[Line, ...]
    program: Program
    preamble: tuple[str, ...] = ()

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


def shape_text(shape: Sequence[Dim], symbols: Sequence[Symbol]) -> str:
    """A shape for a comment: named sizes by name, the others by the example's value."""
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
    return f"[{', '.join(parts)}]"


def print_backward(
    program: Program, symbols: Sequence[Symbol], start: Sequence[str] = (), shapes: bool = True
) -> Listing:
    """A backward program as people read it: one block per step, the forward line above it."""
    printer = Printer(program, size_names(symbols))
    rows: list[tuple[str, Value | None]] = []
    lines: list[Line] = []
    head = preamble(symbols, sizes_read(program))
    for text in (*head, *start):
        rows.append((text, None))
    for step in program.steps:
        made = printer.step_lines(step)
        if not made:
            continue
        if rows:
            rows.append(("", None))
        if step.source:
            rows.append((f"# {step.source}", None))
        for line in made:
            rows.append((line.text, line.assigns[-1] if line.assigns else None))
        lines += made
    texts = [_commented(text, value, symbols, shapes) for text, value in rows]
    return Listing("\n".join(texts) + "\n", tuple(lines), program, head)


def _commented(text: str, value: Value | None, symbols: Sequence[Symbol], shapes: bool) -> str:
    if value is None or not shapes:
        return text
    return f"{text}  # {shape_text(value.shape, symbols)}"


def print_forward(
    program: Program, symbols: Sequence[Symbol]
) -> tuple[list[Line], tuple[str, ...]]:
    """The forward pass's statements, and the size definitions they need."""
    printer = Printer(program, size_names(symbols))
    return printer.lines(), preamble(symbols, sizes_read(program))


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
    "Listing",
    "Size",
    "compile_function",
    "preamble",
    "print_backward",
    "print_forward",
    "printed_name",
    "shape_text",
    "size_names",
    "with_deletions",
]
