"""What a forward pass must leave as it was: random states, globals, the attributes of modules.

A number that the forward pass takes from such a place is fixed in what is derived. If the place
changes while the function runs, the next call would be another function, so it is refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import numpy as np
import torch

from ..errors import CaptureError, Location
from . import source

_PLAIN = (int, float, bool, str, bytes, type(None))
_STATE_HINT = (
    "pass it as an argument and return its new value, or change it outside the forward pass"
)
_NUMBERS_HINT = (
    "its numbers would be fixed for ever: draw with torch (torch.rand and the like), or pass what "
    "was drawn as an argument"
)


class RandomWatch:
    """Notices draws from Python's and NumPy's generators, which a graph would hold as constants."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = self._position()

    @staticmethod
    def _position() -> tuple[Any, ...]:
        state: Any = np.random.get_state(legacy=False)
        inner = state["state"]
        return inner["pos"], int(inner["key"][0]), state["has_gauss"]

    def drawn(self) -> str:
        """Whose numbers were drawn since the start: a name, or an empty string."""
        if random.getstate() != self._python:
            return "Python's random module"
        if self._position() != self._numpy:
            return "NumPy's random generator"
        return ""

    @staticmethod
    def refusal(whose: str, where: Location | None) -> CaptureError:
        return CaptureError(f"the forward pass draws from {whose}", where, _NUMBERS_HINT)


@dataclass
class StateWatch:
    """Globals, closure cells and module attributes that the function can reach, before it runs."""

    function: Callable[..., Any]
    before: list[tuple[str, Any, Any, Any]] = field(default_factory=list)
    modules: list[tuple[str, torch.nn.Module, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.function, torch.nn.Module):
            for path, module in self.function.named_modules():
                self.modules.append((path, module, dict(vars(module))))
                for name in vars(module):
                    if not name.startswith("_"):
                        self._note(f"self.{f'{path}.' if path else ''}{name}", vars(module), name)
            return
        owner = getattr(self.function, "__self__", None)
        if owner is None and not hasattr(self.function, "__code__"):
            owner = self.function
        if hasattr(owner, "__dict__") and not isinstance(owner, (type, torch.nn.Module)):
            for name in vars(owner):
                self._note(f"self.{name}", vars(owner), name)
        for namespace, names in _globals_read(self.function):
            for name in sorted(names):
                if name in namespace:
                    self._note(name, namespace, name)
        for name, cell in _cells(self.function):
            self.before.append((name, cell, "cell_contents", _frozen(cell.cell_contents)))

    def _note(self, label: str, owner: dict[str, Any], key: str) -> None:
        frozen = _frozen(owner[key])
        if frozen is not _UNKNOWN:
            self.before.append((label, owner, key, frozen))

    def restore(self) -> None:
        """Give modules back the attributes they had: tensors without data must not stay behind."""
        for _, module, attributes in self.modules:
            now = vars(module)
            for name in [n for n in now if n not in attributes]:
                del now[name]
            now.update(attributes)

    def check(self) -> None:
        """Raise if something the function can reach has changed; called before ``restore``."""
        for label, owner, key, old in self.before:
            new = owner.get(key) if isinstance(owner, dict) else getattr(owner, key)
            if old is not _UNKNOWN and _frozen(new) != old:
                raise CaptureError(
                    f"the forward pass changes {label} while it runs",
                    source.definition_of(self.function),
                    _STATE_HINT,
                )


_UNKNOWN = object()


def _frozen(value: Any, depth: int = 3) -> Any:
    """A value made of plain things as something that can be compared later."""
    if type(value) in _PLAIN:
        return value if value == value else "nan"
    if depth and isinstance(value, (list, tuple)) and len(value) <= 1000:
        return (type(value), *(_frozen(v, depth - 1) for v in value))
    if depth and isinstance(value, dict) and len(value) <= 1000:
        return (dict, *((_frozen(k, 0), _frozen(v, depth - 1)) for k, v in value.items()))
    return _UNKNOWN


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _globals_read(function: Any) -> Iterator[tuple[dict[str, Any], set[str]]]:
    """Namespaces and the names read from them, by the function and the helpers it names."""
    pending: list[Any] = [getattr(function, "__func__", function)]
    seen: set[int] = set()
    while pending and len(seen) < 200:
        current = pending.pop()
        code = getattr(current, "__code__", None)
        namespace = getattr(current, "__globals__", None)
        if code is None or namespace is None or id(code) in seen:
            continue
        seen.add(id(code))
        if not source.is_user_file(code.co_filename):
            continue
        names = {n for c in _codes(code) for n in c.co_names}
        yield namespace, names
        pending += [namespace[n] for n in names if hasattr(namespace.get(n), "__code__")]
        wrapped = getattr(current, "__wrapped__", None)
        if wrapped is not None:
            pending.append(wrapped)


def _cells(function: Any) -> Iterator[tuple[str, Any]]:
    code = getattr(function, "__code__", None)
    for name, cell in zip(
        getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or (), strict=False
    ):
        try:
            cell.cell_contents  # noqa: B018
        except ValueError:
            continue
        yield name, cell


def refuse_hooks(module: torch.nn.Module | None, tensors: list[tuple[str, Any]]) -> None:
    """Refuse what autograd would run besides the forward pass: hooks on modules and tensors."""
    for path, inner in module.named_modules() if module is not None else ():
        hooks = {**inner._backward_hooks, **inner._backward_pre_hooks}
        if hooks:
            raise CaptureError(
                f"the module {path or type(inner).__name__} has a backward hook, which changes or "
                "reads gradients as autograd makes them",
                source.definition_of(next(iter(hooks.values()))),
                "remove the hook (handle.remove()) before deriving",
            )
    for name, tensor in tensors:
        on_tensor = getattr(tensor, "_backward_hooks", None)
        if on_tensor:
            raise CaptureError(
                f"{name} has a hook, which changes or reads its gradient",
                source.definition_of(next(iter(on_tensor.values()))),
                "remove the hook (handle.remove()) before deriving",
            )
