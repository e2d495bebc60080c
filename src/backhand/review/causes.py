"""From evidence to causes: the finders in the order of diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .evidence import Evidence
from .result import Cause


@dataclass(frozen=True)
class Found:
    """The causes, and a verdict that says more than ``wrong`` (``partial (1 of 2 uses)``)."""

    causes: tuple[Cause, ...]
    verdict: str = ""


def causes_of(evidence: Evidence) -> Found:
    """Why an attempt is wrong; where nothing explains it, the largest difference."""
    return Found((_unknown(evidence),))


def _unknown(e: Evidence) -> Cause:
    probe, line = e.given, e.statements[-1].line
    value, truth = probe.value, probe.truth
    if probe.alone.error is not None:
        said = (str(probe.alone.error).strip().splitlines() or [""])[0]
        return Cause("cannot-run", f"this line fails: {said}", line=line)
    if not isinstance(value, torch.Tensor) or truth is None:
        return Cause("no-known-pattern", f"{e.candidate.name} is no tensor", line=line)
    if value.shape != truth.shape:
        shapes = f"shape {list(value.shape)}, {e.candidate.of} {list(truth.shape)}"
        said = f"{e.candidate.name} has {shapes}"
        return Cause("no-known-pattern", said, line=line)
    off = (value.double() - truth.double()).abs()
    place = int(off.reshape(-1).argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(place), truth.shape)]
    said = (
        f"no known pattern: the largest difference is {float(off.reshape(-1)[place]):.3g}, "
        f"at {index}: {float(value[tuple(index)]):.6g} where autograd has "
        f"{float(truth[tuple(index)]):.6g}"
    )
    return Cause("no-known-pattern", said, line=line)
