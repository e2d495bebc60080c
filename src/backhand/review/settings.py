"""The settings that a review looks at, made once per forward pass and its example inputs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch

from ..errors import BackhandError
from .double import doubled
from .fresh import fresh_inputs
from .reference import Reference, Setting
from .run import copied

_known: weakref.WeakKeyDictionary[Any, list[tuple[tuple[Any, ...], Settings]]] = (
    weakref.WeakKeyDictionary()
)


class Settings:
    """The given inputs as they are and in double precision, and fresh ones."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.given = reference.setting(reference.inputs)
        self.double = reference.setting([doubled(v) for v in reference.inputs])
        self.trusted = reference.agrees(self.double)
        self._fresh: dict[tuple[int, bool], Setting | None] = {}
        self._noisy: dict[tuple[Any, ...], Setting | None] = {}

    def fresh(self, seed: int, resize: bool) -> Setting | None:
        """Other inputs; with ``resize`` at other sizes. ``None`` where there are none."""
        key = seed, resize
        if key not in self._fresh:
            self._fresh[key] = self._make(seed, resize)
        return self._fresh[key]

    def _make(self, seed: int, resize: bool) -> Setting | None:
        for again in range(4):
            inputs = fresh_inputs(self.reference, seed + 10 * again, resize)
            if inputs is None:
                return None
            try:
                made = self.reference.setting(inputs, seed, fresh=True)
            except (BackhandError, RuntimeError, IndexError, TypeError, ValueError):
                return None
            if not self.reference.ties(made):
                break
        finite = all(g is None or bool(torch.isfinite(g).all()) for g in made.gradients.values())
        return made if finite and (not self.trusted or self.reference.agrees(made)) else None

    def noisy(self, seed: int, resize: bool, read: tuple[str, ...]) -> Setting | None:
        """Fresh inputs with random gradients in place of those that a line reads."""
        key = seed, resize, read
        if key not in self._noisy:
            start = self.fresh(seed, resize)
            usable = start is not None and self.trusted and bool(read)
            made = self.reference.noisy(start, read, seed) if usable and start else None
            self._noisy[key] = made
        return self._noisy[key]


def settings_for(forward: Callable[..., Any], inputs: tuple[Any, ...]) -> Settings:
    """The settings of a forward pass at these inputs, kept while the function lives."""
    try:
        kept = _known.setdefault(forward, [])
    except TypeError:
        return Settings(Reference(forward, inputs))
    for before, settings in kept:
        if len(before) == len(inputs) and all(map(_same, before, inputs)):
            return settings
    settings = Settings(Reference(forward, inputs))
    kept[:] = [*kept[-3:], (tuple(map(copied, inputs)), settings)]
    return settings


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b.detach())
    return type(a) is type(b) and not isinstance(a, torch.Tensor) and bool(a == b)

