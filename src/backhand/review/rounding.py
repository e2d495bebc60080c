"""What to say of a gradient that differs from autograd's in its last bits only."""

from __future__ import annotations

from ..checking.compare import EXACT, Comparison
from .names import Candidate
from .reference import Reference


def rounding_note(
    reference: Reference, candidate: Candidate, own: Comparison, local: Comparison
) -> str:
    """That it is rounding, where it arises, and which order of operations has the same bits."""
    if local.verdict == EXACT:
        return "exact by itself: the rounding comes in with what it reads"
    parts = [f"rounding only, {own.ulp} ulp at most: in double precision nothing is left"]
    label = reference.labels.get(candidate.of)
    lines = [line.text for line in reference.exact_lines if label in line.targets]
    if lines:
        parts.append("bit for bit as autograd: " + "; ".join(lines))
    return "; ".join(parts)
