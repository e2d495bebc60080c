"""Updates in place that read the memory they write to, in another order than element by element.

Torch refuses the cases that it can tell quickly. In the others its result depends on the order in
which the kernel goes through the elements, and no program of values says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Node as FxNode

from ..errors import CaptureError
from ..program.build import SizeContext
from . import alias

Layout = tuple[tuple[int, ...], tuple[int, ...], int]


def refuse_overlap(node: FxNode, members: Mapping[FxNode, Any], context: SizeContext) -> None:
    """Refuse an update whose operands lie, in another order, in the memory that it writes to."""
    written, *reads = node.all_input_nodes
    target = members[written]
    for read in reads:
        other = members.get(read)
        if not isinstance(other, alias.Member) or other.family is not target.family:
            continue
        if clash(written.meta["val"], read.meta["val"], context):
            raise CaptureError(
                "an in-place update reads, in another order, the memory that it writes to",
                None,
                "read a copy (….clone()): what torch makes of it depends on its kernel",
            )


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
