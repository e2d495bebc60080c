"""A capture in which lines that compute what a kernel of the library does call that kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from ..capture import Axis, Captured, also_equal, capture, holds_at
from ..program.sizes import Dim, Size
from ..shorthand import attentions, on_kernels


def with_kernels(captured: Captured, function: Callable[..., Any]) -> Captured | None:
    """The capture on kernels, or None where there is nothing that one of them computes.

    A kernel that wants two sizes to be one gets them so: the function is captured again for such
    inputs, if the example's are.
    """
    leaves = [leaf.value for leaf in captured.arguments.dynamic()]
    tensors = [v for v in leaves if isinstance(v, torch.Tensor)]
    # attention's kernel is the CPU's, and divides by sizes
    if any(t.device.type not in ("cpu", "meta") or not t.numel() for t in tensors):
        return None
    hint = captured.context.hint
    widths = [a.widths for a in attentions(captured.program)]
    widths = [(a, b) for a, b in widths if hint(a) == hint(b)]
    if not widths:
        return None
    if any(a != b for a, b in widths):
        # a capture of its own: what is assumed of sizes here is not assumed elsewhere
        axes = {pair for a, b in widths if (pair := _axes(captured, a, b)) is not None}
        given = captured.arguments
        captured = capture(function, given.args, given.kwargs, equal=sorted(axes))
    made = on_kernels(
        captured.program, captured.context, captured.vars, lambda s: holds_at(captured, s)
    )
    if made is None:
        return None
    captured = replace(captured, program=made.program, vars=made.vars)
    return also_equal(captured, made.equal)


def _axes(captured: Captured, a: Dim, b: Dim) -> tuple[Axis, Axis] | None:
    """The axes of inputs that two sizes are, if that is what they are."""
    sites = {s.name: (s.input, s.axis) for s in captured.program.symbols}
    found: list[Axis] = []
    for d in (a, b):
        name, axis = sites.get(str(d), ("", None)) if isinstance(d, Size) else ("", None)
        if axis is not None:
            found.append((name, axis))
    return (found[0], found[1]) if len(found) == 2 and a != b else None


__all__ = ["with_kernels"]
