"""Telling whether a forward pass that was read again is the one that is known already.

Alike are functions of the same code on the same lines, whose code finds the same under every global
name that it mentions. What is neither compared here nor the same object counts as different: the
forward pass is then derived again, which takes time and does no harm.
"""

from __future__ import annotations

from types import CellType, FunctionType
from typing import Any

import torch

from ..capture.source import mentioned
from ..checking.compare import same_bits

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_MISSING = object()


def alike(a: Any, b: Any, seen: set[tuple[int, int]] | None = None) -> bool:
    """Whether two values are interchangeable to the code that reads them."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    seen = set() if seen is None else seen
    if (id(a), id(b)) in seen:  # a function that calls itself, a list that holds itself
        return True
    seen.add((id(a), id(b)))
    if isinstance(a, _PLAIN):
        return repr(a) == repr(b)  # -0.0 is not 0.0, and nan is nan
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(alike(x, y, seen) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(alike(a[k], b[k], seen) for k in a)
    if isinstance(a, torch.Tensor):
        return _alike_tensors(a, b)
    if isinstance(a, CellType):
        return alike(_held(a), _held(b), seen)
    return isinstance(a, FunctionType) and _alike_functions(a, b, seen)


def _alike_tensors(a: torch.Tensor, b: torch.Tensor) -> bool:
    kind = a.shape == b.shape and a.dtype == b.dtype and a.device == b.device
    return kind and a.requires_grad == b.requires_grad and same_bits(a.detach(), b.detach())


def _alike_functions(a: FunctionType, b: FunctionType, seen: set[tuple[int, int]]) -> bool:
    # jaxtyping makes a new class for each annotation: they are told by how they are written
    if a.__code__ != b.__code__ or repr(a.__annotations__) != repr(b.__annotations__):
        return False
    held = (
        (a.__defaults__, b.__defaults__),
        (a.__kwdefaults__, b.__kwdefaults__),
        (a.__closure__, b.__closure__),
        *((_global(a, name), _global(b, name)) for name in mentioned(a.__code__)),
    )
    return all(alike(x, y, seen) for x, y in held)


def _global(function: FunctionType, name: str) -> Any:
    return function.__globals__.get(name, _MISSING)


def _held(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return _MISSING
