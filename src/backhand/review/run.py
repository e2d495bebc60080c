"""Running handwritten statements: in their own sequence, and alone with the true upstream."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

import torch

from ..capture.source import mentioned
from ..checking.compare import same_bits
from .double import in_double
from .handwritten import Handwritten, Statement
from .names import Candidate, Names
from .reference import Setting


@dataclass(frozen=True)
class Change:
    """A tensor that a statement changed though it does not name it, or that was not its to change.

    ``through`` is the name under which it was written to.
    """

    name: str
    statement: int
    through: str


@dataclass(frozen=True)
class OwnRun:
    """The person's own run: the last value of every gradient, and what went wrong on the way.

    ``at[i, name]`` is what a name held after a statement, ``seen[i, name]`` before it.
    """

    final: Mapping[str, Any]
    at: Mapping[tuple[int, str], Any]
    seen: Mapping[tuple[int, str], Any]
    errors: Mapping[int, BaseException]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Alone:
    """What one gradient's statements give by themselves, or the error that they end in."""

    value: Any
    error: BaseException | None = None


@lru_cache(maxsize=4096)
def compiled(text: str) -> CodeType:
    """A statement's code; its text may stand indented in the person's file."""
    return compile(textwrap.dedent(text), "<handwritten>", "exec")


@contextmanager
def quietly() -> Iterator[None]:
    """Around everything handwritten: no tape, no warnings of theirs, no trace on the generator."""
    before = torch.get_default_dtype()
    try:
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=[]),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(before)


def begin(double: bool) -> None:
    """New tensors in the setting's precision, and random numbers that are the same each time."""
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    torch.default_generator.manual_seed(0)


def copied(value: Any) -> Any:
    """A tensor of the same strides with a storage of its own; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone(memory_format=torch.preserve_format)
    return value


def space_for(handwritten: Handwritten, names: Names, setting: Setting) -> dict[str, Any]:
    """What the statements find when they start: scope, forward values, and the upstream."""
    space: dict[str, Any] = {**handwritten.scope, **setting.values}
    for alias, value in handwritten.names.items():
        if value in setting.values:
            space[alias] = setting.values[value]
    for output in names.outputs:
        space.setdefault(names.label(output), setting.gradients.get(output))
    for name, make in handwritten.setup.items():
        space[name] = make(space)
    return space


@dataclass(frozen=True)
class _Held:
    """What a name held before a statement: the tensor, its version, and a copy of its numbers."""

    tensor: torch.Tensor
    version: int
    copy: torch.Tensor

    def changed(self, thorough: bool) -> bool:
        if not thorough and self.tensor._version == self.version:
            return False
        same = self.tensor.shape == self.copy.shape and self.tensor.dtype == self.copy.dtype
        return not (same and same_bits(self.tensor, self.copy))


def run_sequence(
    handwritten: Handwritten, names: Names, setting: Setting, thorough: bool = False
) -> OwnRun:
    """All statements, one after the other, in one namespace, as the person would.

    torch counts the changes of a tensor, unless they go around it (``.data``, NumPy): where that
    has happened, the run is made again, ``thorough``, comparing every number after every line.
    """
    space = {k: copied(v) for k, v in space_for(handwritten, names, setting).items()}
    held = {k: _hold(v) for k, v in space.items() if isinstance(v, torch.Tensor)}
    given = dict(held)
    at: dict[tuple[int, str], Any] = {}
    seen: dict[tuple[int, str], Any] = {}
    errors: dict[int, BaseException] = {}
    changes: list[Change] = []
    begin(setting.double)
    for i, statement in enumerate(handwritten.statements):
        if statement.blank:
            continue
        for name in statement.reads:
            if name in held and names.of(name) is not None:
                seen[i, name] = held[name].copy
        try:
            with in_double(setting.double):
                exec(compiled(statement.text), space)
        except Exception as error:
            errors[i] = error
        for name, before in held.items():
            if before.changed(thorough):
                foreign = name not in statement.writes
                if foreign or (name in given and names.of(name) is None):
                    changes.append(Change(name, i, _through(statement, space, before.tensor)))
        for name in statement.writes:
            value = space.get(name)
            kept = name in held and value is held[name].tensor
            if i in errors and names.of(name) is not None and (kept or value is None):
                value = None
                space.pop(name, None)
            at[i, name] = copied(value)
        tensors = {k: v for k, v in space.items() if isinstance(v, torch.Tensor)}
        held = {
            k: held[k] if k in held and _still(held[k], v, thorough) else _hold(v)
            for k, v in tensors.items()
        }
    final = {k: v for k, v in space.items() if names.of(k) is not None}
    told = {c.name for c in changes}
    unseen = any(g.changed(True) for k, g in given.items() if k not in told)
    if unseen and not thorough:
        return run_sequence(handwritten, names, setting, thorough=True)
    return OwnRun(final, at, seen, errors, tuple(changes))


def _hold(tensor: torch.Tensor) -> _Held:
    return _Held(tensor, tensor._version, copied(tensor))


def _still(held: _Held, tensor: torch.Tensor, thorough: bool) -> bool:
    return tensor is held.tensor and not held.changed(thorough)


def _through(statement: Statement, space: Mapping[str, Any], tensor: torch.Tensor) -> str:
    """The written name that shares the changed tensor's storage."""
    storage = tensor.untyped_storage().data_ptr()
    for name in statement.writes:
        value = space.get(name)
        if isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() == storage:
            return name
    return statement.writes[0] if statement.writes else ""


def run_alone(
    candidate: Candidate,
    statements: Sequence[Statement | str],
    handwritten: Handwritten,
    names: Names,
    setting: Setting,
    base: Mapping[str, Any],
) -> Alone:
    """The candidate's statements with every gradient that they read replaced by the true one.

    ``statements`` are those at ``needed`` and ``own``, in order; a text stands for an edited one.
    The gradient itself and temporaries are what the statements make of them. ``base`` is
    ``space_for`` this setting.
    """
    double = setting.double
    space = dict(base)
    chain: set[str] = set()
    order = sorted({*candidate.needed, *candidate.own})
    begin(double)
    for i, changed in zip(order, statements, strict=True):
        original = handwritten.statements[i]
        text = changed if isinstance(changed, str) else changed.text
        code = compiled(text)
        reads = mentioned(code) if isinstance(changed, str) else original.reads
        for name in reads:
            if name in chain:
                continue
            of = names.of(name, i)
            if of is not None and of != candidate.of:
                true = setting.gradients.get(of)
                if true is not None:
                    space[name] = copied(true)
            elif name in base:
                space[name] = copied(base[name])
        for name in original.writes:  # changed in place, perhaps
            if name not in chain and name in base:
                space[name] = copied(base[name])
        try:
            with in_double(double):
                exec(code, space)
        except Exception as error:
            return Alone(None, error)
        for name in original.writes:
            if names.of(name, i + 1) in (None, candidate.of):
                chain.add(name)
    return Alone(copied(space.get(candidate.name)))
