"""In-place operators as values: what they put into the tensor that they write to."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..errors import UnsupportedError
from ..program.build import Builder, Var, op
from . import alias
from .adapt import adapt, overload_name, supported
from .adapt_random import drawn_in_place
from .special_nodes import RESHAPES


def functional(
    b: Builder, base: str, overload: str, bound: dict[str, Any], known: torch.Tensor
) -> Var:
    """What an operator puts into its first argument; ``known`` is that tensor, without data."""
    old: Var = bound["x"]
    if base == "copy":
        source: Var = bound["src"]
        return source
    if base == "zero":
        return op.zeros_like(old)
    if base == "fill":
        value = bound["value"]
        if isinstance(value, Var):
            return op.expand(
                op.to(value, old.dtype) if value.dtype != old.dtype else value, old.shape
            )
        return op.full_like(old, value)
    drawn = drawn_in_place(base, bound, old)
    if drawn is not None:
        if not (old.fake.is_contiguous() and known.is_contiguous()):
            raise UnsupportedError(
                f"{base}_ draws into a view that lies scattered in memory: which number goes "
                "where depends on how it lies",
                hint="draw a tensor of its own, then write that: noise = torch.empty(…)"
                f".{base}_(…); x[:, 0] = noise",
            )
        return drawn
    packet = getattr(torch.ops.aten, base, None)
    form = None if packet is None else getattr(packet, overload, None)
    result = adapt(b, form, bound) if form is not None and supported(form) else None
    if not isinstance(result, Var):
        raise UnsupportedError(f"the in-place operator {base}_ is not supported")
    return result


def written_over(kind: str, member: alias.Member, bound: dict[str, Any]) -> Var | None:
    """All of a value that has a gradient, written over: autograd sends zeros to what was there.

    Where a local gradient is infinite they become NaN, so that they cannot be left out.
    """
    old = bound["x"]
    if not covers(member, old):
        return None  # a part of it, which the scatter into the whole sees to
    if kind == "zero":
        return op.fill(old, 0)
    if kind == "fill":
        return op.fill(old, bound["value"])
    return op.copy(old, bound["src"]) if kind == "copy" else None


def reshaped(target: Any) -> Any | None:
    """The view that ``x.squeeze_()`` inside one of torch's own operators makes of ``x``."""
    base, _, overload = overload_name(target).partition(".")
    if base not in RESHAPES:
        return None
    packet = getattr(torch.ops.aten, base.removesuffix("_"), None)
    forms = [getattr(packet, form, None) for form in (overload, "int")]
    view = next((form for form in forms if form is not None), None)
    return view if view is not None and supported(view) else None


def covers(member: alias.Member, old: Var) -> bool:
    """Whether a member has all the elements that there are in its storage."""
    root = member
    while root.parent is not None:
        root = root.parent
    hint = old.builder.context.hint
    return bool(math.prod(map(hint, old.shape)) == math.prod(map(hint, root.value.shape)))
