"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .text import clean, silence_stdout

if TYPE_CHECKING:
    from ..checking import Report

COLOURS = {"exact": "green", "close": "yellow", "wrong": "bold red"}


class Terminal(Console):
    """A console that falls silent when its reader goes away, rather than end the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        silence_stdout()


def plain_table(*columns: str) -> Table:
    """A table with quiet lines."""
    from rich import box

    return Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")


def print_report(report: Report, console: Console | None = None) -> None:
    """The verdicts, one gradient a row, and one sentence that sums them up."""
    from ..checking.table import difference_text, summary

    out = console or Terminal()
    table = plain_table("gradient", "shape", "verdict", "max diff", "ulp", "why")
    reasons = any(g.why for g in report.gradients)
    if not reasons:
        table.columns.pop()
    for g in report.gradients:
        shape = "×".join(map(str, g.shape)) or "scalar"
        verdict = f"[{COLOURS[g.verdict]}]{g.verdict}[/]"
        cells = [escape(clean(g.name)), shape, verdict, difference_text(g.result.maxdiff),
                 str(g.result.ulp)]
        table.add_row(*cells, *([escape(clean(g.why))] if reasons else []))
    out.print(table)
    out.print(clean(summary(report)), markup=False, highlight=False)
    for note in report.notes:
        out.print(clean(note), markup=False, highlight=False)


def rows_to_text(rows: Iterable[tuple[str, ...]]) -> str:
    """Aligned columns without colours, for pipes."""
    listed = list(rows)
    widths = [max(len(r[i]) for r in listed) for i in range(len(listed[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in listed
    )
