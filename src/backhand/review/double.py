"""A run in double precision, where rounding can be told: what a file made in single comes along.

Inputs are doubled before a run. A mask, a table or a weight that the code has of its own is not
among them, and a matrix product of the two would fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_CHANGING = frozenset({"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__"})
_CASTS = {torch.Tensor.float: torch.Tensor.double}


def doubled(value: Any) -> Any:
    """A tensor of floating numbers in double precision; anything else as it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.double()
    return value


@contextmanager
def in_double(wanted: bool) -> Iterator[None]:
    """Around code that is to compute in double precision where it would in single."""
    if not wanted:
        yield
        return
    with _Double():
        yield


class _Double(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _CHANGING or (name.endswith("_") and not name.endswith("__")):
            return func(*args, **given)  # a copy would be changed in place of the tensor itself
        if any(map(_has_tensor, args)) or any(map(_has_tensor, given.values())):
            args = tuple(map(_raised, args))
            given = {k: _raised(v) for k, v in given.items()}
        # what is made from no tensor is made as it was asked for: random numbers stay the same
        return _raised(_CASTS.get(func, func)(*args, **given))


def _has_tensor(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_tensor, value))
    return isinstance(value, torch.Tensor)


def _raised(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.double() if value.dtype is torch.float32 else value
    if type(value) in (list, tuple) and any(map(_has_tensor, value)):
        return type(value)(map(_raised, value))
    return torch.float64 if value is torch.float32 else value
