"""Whether a difference is rounding: both spellings run again in double precision.

A closed form adds in another order than autograd does. Where a gradient is zero but for rounding
(a bias before a batch norm), the two have no digit in common and are right all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from .compare import CLOSE, WRONG
from .verify import Report, Verdict

AGREES = 1e-9


def excused(report: Report, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Report:
    """The report with ``close`` for what agrees in double precision.

    ``ours`` and ``theirs`` have each gradient in double precision, by the forward value it is of.
    """
    sizes = [float(t.abs().max()) for t in theirs.values() if t.numel()]
    scale = max((s for s in sizes if s < float("inf")), default=0.0)
    rows = tuple(_excused(row, ours, theirs, scale) for row in report.gradients)
    return replace(report, gradients=rows)


def _excused(
    row: Verdict, ours: Mapping[str, Any], theirs: Mapping[str, Any], scale: float
) -> Verdict:
    a, b = ours.get(row.of), theirs.get(row.of)
    if row.verdict != WRONG or a is None or b is None or a.shape != b.shape or row.result.why:
        return row
    off = float((a - b).abs().max()) if a.numel() else 0.0
    if not off <= AGREES * max(float(b.abs().max()), 1e-3 * scale):
        return row
    why = f"rounding alone: in double precision the difference is {off:.1e}"
    return replace(row, result=replace(row.result, verdict=CLOSE), why=why)


def doubled(values: Sequence[Any]) -> list[Any]:
    """Inputs in double precision, everything else as it is."""
    return [
        v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for v in values
    ]
