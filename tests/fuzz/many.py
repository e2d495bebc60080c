"""Many programs, judged a stretch of seeds at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch

from .check import REFUSED, SKIPPED, Outcome, judge, judge_seed, settings
from .program import Program
from .shrink import shrink

CHUNK = 100


@dataclass
class Tally:
    """How a stretch of seeds ended."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def counted(self) -> int:
        return self.verdicts.total() - self.verdicts[SKIPPED]

    def add(self, other: Tally) -> None:
        self.verdicts += other.verdicts
        self.reasons += other.reasons
        self.faults += other.faults


def run_seeds(first: int) -> Tally:
    """Judge the programs of ``CHUNK`` seeds in a row; what fails is made small."""
    torch.set_num_threads(1)
    tally = Tally()
    for seed in range(first, first + CHUNK):
        program, outcome = judge_seed(seed)
        tally.verdicts[outcome.verdict] += 1
        if outcome.verdict in (REFUSED, SKIPPED):
            tally.reasons[f"{outcome.verdict}: {outcome.key}"] += 1
        if outcome.fault:
            tally.faults.append(told(seed, program, outcome))
    return tally


def told(seed: int, program: Program, outcome: Outcome) -> str:
    """A fault for people: the smallest program that shows it, its inputs, what is wrong."""
    how = settings(seed)

    def fails(candidate: Program) -> bool:
        found = judge(candidate, how.symbolic, how.batches)
        return (found.verdict, found.key) == (outcome.verdict, outcome.key)

    small = shrink(program, fails)
    found = judge(small, how.symbolic, how.batches)
    inputs = ", ".join(f"{x.name}: {x.kind} {x.dtype} {list(x.shape)}" for x in small.inputs)
    sizes = f"open sizes, also at n = {how.batches}" if how.symbolic else "fixed sizes"
    last = "\n".join(found.detail.splitlines()[-6:])
    return f"seed {seed}: {found.verdict} ({sizes})\n{small.source()}# {inputs}\n{last}\n"
