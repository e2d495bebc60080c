"""The exact/close/wrong table as plain text; the command line renders the same rows with colour."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .verify import Report


def difference_text(value: float) -> str:
    """A maximum difference, short: ``0``, ``1.2e-09``, ``-`` where there is none."""
    if math.isnan(value):
        return "-"
    return "0" if value == 0 else f"{value:.1e}"


def summary(report: Report) -> str:
    """One sentence that says how it went."""
    total = len(report.gradients)
    exact, close, wrong = (report.count(v) for v in ("exact", "close", "wrong"))
    parts = [f"{exact} exact"]
    if close:
        parts.append(f"{close} close")
    if wrong:
        parts.append(f"{wrong} WRONG")
    return f"{total} gradients: {', '.join(parts)}"


def report_text(report: Report) -> str:
    """The table with fixed-width columns."""
    rows = [("gradient", "shape", "verdict", "max diff", "ulp", "")]
    for g in report.gradients:
        shape = "×".join(map(str, g.shape)) or "scalar"
        row = (
            g.name,
            shape,
            g.verdict,
            difference_text(g.result.maxdiff),
            str(g.result.ulp),
            g.why,
        )
        rows.append(row)
    widths = [max(len(r[i]) for r in rows) for i in range(5)]
    lines = [
        "  ".join([*(cell.ljust(w) for cell, w in zip(r, widths, strict=False)), r[5]]).rstrip()
        for r in rows
    ]
    return "\n".join([*lines, summary(report), *report.notes])
