"""Updates in place that read the memory they write to, in another order than element by element.

Torch refuses the cases that it can tell quickly. In the others its result depends on the order in
which the kernel goes through the elements, and no program of values says the same.
"""

from __future__ import annotations

from typing import Any

import torch

from ..program.build import SizeContext

Layout = tuple[tuple[int, ...], tuple[int, ...], int]


def clash(written: torch.Tensor, read: torch.Tensor, context: SizeContext) -> bool:
    """Whether two views of one storage share elements without being the same view."""
    a, b = _layout(written, context), _layout(read, context)
    if a == b or 0 in a[0] or 0 in b[0]:
        return False
    (low, high), (other_low, other_high) = _extent(a), _extent(b)
    if high < other_low or other_high < low:
        return False
    taken = torch.zeros(max(high, other_high) + 1, dtype=torch.bool)
    taken.as_strided(*a).fill_(True)
    return bool(taken.as_strided(*b).any())


def _layout(tensor: torch.Tensor, context: SizeContext) -> Layout:
    def numbers(sizes: Any) -> tuple[int, ...]:
        return tuple(int(context.hint(context.dim(s))) for s in sizes)

    offset = numbers([tensor.storage_offset()])[0]
    return numbers(tensor.shape), numbers(tensor.stride()), offset


def _extent(layout: Layout) -> tuple[int, int]:
    """The first and the last element's place in memory."""
    shape, stride, offset = layout
    return offset, offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
