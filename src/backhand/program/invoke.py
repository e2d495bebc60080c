"""How torch is asked to run an operator: the same call that the printed text makes.

The printer writes ``x.sum(0, keepdim=True)``; this module makes that call on tensors (real, fake or
meta). One description in the op table serves both, so text and inference cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from .ops import INFIX, PREFIX, Op, get_op


def dtype_of(name: str) -> torch.dtype:
    """``"float32"`` as torch's dtype."""
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"{name} is not a dtype")
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    """Torch's dtype as ``"float32"``."""
    return str(dtype).removeprefix("torch.")


def invoke(op: Op, args: tuple[Any, ...]) -> Any:
    """Run ``op`` on tensors and plain numbers, arguments in the table's order."""
    args = tuple(
        a.device if p.name == "device" and isinstance(a, torch.Tensor) else a
        for p, a in zip(op.params, args, strict=True)
    )
    if op.spelling == "custom":
        return CUSTOM[op.name](*args)
    args = tuple(
        dtype_of(a) if isinstance(a, str) and p.name in DTYPE_PARAMS else a
        for p, a in zip(op.params, args, strict=True)
    )
    positional, keywords = op.written(args)
    if op.spelling in INFIX and len(args) == 2:
        return INFIX[op.spelling][1](*args)
    if op.spelling in PREFIX and len(args) == 1:
        return PREFIX[op.spelling](*args)
    if op.spelling == "method" or op.spelling.startswith("."):
        method = op.name if op.spelling == "method" else op.spelling[1:]
        return getattr(positional[0], method)(*positional[1:], **keywords)
    if op.spelling.startswith("new."):
        fill = getattr(torch.empty_like(positional[0]), op.spelling.removeprefix("new."))
        return fill(*positional[1:], **keywords)
    return resolve(op.spelling)(*positional, **keywords)


# Arguments that name a dtype: stored as a string, passed as torch's own object.
DTYPE_PARAMS = frozenset({"dtype", "input_dtype"})


@cache
def resolve(path: str) -> Callable[..., Any]:
    """``"torch.nn.functional.silu"`` as the function."""
    found: Any = torch
    for part in path.split(".")[1:]:
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function


def _index(x: torch.Tensor, indices: tuple[Any, ...]) -> torch.Tensor:
    if any(isinstance(i, torch.Tensor) and i.dim() == 0 for i in indices):
        # a subscript would read a 0-d index's value, which a tensor without data has not
        picked: torch.Tensor = torch.ops.aten.index.Tensor(x, list(indices))
        return picked
    return x[tuple(slice(None) if i is None else i for i in indices)]


def _slice(x: torch.Tensor, dim: int, start: Any, end: Any, step: Any) -> torch.Tensor:
    return x[(slice(None),) * (dim % x.dim()) + (slice(start, end, step),)]


def _select(x: torch.Tensor, dim: int, index: Any) -> torch.Tensor:
    return x.select(dim, index)


def _arange(start: Any, end: Any, step: Any, dtype: str | None, device: Any) -> torch.Tensor:
    kind = None if dtype is None else dtype_of(dtype)
    if isinstance(start, int) and start == 0 and step == 1:
        # the only form whose length stays symbolic
        return torch.arange(end, dtype=kind, device=device)
    return torch.arange(start, end, step, dtype=kind, device=device)


CUSTOM: dict[str, Callable[..., Any]] = {
    "einsum": lambda equation, operands: torch.einsum(equation, *operands),
    "identity": lambda x: x,
    "t": lambda x: x.t(),
    "index": _index,
    "slice": _slice,
    "select": _select,
    "arange": _arange,
    "copy": lambda x, src: x.clone().copy_(src),
    "pad_backward": lambda g, pad: torch.nn.functional.pad(g, [-p for p in pad]),
    "sgn_backward": lambda g: torch._efficientzerotensor(g.shape, dtype=g.dtype, device=g.device),
}


def run_op(name: str, *args: Any, **kwargs: Any) -> Any:
    """Run an operator of the table by name, defaults filled in."""
    op = get_op(name)
    return invoke(op, op.bind(args, kwargs))
