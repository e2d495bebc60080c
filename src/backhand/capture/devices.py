"""Which devices of the user's code follow an input: ``torch.zeros(n, device=x.device)``.

On the example inputs all that is left of it is a device, the same for every tensor. So reading
``x.device`` is noticed while the function runs: it gives an object of its own, by which the tensor
that it came from is known again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from ..program.build import Var
from . import alias, source

_MOVES = frozenset({torch.Tensor.to, torch.Tensor.type_as})
# What these make are positions from a range: an index may lie anywhere.
_SUBSCRIPTS = frozenset({torch.Tensor.__getitem__, torch.Tensor.__setitem__})
_NAMED = {torch.Tensor.cpu: "cpu", torch.Tensor.cuda: "cuda"}


class DeviceReads:
    """A context in which the user's reads of ``.device`` are remembered."""

    def __init__(self) -> None:
        self._reads: dict[int, tuple[torch.device, torch.Tensor]] = {}
        self._usual: Any = vars(FakeTensor)["device"]

    def __enter__(self) -> DeviceReads:
        usual = self._usual

        def device(tensor: Any) -> torch.device:
            found: torch.device = usual.fget(tensor)
            if not source.is_user_file(sys._getframe(1).f_code.co_filename):
                return found
            own = torch.device(found.type, found.index)
            self._reads[id(own)] = own, tensor
            return own

        type.__setattr__(FakeTensor, "device", property(device, usual.fset))
        return self

    def __exit__(self, *error: object) -> None:
        type.__setattr__(FakeTensor, "device", self._usual)

    def of_call(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[torch.Tensor | str | None, bool]:
        """Where a call makes its tensors: as a certain tensor, on a named device, or by default.

        The second part says whether the call asks for that, so that what it moves is moved there.
        """
        given = kwargs.get("device")
        if func in _SUBSCRIPTS:
            return None, False
        if func in _MOVES:
            moved = [a for a in (*args[1:], kwargs.get("other")) if isinstance(a, torch.Tensor)]
            if moved:
                return moved[0], True
            places = (a for a in args[1:] if isinstance(a, (str, torch.device)))
            given = given if given is not None else next(places, None)
        elif func in _NAMED:
            given = _NAMED[func]
        if given is not None:
            read = self._reads.get(id(given))
            return (read[1] if read is not None else str(given)), True
        return _first_tensor((*args, *kwargs.values())), False


class Homes:
    """Where values lie: on the device of an input, on a named one, or on torch's default (None)."""

    def __init__(self) -> None:
        self._of: dict[str, Var | str | None] = {}

    def put(self, var: Var, home: Var | str | None) -> None:
        self._of[var.value.name] = home

    def settle(self, result: Var, device: Var | str | None, operands: Iterable[Var]) -> None:
        """A result lies where it was made, or else where the first operand with a home does."""
        near = (device, *(self._of.get(v.value.name) for v in operands))
        self.put(result, next((home for home in near if home is not None), None))

    def of(self, member: Any) -> Var | str | None:
        """The home of a value, or of what it is a view of."""
        while isinstance(member, alias.Member):
            found = self._of.get(member.value.value.name)
            if found is not None:
                return found
            member = member.parent
        return None


def _first_tensor(args: tuple[Any, ...]) -> torch.Tensor | None:
    for arg in args:
        found = _first_tensor(tuple(arg)) if isinstance(arg, (tuple, list)) else arg
        if isinstance(found, torch.Tensor):
            return found
    return None
