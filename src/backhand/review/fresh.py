"""Fresh inputs: other numbers of the same kind, at sizes that are small, prime and different."""

from __future__ import annotations

from typing import Any

import torch

from .reference import Reference

PRIMES = (5, 7, 3, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43)


def fresh_inputs(reference: Reference, seed: int, resize: bool) -> list[Any] | None:
    """Made-up inputs like the given ones; ``None`` where these sizes cannot be had."""
    sizes = _sizes(reference, seed) if resize else reference.program.hints()
    if sizes is None:
        return None
    generator = torch.Generator().manual_seed(1000 + seed)
    tensors = [v.name for v in reference.leaves if v.kind != "int"]
    axes = [n for name in tensors for n in _shape(reference, name, sizes)]
    smallest = min((n for n in axes if n > 1), default=2)
    out: list[Any] = []
    for leaf, value in zip(reference.leaves, reference.inputs, strict=True):
        if not isinstance(value, torch.Tensor):
            symbol = next((s for s in reference.symbols if s.input == leaf.name), None)
            out.append(sizes[symbol.name] if symbol is not None and resize else value)
            continue
        shape = _shape(reference, leaf.name, sizes)
        out.append(_like(value, shape, generator, smallest if resize else 0))
    try:
        like = [_single(v, w) for v, w in zip(out, reference.inputs, strict=True)]
        return out if reference.fits(like) else None
    except (RuntimeError, ValueError, TypeError):
        return None


def _single(new: Any, old: Any) -> Any:
    return new.to(old.dtype) if isinstance(old, torch.Tensor) else new


def _shape(reference: Reference, name: str, sizes: dict[str, int]) -> list[int]:
    value = next(v for v in reference.program.inputs if v.name == name)
    return [d if isinstance(d, int) else d.evaluate(sizes) for d in value.shape]


def _sizes(reference: Reference, seed: int) -> dict[str, int] | None:
    """A different prime for every size, turned by the seed so that two draws differ."""
    names = [s.name for s in reference.symbols]
    if len(names) > len(PRIMES):
        return None
    first = PRIMES[: max(len(names), 4)]
    turned = [first[(i + seed) % len(first)] for i in range(len(names))]
    sizes = dict(zip(names, turned, strict=True))
    return sizes if reference.holds_at(sizes) else None


def _like(
    value: torch.Tensor, shape: list[int], generator: torch.Generator, below: int
) -> torch.Tensor:
    count = 1
    for n in shape:
        count *= n
    flat = value.reshape(-1)
    if flat.numel() == 0 or count == 0:
        return value.new_zeros(shape)
    picked = flat[torch.randint(0, flat.numel(), (count,), generator=generator)].reshape(shape)
    if value.dtype == torch.bool:
        return picked
    if not value.is_floating_point():
        return picked % below if below else picked
    # signs and sizes stay what they are: a logarithm's argument stays positive
    factor = 0.75 + 0.5 * torch.rand(shape, generator=generator, dtype=torch.float64)
    out = picked.double() * factor
    if float(flat.abs().max()) == 0.0:
        out = out + 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return out
