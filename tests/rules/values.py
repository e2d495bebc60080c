"""Tensors for the samples of rules: what each kind of ``T`` is made of."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

from backhand.rules import T

# What every elementwise operator is tried on, besides the kinks that its rule names.
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e30, -1e30, math.inf, -math.inf, math.nan)


def generator(*parts: object) -> torch.Generator:
    """Random numbers that depend on ``parts`` alone."""
    return torch.Generator().manual_seed(zlib.crc32(repr(parts).encode()))


def tensor(t: T, dtype: torch.dtype, rng: torch.Generator, special: tuple[float, ...]) -> Any:
    """A tensor of the kind that ``t`` asks for."""
    if t.kind == "bool":
        return torch.rand(t.shape, generator=rng) < 0.5
    if t.kind == "index":
        return torch.randint(0, max(t.high, 1), t.shape, generator=rng)
    made = _KINDS[t.kind](t.shape, rng) if t.kind != "special" else None
    if made is None:
        made = chosen(t.shape, (*SPECIAL, *special), rng)
    return made.to(dtype)


def chosen(shape: tuple[int, ...], values: tuple[float, ...], rng: torch.Generator) -> torch.Tensor:
    """A tensor whose elements are drawn from ``values``."""
    table = torch.tensor(values, dtype=torch.float64)
    return table[torch.randint(0, len(values), shape, generator=rng)]


def normal(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def _uniform(low: float, high: float) -> Callable[..., torch.Tensor]:
    def make(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=rng, dtype=torch.float64)

    return make


def _distinct(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    n = math.prod(shape)
    return (torch.randperm(n, generator=rng).double() - n / 2 + 0.25).reshape(shape) / 4


def _ties(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.randint(-1, 2, shape, generator=rng).double()


def _definite(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    x = normal(shape, rng)
    return x @ x.mT + torch.eye(shape[-1], dtype=torch.float64)


_KINDS: dict[str, Callable[..., torch.Tensor]] = {
    "normal": normal,
    "positive": _uniform(0.2, 2.0),
    "above": _uniform(1.1, 3.0),
    "unit": _uniform(-0.95, 0.95),
    "open": _uniform(0.05, 0.95),
    "distinct": _distinct,
    "ties": _ties,
    "definite": _definite,
}


def tensors_in(arg: Any) -> Iterator[T]:
    """Every ``T`` of an argument, nested tuples included."""
    if isinstance(arg, T):
        yield arg
    elif isinstance(arg, (tuple, list)):
        for item in arg:
            yield from tensors_in(item)


def map_tensors(arg: Any, fn: Callable[[T], Any]) -> Any:
    """The argument with every ``T`` replaced."""
    if isinstance(arg, T):
        return fn(arg)
    if isinstance(arg, (tuple, list)):
        return tuple(map_tensors(item, fn) for item in arg)
    return arg
