"""Comparing two gradients: shape and dtype strictly, then bits, then rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

EXACT, CLOSE, WRONG = "exact", "close", "wrong"

# How far, relative to the largest element of the truth, rounding alone is allowed to go: generous
# multiples of the dtype's spacing (1e-7, 2e-16, 8e-3, 1e-3), since errors add up over a program.
_ROUNDING = {
    torch.float32: 2e-4,
    torch.float64: 1e-9,
    torch.bfloat16: 8e-2,
    torch.float16: 2e-2,
}
_INT_OF = {
    torch.float32: torch.int32,
    torch.float64: torch.int64,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one tensor compares with the truth.

    Attributes:
        verdict: ``exact`` (the same bits), ``close`` (rounding) or ``wrong``.
        maxdiff: The largest difference of two elements.
        ulp: The largest distance of two elements in units in the last place.
        why: What is to be said of it.
        discriminates: False when the truth is zero or NaN everywhere, so that the comparison could
            not have told a wrong gradient that is so too.
    """

    verdict: str
    maxdiff: float
    ulp: int
    why: str = ""
    discriminates: bool = True


def compare(
    value: torch.Tensor | None, truth: torch.Tensor | None, coarsest: torch.dtype | None = None
) -> Comparison:
    """Judge ``value`` against ``truth``. ``None`` stands for no gradient at all.

    ``coarsest`` is the least precise dtype that both were computed through, if it is not their own:
    what was rounded there is rounding still after a cast to a finer one.
    """
    if truth is None or value is None:
        if truth is None and value is None:
            return Comparison(EXACT, 0.0, 0, "not reached by any gradient", False)
        present = truth if value is None else value
        assert present is not None
        if not present.any():
            return Comparison(EXACT, 0.0, 0, "zero everywhere", False)
        missing = "there is none" if value is None else "autograd has none"
        return Comparison(WRONG, math.inf, 0, missing)
    if tuple(value.shape) != tuple(truth.shape):
        why = f"shape {list(value.shape)} where autograd has {list(truth.shape)}"
        return Comparison(WRONG, math.nan, 0, why)
    if value.dtype != truth.dtype:
        return Comparison(WRONG, math.nan, 0, f"{value.dtype} where autograd has {truth.dtype}")
    value, truth = value.detach(), truth.detach()
    if truth.numel() == 0:
        return Comparison(EXACT, 0.0, 0, "empty", False)
    nan = torch.isnan(truth)
    discriminates = bool(((truth != 0) & ~nan).any())
    if same_bits(value, truth):
        blind = not discriminates and bool(nan.any())
        why = "NaN everywhere: these inputs could not show a wrong gradient" if blind else ""
        return Comparison(EXACT, 0.0, 0, why, discriminates)
    if not torch.equal(nan, torch.isnan(value)):
        return Comparison(WRONG, math.nan, 0, "NaN in different places")
    infinite = torch.isinf(truth)
    if not torch.equal(truth[infinite], value[infinite]):
        return Comparison(WRONG, math.inf, 0, "infinities in different places")
    finite = ~(nan | infinite)
    if not bool(torch.isfinite(value[finite]).all()):
        return Comparison(WRONG, math.inf, 0, "infinities in different places")
    a, b = value[finite], truth[finite]
    maxdiff = float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
    distance = ulp_distance(a, b)
    scale = float(b.double().abs().max()) if b.numel() else 0.0
    allowed = _ROUNDING.get(truth.dtype, 1e-9) * scale
    if maxdiff <= allowed or distance <= 1:
        why = "only the sign of zero differs" if distance == 0 else ""
        return Comparison(CLOSE, maxdiff, distance, why, discriminates)
    if coarsest is not None and maxdiff <= _ROUNDING[coarsest] * scale:
        name = str(coarsest).removeprefix("torch.")
        why = f"rounded in {name}, through which it is computed"
        return Comparison(CLOSE, maxdiff, distance, why, discriminates)
    return Comparison(WRONG, maxdiff, distance, "", discriminates)


def coarsest_of(dtypes: Iterable[str]) -> torch.dtype | None:
    """The least precise floating dtype among these (``"float32"``, …), for ``compare``."""
    known = {str(dtype).removeprefix("torch."): dtype for dtype in _ROUNDING}
    found = [known[name] for name in dtypes if name in known]
    return max(found, key=_ROUNDING.__getitem__, default=None)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Bit for bit equal, every NaN counting as the same NaN."""
    kind = _INT_OF.get(a.dtype)
    if kind is None:
        return torch.equal(a, b)
    nan = torch.isnan(a)
    if not torch.equal(nan, torch.isnan(b)):
        return False
    bits_a = a.contiguous().view(kind).masked_fill(nan, 0)
    bits_b = b.contiguous().view(kind).masked_fill(nan, 0)
    return torch.equal(bits_a, bits_b)


def ulp_distance(a: torch.Tensor, b: torch.Tensor) -> int:
    """The largest number of representable values between two finite tensors."""
    kind = _INT_OF.get(a.dtype)
    if kind is None or a.numel() == 0:
        return 0
    if a.dtype is torch.float64:
        # differences of 64-bit patterns can overflow: count in floating point
        gap = (_ordered(a).double() - _ordered(b).double()).abs().max()
        exact = (_ordered(a) - _ordered(b)).abs().max()
        return int(exact) if float(gap) < 2**60 else int(gap)
    return int(ulp_distances(a, b).max())


def ulp_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The number of representable values between each two elements, of float32 or less."""
    return (_ordered(a) - _ordered(b)).abs()


def _ordered(t: torch.Tensor) -> torch.Tensor:
    """Integers that count the values of a floating type in their order."""
    kind = _INT_OF[t.dtype]
    bits = t.contiguous().view(kind).to(torch.int64)
    return torch.where(bits < 0, torch.iinfo(kind).min - bits, bits)
