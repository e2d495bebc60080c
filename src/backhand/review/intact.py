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

_OWN = ("backhand.review.", "backhand.checking.", "backhand.longhand.", "backhand.program.")


def _owners() -> list[Any]:
    """The modules and classes whose functions decide about verdicts."""
    own = [m for n, m in list(sys.modules.items()) if f"{n}.".startswith(_OWN)]
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


class Intact:
    """What torch, Python and backhand looked like before the reviewed code ran."""

    def __init__(self) -> None:
        # asked now, because `callable` may be replaced as well
        self._before = [
            (owner, name, value)
            for owner in _owners()
            for name, value in vars(owner).items()
            if callable(value)
        ]
        classes = [owner for owner in _owners() if isinstance(owner, type)]
        self._own = [(owner, frozenset(vars(owner))) for owner in classes]

    def restore(self) -> list[str]:
        """Put the originals back; returns the names of those that were replaced."""
        found = [(o, n, v) for o, n, v in self._before if o.__dict__.get(n) is not v]
        for owner, name, value in found:
            setattr(owner, name, value)
        # most of a tensor's methods are inherited: they are replaced by hiding them
        hiding = [
            (owner, name)
            for owner, names in self._own
            for name in set(vars(owner)) - names
            if any(name in vars(base) for base in owner.__mro__[1:])
        ]
        for owner, name in hiding:
            delattr(owner, name)
        return [f"{o.__name__}.{n}" for o, n in [*((o, n) for o, n, _ in found), *hiding]]

    def insist(self, shown: str) -> None:
        """After a review: refuse if the reviewed code has meddled while it was judged."""
        found = self.restore()
        if found:
            raise InputError(
                f"{shown} replaces {', '.join(found[:3])} while it is reviewed, so that no verdict "
                "could be trusted: leave that out"
            )
