"""Random programs in shorthand, held against their longhand in double precision."""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from backhand import Backprop, derive
from backhand.checking.verify import run_lines
from backhand.emit.python import printed_name
from tests.fuzz.program import compiled

from .generator import Made, generate

AGREES = 1e-9
# A gradient that is zero but for rounding is judged by the others' size.
NOTHING = 1e-6


@dataclass
class Tally:
    """How some seeds' programs ended: regions, those in closed form, why the others are not."""

    programs: int = 0
    regions: int = 0
    closed: int = 0
    told: int = 0  # gradients that were compared and are not zero
    faults: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        return self.closed / max(self.regions, 1)


def gradients(bp: Backprop, values: list[Tensor], form: str, spelling: str) -> dict[str, Tensor]:
    """Every gradient that one form makes, by what it is the gradient of."""
    derived = bp.form(form, spelling)
    space: dict[str, Any] = bp.namespace(values, 0, form)
    generator = torch.Generator().manual_seed(1)
    scalar = len(derived.upstream) == 1 and derived.upstream[0].shape == ()
    for value, of in zip(derived.upstream, derived.upstream_of, strict=True):
        out = space[printed_name(next(v for v in bp.forward_of(form).values() if v.name == of))]
        noise = torch.randn(out.shape, generator=generator, dtype=torch.float64)
        space[printed_name(value)] = torch.ones_like(out) if scalar else noise
    listing = bp.listing(spelling, shapes=False, form=form)
    with torch.no_grad():
        run_lines([*listing.preamble, *listing.lines], space)
    printed = {v.name: printed_name(v) for v in derived.program.values()}
    names = {of: printed.get(name) for of, name in derived.gradients.items()}
    return {of: space[label] for of, label in names.items() if label in space}


def apart(ours: dict[str, Tensor], truth: dict[str, Tensor]) -> str | None:
    """The first gradient that differs."""
    largest = max((_size(t) for t in truth.values()), default=0.0)
    for of in (n for n in ours if n in truth):
        a, b = ours[of], truth[of]
        if a.shape != b.shape:
            return f"d{of} has the shape {list(a.shape)}, not {list(b.shape)}"
        known = torch.isfinite(b)
        off = (a - b)[known]
        size = max(_size(b), NOTHING * largest)
        if off.numel() and not float(off.abs().max()) <= AGREES * size:
            return f"d{of} is off by {float(off.abs().max()):.2g} of {size:.2g}"
    return None


def _size(t: Tensor) -> float:
    t = t[torch.isfinite(t)]
    return float(t.abs().max()) if t.numel() else 0.0


def judge(made: Made, seed: int, tally: Tally) -> str | None:
    """A fault, or ``None``."""
    values = made.values(seed)
    try:
        with warnings.catch_warnings(), compiled(made.source) as function:
            warnings.simplefilter("ignore")
            bp = derive(function, *values, symbolic=made.symbolic)
            regions = bp.regions
            truth = gradients(bp, values, "longhand", "plain")
            for spelling in ("plain", "exact"):
                ours = gradients(bp, values, "shorthand", spelling)
                lost = [n for n in bp.gradient_names if n not in ours and n in truth]
                if lost:
                    return f"{spelling}: no gradient of {', '.join(lost)}"
                reason = apart(ours, truth)
                if reason:
                    return f"{spelling}: {reason}\n{bp.shorthand}"
    except Exception:
        return "\n".join(traceback.format_exc().splitlines()[-20:])
    tally.programs += 1
    tally.told += sum(_size(truth[n]) > 0 for n in bp.gradient_names if n in truth)
    for region in regions:
        # copies of the upstream have nothing to be found in them
        if region.longhand is None or region.longhand.operators < 2:
            continue
        tally.regions += 1
        tally.closed += bool(region.lines)
        if region.uncounted:
            tally.uncounted[region.uncounted] += 1
        if not region.lines and region.refusals:
            tally.refusals[_kind(region.refusals[-1].reason)] += 1
    return None


def _kind(reason: str) -> str:
    return " ".join(w for w in reason.split() if not any(c.isdigit() for c in w))[:70]


def run_seeds(first: int, count: int) -> Tally:
    torch.set_num_threads(1)
    tally = Tally()
    for seed in range(first, first + count):
        made = generate(seed)
        fault = judge(made, seed, tally)
        if fault:
            tally.faults.append(f"seed {seed}:\n{made.source}\n{fault}")
    return tally
