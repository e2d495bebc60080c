"""What the user's function can see: namespaces, modules, tensors from outside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from . import source
from .inputs import called_by


def namespaces(function: Callable[..., Any]) -> list[dict[str, Any]]:
    """The module namespaces in which the user's code will look up ``range``."""
    found: dict[int, dict[str, Any]] = {}
    called = called_by(function)
    target = getattr(called, "__func__", called)
    target = getattr(target, "__wrapped__", target)
    namespace = getattr(target, "__globals__", None)
    if namespace is not None:
        found[id(namespace)] = namespace
    if isinstance(function, torch.nn.Module):
        for module in function.modules():
            owner = sys.modules.get(type(module).__module__)
            if owner is not None and source.is_user_file(getattr(owner, "__file__", None) or ""):
                found[id(vars(owner))] = vars(owner)
    for value in list((namespace or {}).values()):
        inner = getattr(value, "__globals__", None)
        if isinstance(inner, dict) and source.is_user_file(str(inner.get("__file__") or "")):
            found[id(inner)] = inner
    return list(found.values())


def modules_of(function: Callable[..., Any]) -> dict[int, str]:
    """Modules that a bound method's object holds, for names only."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, torch.nn.Module):
        return {id(m): name for name, m in owner.named_modules()}
    return {}


def constant_names(function: Callable[..., Any]) -> dict[int, str]:
    """Names for tensors that the function reads from its closure or its module."""
    out: dict[int, str] = {}
    code = getattr(function, "__code__", None)
    for name in getattr(code, "co_names", ()):
        value = getattr(function, "__globals__", {}).get(name)
        if isinstance(value, torch.Tensor):
            out[id(value)] = name
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        try:
            value = cell.cell_contents
        except ValueError:
            continue
        if isinstance(value, torch.Tensor):
            out[id(value)] = name
    return out
