"""Sizes and the floats made from them, as they stand in torch's graph."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node as FxNode

from ..errors import CaptureError
from ..program.build import SizeContext
from ..program.sizes import Number, Scalar

_SCALAR_OPS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "pow": "pow",
    "neg": "neg",
    "sym_float": "float",
    "_sym_sqrt": "sqrt",
    "sym_sqrt": "sqrt",
}


def number(context: SizeContext, node: FxNode) -> Number:
    """A size or a float made from sizes, as the author wrote the arithmetic."""
    value = node.meta.get("val")
    if isinstance(value, (int, float, bool)):
        return value
    if isinstance(value, torch.SymInt):
        return context.dim(value)
    name = getattr(node.target, "__name__", str(node.target))
    if isinstance(value, torch.SymFloat) and name in _SCALAR_OPS:
        args: tuple[Any, ...] = tuple(
            number(context, a) if isinstance(a, FxNode) else a for a in node.args
        )
        return Scalar(_SCALAR_OPS[name], args)
    raise CaptureError(f"{name} of a size cannot be captured")
