"""Telling whether the reviewed code has replaced functions that the verdict rests on.

A file may patch ``torch.allclose`` or ``builtins.abs`` for ends of its own. Whatever it does, the
numbers are to be compared by the originals.
"""

from __future__ import annotations

import builtins
import json
import math
import sys
from typing import Any

import torch

from ..errors import InputError

_ABSENT = object()
_OWN = ("backhand.review", "backhand.checking", "backhand.longhand", "backhand.program")


def _owners() -> list[Any]:
    """The modules and classes whose functions decide about verdicts."""
    own = [m for n, m in list(sys.modules.items()) if f"{n}.".startswith(tuple(map(_dot, _OWN)))]
    own.append(sys.modules["backhand.capture"])
    return [
        builtins,
        math,
        json,
        torch,
        torch.Tensor,
        torch.autograd,
        torch.linalg,
        torch.nn.functional,
        torch._tensor,
        *own,
    ]


def _dot(name: str) -> str:
    return f"{name}."


class Intact:
    """What torch, Python and backhand looked like before the reviewed code ran."""

    def __init__(self) -> None:
        self._before = [(owner, dict(vars(owner))) for owner in _owners()]

    def replaced(self) -> list[str]:
        """The names of functions that are no longer what they were."""
        out: list[str] = []
        for owner, before in self._before:
            now = vars(owner)
            for name, value in before.items():
                if now.get(name, _ABSENT) is not value and callable(value):
                    out.append(f"{owner.__name__}.{name}")
        return out

    def restore(self) -> list[str]:
        """Put the originals back; returns the names of those that were replaced."""
        found = self.replaced()
        for owner, before in self._before:
            now = vars(owner)
            for name, value in before.items():
                if callable(value) and now.get(name, _ABSENT) is not value:
                    setattr(owner, name, value)
        return found

    def insist(self, shown: str) -> None:
        """After a review: refuse if the reviewed code has meddled while it was judged."""
        found = self.restore()
        if found:
            raise InputError(
                f"{shown} replaces {', '.join(found[:3])} while it is reviewed, so that no verdict "
                "could be trusted: leave that out"
            )
