"""A derivation as a differentiable operator that one calls."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import count
from types import ModuleType
from typing import Any, Protocol

import torch
from torch._compile import _disable_dynamo

from .capture import Captured, fits
from .capture.inputs import Leaf
from .capture.source import remember
from .errors import InputError

_serial = count()


class Derivation(Protocol):
    """What an operator needs to know of ``Backprop``."""

    name: str
    captured: Captured

    @property
    def leaves(self) -> list[Leaf]: ...

    def emit(
        self,
        backend: str,
        spelling: str | None = ...,
        form: str = ...,
        save: str | Sequence[str] | None = ...,
    ) -> str: ...

    def specialised(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Derivation: ...

    def drop_in(self, form: str = ...) -> Derivation: ...


class Operator:
    """The compiled text of ``emit("function")``, as a differentiable function: call it.

    Its arguments are tensors and integers in the order of the derivation's, then a module's
    parameters and buffers; ``source`` is its text. Inputs for which the derivation does not hold
    (a batch of one, another dtype) are derived anew, as ``Backprop`` does it, except under
    ``torch.compile``, where they are refused.
    """

    def __init__(
        self,
        derivation: Derivation,
        form: str,
        save: str | Sequence[str],
        operator: str | None,
    ) -> None:
        derivation = derivation.drop_in(form)
        self.derivation = derivation
        self.form, self.save, self.operator = form, save, operator
        self.source = derivation.emit("function", None, form, save)
        space = _loaded(self.source, derivation.name)
        call = space[derivation.name]
        self.registered = None
        if operator is not None:
            call = space["register"](_checked(operator))
            namespace, _, name = operator.partition("::")
            self.registered = getattr(getattr(torch.ops, namespace), name)
        self._call = call
        large = [t for n, t in derivation.captured.constants.items() if n in _parameters(call)]
        self._constants = tuple(large)
        self._others: dict[Any, Operator] = {}

    def __call__(self, *inputs: Any) -> Any:
        if not torch.compiler.is_compiling():
            found = self._fitting(inputs)
            if found is not self:
                return found(*inputs)
        return self._call(*inputs, *self._constants)

    @_disable_dynamo  # where a graph breaks, torch.compile would take this for the user's code
    def _fitting(self, inputs: tuple[Any, ...]) -> Operator:
        """This operator if its text holds for the inputs, else one made for them."""
        if _transformed(inputs):
            return self
        bp = self.derivation
        leaves = bp.leaves
        if len(inputs) != len(leaves):
            named = ", ".join(leaf.name for leaf in leaves)
            raise InputError(f"{bp.name} takes {len(leaves)} inputs ({named}), not {len(inputs)}")
        key = tuple((v.shape, v.dtype) if isinstance(v, torch.Tensor) else v for v in inputs)
        if key in self._others:
            return self._others[key]
        if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
            return self  # floating inputs are cast to the dtypes of the derivation
        if fits(bp.captured, list(inputs)) or self.operator is not None:
            found = self
        else:
            args, kwargs = bp.captured.arguments.with_values(list(inputs))
            other = bp.specialised(args, kwargs)
            found = self if other is bp else Operator(other, self.form, self.save, None)
        self._others[key] = found
        return found

    def __repr__(self) -> str:
        return f"<backhand operator {self.derivation.name}, {self.form}, save={self.save!r}>"


def _transformed(inputs: tuple[Any, ...]) -> bool:
    """Whether a torch.func transform is at work: then shapes are those of one element."""
    return any(
        isinstance(v, torch.Tensor) and torch._C._functorch.is_functorch_wrapped_tensor(v)
        for v in inputs
    )


def _parameters(function: Any) -> tuple[str, ...]:
    code = function.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


def _checked(operator: str) -> str:
    namespace, _, name = operator.partition("::")
    if not namespace.isidentifier() or not name.isidentifier():
        raise InputError(f"operator={operator!r} is no operator's name: write mylib::name")
    if hasattr(getattr(torch.ops, namespace), name):
        raise InputError(f"there is an operator {operator} already: choose another name")
    return operator


def _loaded(source: str, name: str) -> dict[str, Any]:
    """Run an emitted module; tracebacks show its lines."""
    serial = next(_serial)
    module = f"backhand_function_{serial}"
    filename = f"<backhand {name} function {serial}>"
    # a compiler looks the functions' globals up by the module's name
    made = sys.modules[module] = ModuleType(module)
    space = vars(made)
    remember(filename, source)
    exec(compile(source, filename, "exec"), space)
    return space


__all__ = ["Operator"]
