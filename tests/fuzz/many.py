"""Many programs, judged a stretch of seeds at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch

from .check import CLOSELY, REFUSED, SKIPPED, Outcome, judge, judge_seed, settings
from .program import Program
from .shrink import shrink

STRETCH = 100


@dataclass
class Tally:
    """How the programs of some seeds ended: verdicts, reasons, and what is to be shown."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    telling: int = 0
    faults: list[str] = field(default_factory=list)
    rounded: list[str] = field(default_factory=list)

    @property
    def counted(self) -> int:
        """The programs that autograd has gradients for."""
        return self.verdicts.total() - self.verdicts[SKIPPED]

    def share(self, verdict: str) -> float:
        return self.verdicts[verdict] / max(self.counted, 1)

    def add(self, other: Tally) -> None:
        self.verdicts += other.verdicts
        self.reasons += other.reasons
        self.telling += other.telling
        self.faults += other.faults
        self.rounded += other.rounded


def run_seeds(
    first: int, count: int = STRETCH, show_close: bool = False, runs: str = "longhand"
) -> Tally:
    """Judge the programs of ``count`` seeds in a row; faults are made small.

    ``show_close``: programs whose gradients agree but for rounding are made small as well. ``runs``
    is the form of the backward pass that is judged.
    """
    torch.set_num_threads(1)
    tally = Tally()
    for seed in range(first, first + count):
        program, outcome = judge_seed(seed, runs)
        tally.verdicts[outcome.verdict] += 1
        tally.telling += outcome.telling
        if outcome.verdict in (REFUSED, SKIPPED):
            tally.reasons[f"{outcome.verdict}: {outcome.key}"] += 1
        if outcome.fault:
            tally.faults.append(told(seed, program, outcome, runs))
        if show_close and outcome.verdict == CLOSELY:
            tally.rounded.append(told(seed, program, outcome, runs))
    return tally


def run_counted(first: int, count: int, runs: str = "longhand") -> Tally:
    """Judge programs from a seed on until ``count`` of them had gradients to compare."""
    tally = Tally()
    while tally.counted < count:
        tally.add(run_seeds(first, 1, runs=runs))
        first += 1
    return tally


def told(seed: int, program: Program, outcome: Outcome, runs: str = "longhand") -> str:
    """A fault for people: the smallest program that shows it, its inputs, what is wrong."""
    how = settings(seed)

    def fails(candidate: Program) -> bool:
        found = judge(candidate, how.symbolic, how.batches, runs=runs)
        return (found.verdict, found.key) == (outcome.verdict, outcome.key)

    small = shrink(program, fails)
    found = judge(small, how.symbolic, how.batches, runs=runs)
    inputs = ", ".join(f"{x.name}: {x.kind} {x.dtype} {list(x.shape)}" for x in small.inputs)
    sizes = "fixed sizes"
    if how.symbolic:
        sizes = "open sizes" + (f", also at n = {how.batches}" if how.batches else "")
    last = "\n".join(f"# {line}" for line in found.detail.splitlines()[-6:])
    return f"seed {seed}: {found.verdict} ({sizes})\n{small.source()}# {inputs}\n{last}\n"
