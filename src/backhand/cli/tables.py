"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .text import clean, silence_stdout

if TYPE_CHECKING:
    from ..checking import Report

COLOURS = {"exact": "green", "close": "yellow", "wrong": "bold red"}


UNKNOWN_WIDTH = 80
ROOM_FOR_REASONS = 24


class Terminal(Console):
    """A console that falls silent when its reader goes away, rather than end the program."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.width < 1:  # COLUMNS=0 says that nobody knows
            self.width = UNKNOWN_WIDTH

    def on_broken_pipe(self) -> None:
        self.quiet = True
        silence_stdout()


def plain_table(*columns: str) -> Table:
    """A table with quiet lines."""
    from rich import box

    return Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")


def shape_text(shape: Sequence[int], console: Console) -> str:
    """``4×3``, or ``4x3`` where the output's encoding has no such sign."""
    try:
        "×".encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return "x".join(map(str, shape)) or "scalar"
    return "×".join(map(str, shape)) or "scalar"


def print_report(report: Report, console: Console | None = None) -> None:
    """The verdicts, one gradient a row, and one sentence that sums them up.

    In a narrow terminal the reasons stand below the table, and the last columns are left out.
    """
    from ..checking.table import difference_text, summary

    out = console or Terminal()
    titles = ("gradient", "shape", "verdict", "max diff", "ulp")
    rows = [
        (
            clean(g.name),
            shape_text(g.shape, out),
            g.verdict,
            difference_text(g.result.maxdiff),
            str(g.result.ulp),
        )
        for g in report.gradients
    ]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    shown = len(titles)
    while shown > 3 and _width(widths[:shown]) > out.width:
        shown -= 1
    reasons = any(g.why for g in report.gradients)
    beside = reasons and out.width - _width(widths[:shown]) >= ROOM_FOR_REASONS
    table = plain_table(*titles[:shown], *(["why"] if beside else []))
    for column in table.columns:
        column.overflow = "fold"
    for g, row in zip(report.gradients, rows, strict=True):
        cells = [escape(cell) for cell in row[:shown]]
        cells[2] = f"[{COLOURS[g.verdict]}]{g.verdict}[/]"
        table.add_row(*cells, *([escape(clean(g.why))] if beside else []))
    out.print(table)
    if reasons and not beside:
        for g in report.gradients:
            if g.why:
                out.print(clean(f"{g.name}: {g.why}"), markup=False, highlight=False)
    if shown < len(titles):
        left = " and ".join(titles[shown:])
        out.print(f"(a wider terminal shows {left})", markup=False, highlight=False)
    out.print(clean(summary(report)), markup=False, highlight=False)
    for note in report.notes:
        out.print(clean(note), markup=False, highlight=False)


def _width(columns: Sequence[int]) -> int:
    """How wide a plain table with columns of these widths is."""
    return sum(columns) + 3 * (len(columns) - 1) + 2


def rows_to_text(rows: Iterable[tuple[str, ...]]) -> str:
    """Aligned columns without colours, for pipes."""
    listed = list(rows)
    widths = [max(len(r[i]) for r in listed) for i in range(len(listed[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in listed
    )
