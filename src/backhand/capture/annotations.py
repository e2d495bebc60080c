"""Example inputs from jaxtyping annotations: ``x: Float[Tensor, "n d"]``."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import torch

from ..errors import InputError

# Distinct small primes, so that no two named sizes are equal and no size divides another.
PRIMES = (5, 7, 3, 11, 13, 17, 19, 23, 29, 31)


def annotated_inputs(
    function: Callable[..., Any], fixed: dict[str, int] | None = None, seed: int = 0
) -> tuple[tuple[Any, ...], dict[str, tuple[str | None, ...]]]:
    """Example arguments for ``function``, and the names of their axes.

    ``fixed`` sets sizes by name. Integer tensors are filled with values that are valid for every
    dimension they could index: below the smallest size. Raises ``InputError`` when an argument has
    no jaxtyping annotation and no default.
    """
    called = function.forward if isinstance(function, torch.nn.Module) else function
    try:
        signature = inspect.signature(called)
        hints = typing.get_type_hints(called, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise InputError(_NO_INPUTS.format(error=f" ({error})")) from None
    sizes: dict[str, int] = dict(fixed or {})
    specs: list[tuple[str, Any, list[str]]] = []
    for p in signature.parameters.values():
        if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        hint = hints.get(p.name)
        dims = getattr(hint, "dim_str", None)
        if dims is None:
            if p.default is not p.empty:
                continue
            if hint is int and p.name in sizes:
                specs.append((p.name, None, []))
                continue
            raise InputError(_NO_INPUTS.format(error=f" ({p.name} has no jaxtyping annotation)"))
        words = [_word(w) for w in str(dims).split()]
        for word in words:
            if word.isidentifier() and word not in sizes:
                sizes[word] = next(s for s in _sizes() if s not in sizes.values())
        specs.append((p.name, hint, words))
    generator = torch.Generator().manual_seed(seed)
    arguments: list[Any] = []
    names: dict[str, tuple[str | None, ...]] = {}
    least = min(sizes.values(), default=2)
    for name, hint, words in specs:
        if hint is None:
            arguments.append(sizes[name])
            continue
        shape = tuple(_size(w, sizes, name) for w in words)
        names[name] = tuple(w if w.isidentifier() else None for w in words)
        arguments.append(_tensor(hint, shape, least, generator))
    if not arguments:
        raise InputError(_NO_INPUTS.format(error=""))
    return tuple(arguments), names


_NO_INPUTS = (
    "there are no example inputs{error}: pass them, define example_inputs() beside the target, or "
    'annotate every argument with jaxtyping, as in x: Float[Tensor, "n d"]'
)


def _sizes() -> Any:
    yield from PRIMES
    number = 37
    while True:
        if all(number % p for p in range(2, int(number**0.5) + 1)):
            yield number
        number += 2


def _word(word: str) -> str:
    return word.partition("=")[2].lstrip("#*") if "=" in word else word.lstrip("#*")


def _size(word: str, sizes: dict[str, int], name: str) -> int:
    if word.isdigit():
        return int(word)
    if word in sizes:
        return sizes[word]
    try:
        value = eval(compile(word, "<annotation>", "eval"), {"__builtins__": {}}, dict(sizes))
    except (SyntaxError, NameError, TypeError):
        value = None
    if not isinstance(value, int):
        raise InputError(f"the axis {word!r} of {name} is not understood: use names, numbers or sums")
    return value


def _tensor(hint: Any, shape: tuple[int, ...], least: int, g: torch.Generator) -> torch.Tensor:
    dtypes = [str(d).removeprefix("torch.") for d in getattr(hint, "dtypes", ())]
    if any(d.startswith("bool") for d in dtypes) and not any("float" in d for d in dtypes):
        return torch.rand(shape, generator=g) < 0.5
    if any("float" in d for d in dtypes) or not dtypes:
        wanted = "float32" if not dtypes or "float32" in dtypes else dtypes[0]
        return torch.randn(shape, generator=g).to(getattr(torch, wanted, torch.float32))
    wanted = "int64" if "int64" in dtypes else dtypes[0]
    return torch.randint(0, max(least, 1), shape, generator=g).to(getattr(torch, wanted, torch.int64))
