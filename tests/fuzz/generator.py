"""Random programs, made one statement at a time while they run, so that every statement fits."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .program import HELPERS, Input, Listed, Program, Sizes, Statement, seeded

BATCH = 11  # a prime above every other size: its multiples in a shape are the batch's

_HELPERS: dict[str, Any] = {"torch": torch, "F": F}
exec(HELPERS, _HELPERS)


class Unfit(Exception):
    """No value is there that the statement could take."""


@dataclass
class State:
    """A program in the making: its values so far, by name, and the dice."""

    dice: random.Random
    batch: int | None
    inputs: list[Input] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    frozen: set[int] = field(default_factory=set)  # storages that must not be written to
    counter: int = 0

    # picking operands

    def names(self, fits: Callable[[Tensor], bool]) -> list[str]:
        found = []
        for name, t in self.values.items():
            with suppress(RuntimeError):  # a view that autograd has given up cannot be looked at
                if fits(t):
                    found.append(name)
        return found

    def pick(self, fits: Callable[[Tensor], bool] = lambda t: True) -> str:
        """A floating value that fits: a recent or unread one more often than not."""
        found = self.names(lambda t: t.is_floating_point() and fits(t))
        if not found:
            raise Unfit
        if self.dice.random() < 0.4:
            return self.dice.choice(found[-3:])
        unread = [name for name in found if name not in self.read]
        if unread and self.dice.random() < 0.5:
            return self.dice.choice(unread)
        return self.dice.choice(found)

    def ranked(self, low: int = 1, high: int = 9) -> str:
        return self.pick(lambda t: low <= t.dim() <= high)

    def like(self, name: str) -> str:
        """A value of the same shape."""
        shape = self.values[name].shape
        return self.pick(lambda t: t.shape == shape)

    def broadcastable(self, name: str, onto: bool = False) -> str:
        """A value that broadcasts with this one (``onto``: to its shape)."""
        shape = self.values[name].shape

        def fits(t: Tensor) -> bool:
            try:
                together = torch.broadcast_shapes(t.shape, shape)
            except RuntimeError:
                return False
            return together == shape if onto else len(together) <= 5

        return self.pick(fits)

    def writable(self, fits: Callable[[Tensor], bool] = lambda t: True) -> str:
        """A value that may be updated in place: not an input's storage, nor a detached one."""
        return self.pick(
            lambda t: (
                (t.is_leaf is False or not t.requires_grad)
                and t.untyped_storage().data_ptr() not in self.frozen
                and fits(t)
            )
        )

    def mask(self, name: str) -> str:
        """A mask that broadcasts to the value's shape, as text."""
        shape = self.values[name].shape
        found = self.names(lambda t: t.dtype is torch.bool and _onto(t, shape))
        if found and self.dice.random() < 0.5:
            return self.dice.choice(found)
        other = self.broadcastable(name, onto=True)
        return f"({other} {self.dice.choice(['>', '<', '>=', '==', '!='])} 0)"

    # picking arguments

    def dim(self, name: str, extra: int = 0) -> int:
        rank = self.values[name].dim() + extra
        if rank == 0:
            raise Unfit
        dim = self.dice.randrange(rank)
        return dim - rank if self.dice.random() < 0.4 else dim

    def dims(self, name: str) -> tuple[int, ...]:
        rank = self.values[name].dim()
        if rank == 0:
            raise Unfit
        return tuple(sorted(self.dice.sample(range(rank), self.dice.randint(1, rank))))

    def size(self, name: str, dim: int) -> int:
        return self.values[name].shape[dim]

    def fixed_size(self, name: str, dim: int) -> int:
        """The size of an axis that literal positions may be made for."""
        size = self.size(name, dim)
        return min(size, 3) if self.batch is not None and size % self.batch == 0 else size

    def positions(self, size: int, count: int, negative: bool = True) -> Listed:
        """Indices into an axis, repeated ones included."""
        if size == 0:
            raise Unfit
        low = -size if negative and self.dice.random() < 0.2 and self.batch is None else 0
        return Listed(self.dice.randrange(low, size) for _ in range(count))

    def number(self) -> float | int:
        return self.dice.choice([2, 0.5, -1.5, 3.0, 1, -1, 0.0, 0.1])

    def factored(self, total: int) -> Sizes:
        """A shape with that many elements."""
        if total == 0:
            return Sizes(self.dice.choice([(0,), (2, 0), (0, 3), (1, 0)]))
        rest, sizes = total, []
        if self.batch is not None and rest % self.batch == 0:
            sizes.append(self.batch)
            rest //= self.batch
        for p in (2, 2, 3, 3, 5):
            if rest % p == 0 and self.dice.random() < 0.6:
                sizes.append(p)
                rest //= p
        sizes.append(rest)
        if self.dice.random() < 0.2:
            sizes.append(1)
        self.dice.shuffle(sizes)
        return Sizes(sizes)

    def fresh(self) -> str:
        self.counter += 1
        return f"{self.dice.choice('habuvsqk')}{self.counter}"

    # growing

    def attempt(self, statement: Statement) -> bool:
        """Run a statement and keep it if it runs and its results are worth keeping."""
        space: dict[str, Any] = {**_HELPERS, **self.values}
        source = statement.source(self.batch)
        versions = {name: t._version for name, t in self.values.items()}
        if self.batch is not None:
            space["n"] = self.batch
        try:
            with torch.enable_grad():
                exec(source, space)
        except (RuntimeError, IndexError, TypeError, ValueError):
            # nothing may be left half done by a statement that failed
            if any(t._version != versions[name] for name, t in self.values.items()):
                raise Unfit from None
            return False
        made = {name: space[name] for name in statement.targets}
        if any(not isinstance(t, Tensor) or t.dim() > 5 or t.numel() > 2000 for t in made.values()):
            return False
        if any(_hopeless(t) for t in made.values()) and self.dice.random() < 0.8:
            return False
        self.values.update(made)
        if ".detach()" in source:
            self.frozen |= {t.untyped_storage().data_ptr() for t in made.values()}
        if "no_grad" in source:
            self.frozen |= {t.untyped_storage().data_ptr() for t in made.values()}
        self.read.update(statement.operands)
        for name in made:
            self.read.discard(name)
        self.statements.append(statement)
        return True


def _onto(t: Tensor, shape: torch.Size) -> bool:
    try:
        return torch.broadcast_shapes(t.shape, shape) == shape
    except RuntimeError:
        return False


def clash(written: Tensor, read: Tensor) -> bool:
    """Whether an update reads memory that it writes to, but not element by element.

    What comes out depends on the order in which torch's kernel goes through the elements.
    """
    written, read = written.detach(), read.detach()
    if written.untyped_storage().data_ptr() != read.untyped_storage().data_ptr():
        return False
    same = written.storage_offset() == read.storage_offset() and written.stride() == read.stride()
    if same and written.shape == read.shape:
        return False
    memory = torch.arange(written.untyped_storage().nbytes())
    a, b = (
        set(memory.as_strided(t.shape, t.stride(), t.storage_offset()).flatten().tolist())
        for t in (written, read)
    )
    return not a.isdisjoint(b)


@torch.no_grad()  # some views of what has changed since may not be read on the tape
def _hopeless(t: Tensor) -> bool:
    """A result in which nothing is left to be told: no finite element."""
    return t.is_floating_point() and t.numel() > 0 and not bool(torch.isfinite(t).any())


Kind = Callable[[State], Statement]


def generate(seed: int, batch: bool = False, kinds: dict[str, float] | None = None) -> Program:
    """The program of a seed. ``batch``: one size is kept open, so that it can be run at others.

    ``kinds`` weighs the kinds of statements by name; all of them as they stand if left out.
    """
    from .kinds import KINDS

    dice = seeded(seed)
    state = State(dice, BATCH if batch else None)
    _inputs(state, dice)
    weights = [
        weight * (1.0 if kinds is None else kinds.get(kind.__name__, 0.0)) for kind, weight in KINDS
    ]
    wanted = dice.choice([1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9, 12])
    tries = 0
    with warnings.catch_warnings():  # torch's own, about odd but legal calls
        warnings.simplefilter("ignore")
        while len(state.statements) < wanted and tries < 80:
            tries += 1
            kind = dice.choices(KINDS, weights)[0][0]
            with suppress(Unfit):
                state.attempt(kind(state))
    return _finished(state, seed)


def _inputs(state: State, dice: random.Random) -> None:
    """Two to four arguments whose sizes have to do with one another, so that operands fit."""
    pool = dice.choice([(2, 3), (3, 4), (2, 4), (3,), (1, 3), (2, 1, 3), (4, 2, 3), (0, 3)])
    batch = state.batch
    main = torch.float32 if dice.random() < 0.2 else torch.float64
    mixed = dice.random() < 0.1
    kind = dice.choices(["normal", "ties", "edges", "positive", "special"], [50, 18, 18, 10, 4])[0]
    for i, name in enumerate("xwyz"[: dice.choice([1, 2, 2, 2, 3, 3, 4])]):
        rank = dice.choices(range(5), [8, 25, 45, 17, 5])[0]
        shape = [dice.choice(pool) for _ in range(rank)]
        if rank and dice.random() < 0.15:
            shape[dice.randrange(rank)] = 1
        if batch is not None and rank and (i == 0 or dice.random() < 0.5):
            shape[0] = batch
        if batch is not None and i == 0 and not rank:
            shape = [batch]
        other = torch.float32 if main is torch.float64 else torch.float64
        dtype = other if mixed and dice.random() < 0.5 else main
        kept = kind if dice.random() < 0.7 else "normal"
        _add(state, Input(name, tuple(shape), dtype, kept))
    if dice.random() < 0.35:
        shape = tuple(dice.choice(pool) for _ in range(dice.randint(0, 2)))
        _add(state, Input("i", shape, torch.int64, "index"))
    if dice.random() < 0.2:
        like = dice.choice(state.inputs).shape
        _add(state, Input("m", like, torch.bool, "bool"))


def _add(state: State, new: Input) -> None:
    value = new.value(0)
    if new.dtype.is_floating_point:
        value.requires_grad_()
    state.inputs.append(new)
    state.values[new.name] = value
    state.frozen.add(value.untyped_storage().data_ptr())


def _finished(state: State, seed: int) -> Program:
    """What nobody read yet is returned, so that every statement counts."""
    dice = state.dice
    made = [t for s in state.statements for t in s.targets]
    unread = [name for name in dict.fromkeys(made) if name not in state.read]
    floating = [name for name in unread if state.values[name].requires_grad]
    written = [s.operands[0] for s in state.statements if not s.targets]
    floating += [n for n in written if state.values[n].requires_grad]
    if not floating:
        floating = [n for n in made if state.values[n].requires_grad][-1:]
    outputs = list(dict.fromkeys(floating))
    form = dice.choices(["loss", "tuple", "dict"], [50, 42, 8])[0]
    if form != "loss" and dice.random() < 0.15 and made:
        outputs.append(dice.choice(made))  # once more, or one that others read, or no gradient
    return Program(
        tuple(state.inputs), tuple(state.statements), tuple(outputs), form, seed, state.batch
    )
