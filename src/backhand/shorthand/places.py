"""Where indices stand: axes of sums, spans of factors."""

from __future__ import annotations

from collections.abc import Sequence

from ..algebra.expr import IndexTerm, Mono, Ref, inner_atoms
from ..algebra.match import mono_expr
from .numbers import NotWorthwhile

Frame = tuple[str | None, ...]


def leads(dims: Sequence[int], frame: Frame) -> bool:
    """Whether the summed axes are the first ones, so that a result without them broadcasts too."""
    return (
        list(dims) == list(range(len(dims)))
        and len(dims) < len(frame)
        and all(frame[k] is not None for k in dims)
    )


def span(index: tuple[IndexTerm, ...]) -> int:
    return len([i for i in index if isinstance(i, str)])


def natural_axes(mono: Mono, rank: int) -> dict[str, int]:
    """Where each index stands in the widest tensor of a product."""
    refs = [
        a
        for a in (*(a for a, _ in mono.factors), *inner_atoms(mono_expr(mono)))
        if isinstance(a, Ref) and all(isinstance(i, str) for i in a.index)
    ]
    widest = max(refs, key=lambda a: (len(a.index), a.linear), default=None)
    if widest is None:
        return {}
    offset = max(rank - len(widest.index), 0)
    return {str(i): k + offset for k, i in enumerate(widest.index)}


def no_outer_product(mono: Mono, frame: Frame) -> None:
    """A sum over a product that no factor spans is a contraction: it would need too much memory."""
    spans = {i for i in frame if i is not None}
    if len(spans) > 1 and not any(spans <= a.free for a, _ in mono.factors):
        raise NotWorthwhile("a sum over an outer product")
