"""Whether a difference is rounding: run again near the inputs, or in double precision.

Where a number is zero but for rounding (the gradient of a bias before a batch norm), two ways of
computing it have no digit in common and are right all the same. What gives it away: inputs that
are moved by a unit in the last place move it by as much as the two differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from .compare import CLOSE, WRONG
from .verify import Report, Verdict

AGREES = 1e-9
# By how many units in the last place inputs are moved. Scaled all alike, what is tied stays tied;
# moved one by one, what cancels shows.
SCALED = (1, -1, 2)
SEEDS = (1, 2)
# A difference counts as noise up to this many times what numbers move by when inputs are nudged ...
MOVES = 4
# ... and never above so many units in the last place of the largest number that there is, or this
# share of a number itself, as a power of that unit: where numbers move further than that, inputs
# are at a kink or a tie, and say nothing of rounding.
UNITS = 64
SHARE = 1 / 3


def nearby(values: Sequence[Any]) -> Iterator[list[Any]]:
    """Inputs next to these, every floating number moved by units in its last place."""
    for units in SCALED:
        yield [_moved(v, units) for v in values]
    for seed in SEEDS:
        dice = torch.Generator().manual_seed(seed)
        yield [_moved(v, dice) for v in values]


def _moved(value: Any, by: int | torch.Generator) -> Any:
    """A tensor moved by so many units, or by one with random signs."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return value
    units = by if isinstance(by, int) else _signs(value, by)
    return value * (1 + units * torch.finfo(value.dtype).eps)


def _signs(like: torch.Tensor, dice: torch.Generator) -> torch.Tensor:
    """Ones with random signs."""
    return (torch.randint(2, like.shape, generator=dice) * 2 - 1).to(like)


@dataclass(frozen=True)
class Run:
    """What both compute on one set of inputs, by name."""

    ours: Mapping[str, torch.Tensor | None]
    theirs: Mapping[str, torch.Tensor | None]


class Noise:
    """How far numbers move when the inputs do.

    ``runs``: the first is on the inputs themselves, the others on nudged ones. ``given`` is what
    they were computed from, inputs and upstreams; ``coarsest`` the least precise dtype on the way.
    """

    def __init__(
        self, runs: Sequence[Run], given: Sequence[Any], coarsest: torch.dtype | None
    ) -> None:
        self.runs = runs
        self.coarsest = coarsest
        self.size = _scale([*runs[0].theirs.values(), *given])

    def explains(self, name: str, off: float) -> bool:
        """Whether a difference of ``off`` (finite) is no more than noise in that number."""
        here = self.runs[0].theirs.get(name)
        if here is None or not here.is_floating_point() or not off < float("inf"):
            return False
        eps = torch.finfo(self.coarsest or here.dtype).eps
        if off > max(UNITS * eps * self.size, eps**SHARE * _largest(here)):
            return False
        moves = 0.0
        for side in ("ours", "theirs"):
            first, *others = (getattr(run, side).get(name) for run in self.runs)
            near = [t for t in others if t is not None]
            if first is None or not near or any(t.shape != first.shape for t in near):
                return False
            moves = max(moves, *(_largest(t - first) for t in near))
        return off <= MOVES * moves

    def excused(self, report: Report) -> Report:
        """The report with ``close`` for what differs by noise."""
        return replace(report, gradients=tuple(self._excused(row) for row in report.gradients))

    def _excused(self, row: Verdict) -> Verdict:
        off = row.result.maxdiff
        if row.verdict != WRONG or row.result.why or not self.explains(row.of, off):
            return row
        why = (
            f"rounding alone: moving the inputs by a unit in the last place moves it by {off:.0e} "
            "too"
        )
        return replace(row, result=replace(row.result, verdict=CLOSE), why=why)


def _largest(t: torch.Tensor) -> float:
    return float(t.detach().double().abs().max()) if t.numel() else 0.0


def _scale(numbers: Iterable[Any]) -> float:
    """The largest finite of what is largest in each tensor."""
    sizes = [_largest(t) for t in numbers if isinstance(t, torch.Tensor)]
    return max((s for s in sizes if s < float("inf")), default=0.0)


def excused(report: Report, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Report:
    """The report with ``close`` for what agrees in double precision: for closed forms.

    ``ours`` and ``theirs`` have each gradient in double precision, by the forward value it is of.
    """
    scale = _scale(theirs.values())
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
