"""A random program as data: inputs, statements and outputs, and the source they stand for."""

from __future__ import annotations

import itertools
import linecache
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

# What programs call besides torch: names inside a helper are recovered per call.
HELPERS = """\
def centred(v):
    middle = v.mean(-1, keepdim=True)
    return v - middle


def gate(v, u):
    opened = torch.sigmoid(v)
    shut = 1 - opened
    return v * opened + u * shut


def twice(v):
    v = v + v
    return v * v


def halves(v):
    first, second = v.chunk(2, -1)
    return first, second
"""

EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, 1e-8, -1e-8, 6.0, -6.0, 30.0, -30.0)
SPECIAL = (float("nan"), float("inf"), float("-inf"), 1e30, -1e30, 1e-30, 0.0, -0.0)


@dataclass(frozen=True)
class Input:
    """An argument: ``kind`` is one of normal, ties, edges, special, positive, index, bool."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    kind: str

    def value(self, seed: int) -> torch.Tensor:
        """The argument's values, the same ones for the same seed."""
        generator = torch.Generator().manual_seed(seed)

        def picked(among: Sequence[float]) -> torch.Tensor:
            which = torch.randint(len(among), self.shape, generator=generator)
            return torch.tensor(among, dtype=torch.float64)[which]

        if self.kind == "index":
            return torch.randint(0, 2, self.shape, generator=generator).to(self.dtype)
        if self.kind == "bool":
            return torch.randint(0, 2, self.shape, generator=generator).bool()
        if self.kind == "ties":
            return torch.randint(-2, 3, self.shape, generator=generator).to(self.dtype)
        noise = torch.randn(self.shape, generator=generator, dtype=torch.float64)
        if self.kind == "positive":
            noise = noise.abs() + 0.1
        if self.kind == "edges":
            some = torch.rand(self.shape, generator=generator) < 0.6
            noise = torch.where(some, picked(EDGES), noise)
        if self.kind == "special":
            some = torch.rand(self.shape, generator=generator) < 0.2
            noise = torch.where(some, picked(SPECIAL), noise)
        return noise.to(self.dtype)


class Sizes(tuple[int, ...]):
    """A shape among a statement's arguments: multiples of the batch size are written with ``n``."""


class Listed(tuple[int, ...]):
    """Positions among a statement's arguments, written as a list."""

    def __repr__(self) -> str:
        return repr(list(self))


@dataclass(frozen=True)
class Statement:
    """``text`` with its places filled in: ``{t}`` targets, ``{0}`` … operands, ``{a}`` … arguments.

    Targets are the names it binds (none for an update in place).
    """

    text: str
    targets: tuple[str, ...]
    operands: tuple[str, ...]
    arguments: tuple[Any, ...] = ()

    def source(self, batch: int | None) -> str:
        """The statement as Python text."""
        filled = dict(zip("abcdef", (literal(v, batch) for v in self.arguments), strict=False))
        return self.text.format(*self.operands, t=", ".join(self.targets), **filled)


def literal(value: Any, batch: int | None) -> str:
    """An argument as Python text."""
    if isinstance(value, Sizes):
        return "(" + "".join(f"{_size(s, batch)}, " for s in value).rstrip() + ")"
    if isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    return repr(value)


def _size(size: int, batch: int | None) -> str:
    if batch is None or size <= 0 or size % batch:
        return str(size)
    return "n" if size == batch else f"{size // batch} * n"


@dataclass(frozen=True)
class Program:
    """A function of ``inputs``; ``batch`` is the size written ``n``, if it may vary.

    ``form`` says what is returned: ``loss`` (a scalar made of all results), ``tuple`` or ``dict``.
    """

    inputs: tuple[Input, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[str, ...]
    form: str
    seed: int
    batch: int | None = None

    @property
    def sound(self) -> bool:
        """Whether a size that is open occurs in an input, from which it can be read."""
        return self.batch is None or any(self.batch in x.shape for x in self.inputs)

    def values(self, batch: int | None = None) -> list[torch.Tensor]:
        """The arguments, at another batch size if one is given."""
        return [self.resized(x, batch).value(self.seed * 64 + i) for i, x in enumerate(self.inputs)]

    def resized(self, x: Input, batch: int | None) -> Input:
        if batch is None or self.batch is None:
            return x
        shape = tuple(batch if s == self.batch else s for s in x.shape)
        return Input(x.name, shape, x.dtype, x.kind)

    def source(self) -> str:
        """The function ``f`` as Python text, the helpers it calls before it."""
        lines = [f"def f({', '.join(x.name for x in self.inputs)}):"]
        body: list[str] = []
        for statement in self.statements:
            body += statement.source(self.batch).splitlines()
        body.append(self._returned())
        if self.batch is not None and any(_reads_n(line) for line in body):
            named = next(x for x in self.inputs if self.batch in x.shape)
            body.insert(0, f"n = {named.name}.shape[{named.shape.index(self.batch)}]")
        lines += [f"    {line}" for line in body]
        text = "\n".join(lines) + "\n"
        calls = any(f"{h}(" in text for h in ("centred", "gate", "twice", "halves"))
        return f"{HELPERS}\n\n{text}" if calls else text

    def _returned(self) -> str:
        if self.form == "loss":
            return "return " + " + ".join(f"{name}.sum()" for name in self.outputs)
        if self.form == "dict":
            return (
                "return {" + ", ".join(f'"{o}{i}": {o}' for i, o in enumerate(self.outputs)) + "}"
            )
        if len(self.outputs) == 1:
            return f"return {self.outputs[0]}"
        return f"return {', '.join(self.outputs)}"


def _reads_n(line: str) -> bool:
    return re.search(r"(?<![.\w])n\b", line) is not None


_numbers: Iterator[int] = itertools.count()


@contextmanager
def compiled(source: str) -> Iterator[Callable[..., Any]]:
    """The function ``f`` of a source, whose lines ``linecache`` knows as long as it is in use."""
    filename = f"<program {next(_numbers)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    space: dict[str, Any] = {"torch": torch, "F": F, "__name__": "fuzzed"}
    try:
        exec(compile(source, filename, "exec"), space)
        yield space["f"]
    finally:
        linecache.cache.pop(filename, None)


def seeded(seed: int) -> random.Random:
    """A generator for a program's seed: the same program on any machine and in any order."""
    return random.Random(f"backhand {seed}")
