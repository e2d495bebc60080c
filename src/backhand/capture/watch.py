"""What a forward pass must leave as it was: random states, globals, the attributes of modules.

A number that the forward pass takes from such a place is fixed in what is derived. If the place
changes while the function runs, the next call would be another function, so it is refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
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


class StateWatch:
    """Globals, closure cells and attributes that the function can reach, made before it runs.

    What they hold is fixed in what is derived: a change while the function runs is refused, and a
    change between two calls asks for a derivation of its own.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = getattr(function, "func", function)  # a functools.partial is its function
        owner = getattr(self.function, "__self__", None)
        if not hasattr(self.function, "__code__") and owner is None:
            owner = self.function
        self.module = owner if isinstance(owner, torch.nn.Module) else None
        self.places = list(self._places(owner))
        self.before = [(*place, _frozen(_held(*place[1:]))) for place in self.places]
        modules = () if self.module is None else self.module.modules()
        self.attributes = [(m, dict(vars(m))) for m in modules]
        self.constants: frozenset[int] = frozenset()
        self.then: tuple[Any, ...] = ()

    def _places(self, owner: Any) -> Iterator[tuple[str, Any, str]]:
        if self.module is not None:
            for path, module in self.module.named_modules():
                for name in _public(module):
                    yield f"self.{path}{'.' if path else ''}{name}", vars(module), name
        elif hasattr(owner, "__dict__") and not isinstance(owner, type):
            for name in vars(owner):
                yield f"self.{name}", vars(owner), name
        for namespace, names in _globals_read(self.function):
            for name in sorted(names & namespace.keys()):
                yield name, namespace, name
        for name, cell in _cells(self.function):
            yield name, cell, "cell_contents"
        for name, value in _defaults(self.function):
            yield name, {name: value}, name

    def restore(self) -> None:
        """Give modules back the attributes they had: no tensor without data may stay behind."""
        for module, attributes in self.attributes:
            now = vars(module)
            for name in [n for n in now if n not in attributes]:
                del now[name]
            now.update(attributes)

    def check(self) -> None:
        """Raise if something the function can reach has changed; called before ``restore``."""
        for label, owner, key, old in self.before:
            if old != _frozen(_held(owner, key)):
                raise CaptureError(
                    f"the forward pass changes {label} while it runs",
                    source.definition_of(self.function),
                    _STATE_HINT,
                )

    def settle(self, constants: Iterable[torch.Tensor]) -> None:
        """Remember the state for ``changed``; ``constants`` are tensors the program has fixed."""
        self.constants = frozenset(map(id, constants))
        self.then = self.now()

    def now(self) -> tuple[Any, ...]:
        """What the function's surroundings hold, as something to compare and to look up by."""
        own = () if self.module is None else _module_state(self.module, self.constants)
        return own, *(
            _frozen(_held(owner, key), self.constants)
            for _, owner, key in self.places
            if self.module is None or not isinstance(owner, dict) or "_modules" not in owner
        )

    def changed(self) -> tuple[Any, ...]:
        """Empty while everything is as it was at the derivation, else the present state."""
        if self.module is None and not self.places:
            return ()
        now = self.now()
        return () if now == self.then else now


def _held(owner: Any, key: str) -> Any:
    return owner.get(key) if isinstance(owner, dict) else getattr(owner, key, None)


def _public(module: torch.nn.Module) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]


def _module_state(module: torch.nn.Module, constants: frozenset[int]) -> tuple[Any, ...]:
    """A module's structure, modes and plain attributes, without its parameters' values."""
    parts = tuple(
        (path, type(m), *((n, _frozen(vars(m)[n], constants)) for n in _public(m)))
        for path, m in module.named_modules()
    )
    return (
        parts,
        tuple((name, p.requires_grad) for name, p in module.named_parameters()),
        tuple(name for name, _ in module.named_buffers()),
    )


_UNKNOWN = "…"


def _frozen(value: Any, constants: frozenset[int] = frozenset(), depth: int = 3) -> Any:
    """A value made of plain things (or the place of a fixed tensor) as something to compare."""
    if type(value) in _PLAIN:
        return (type(value), value if value == value else "nan")
    if isinstance(value, torch.Tensor):
        return id(value) if id(value) in constants else _UNKNOWN
    if isinstance(value, torch.nn.Module):
        return _module_state(value, constants) if depth else _UNKNOWN
    if depth and isinstance(value, (list, tuple)) and len(value) <= 1000:
        return (type(value), *(_frozen(v, constants, depth - 1) for v in value))
    if depth and isinstance(value, dict) and len(value) <= 1000:
        pairs = value.items()
        return (dict, *((_frozen(k, depth=0), _frozen(v, constants, depth - 1)) for k, v in pairs))
    return _UNKNOWN


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
        names = source.mentioned(code)
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


def _defaults(function: Any) -> Iterator[tuple[str, Any]]:
    """Default arguments, which are made once and keep what a call does to them."""
    code = getattr(function, "__code__", None)
    positional = getattr(function, "__defaults__", None) or ()
    names = () if code is None else code.co_varnames[: code.co_argcount]
    yield from zip(names[len(names) - len(positional) :], positional, strict=False)
    yield from (getattr(function, "__kwdefaults__", None) or {}).items()


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
