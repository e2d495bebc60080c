"""What to say of a gradient that differs from autograd's in its last bits only."""

from __future__ import annotations

from typing import Any

import torch

from ..checking.compare import EXACT, Comparison, ulp_distances
from .names import Candidate, Names
from .reference import Reference


def rounding_note(
    reference: Reference,
    names: Names,
    candidate: Candidate,
    local: Comparison,
    value: Any,
    truth: torch.Tensor | None,
    empty: bool,
) -> str:
    """That it is rounding, where it arises, and which order of operations has the same bits.

    ``empty`` says that the gradient is zero in real numbers, so that what is left is rounding.
    """
    if empty or not local.discriminates:
        return "zero but for rounding, as autograd's own"
    if local.verdict == EXACT:
        return "exact by itself: the rounding comes in with what it reads"
    parts = ["rounding only, in double precision nothing is left", _histogram(value, truth)]
    label = reference.labels.get(candidate.of)
    lines = [
        names.spoken(line.text, reference.labels)
        for line in reference.exact_lines
        if label in line.targets
    ]
    if lines:
        parts.append("bit for bit as autograd: " + "; ".join(lines))
    return "; ".join(part for part in parts if part)


def _histogram(value: Any, truth: torch.Tensor | None) -> str:
    """How many elements are how many units in the last place off."""
    if not isinstance(value, torch.Tensor) or truth is None or value.shape != truth.shape:
        return ""
    if value.dtype != truth.dtype or truth.dtype == torch.float64 or not truth.numel():
        return ""
    if not truth.is_floating_point() or not bool(torch.isfinite(truth).all()):
        return ""
    off = ulp_distances(value, truth)
    bins = (
        ("the same bits", off == 0),
        ("1 ulp off", off == 1),
        ("2 to 4", (off > 1) & (off <= 4)),
        ("more", off > 4),
    )
    counts = [f"{int(hit.sum())} {name}" for name, hit in bins if bool(hit.any())]
    return f"of {truth.numel()} elements {', '.join(counts)}"
