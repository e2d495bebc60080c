"""Example inputs from jaxtyping annotations: ``x: Float[Tensor, "n d"]``."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import InputError
from .inputs import called_by

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
    called = called_by(function)
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        named = getattr(called, "__name__", type(called).__name__)
        raise InputError(_NO_INPUTS.format(error=f" ({named} has no signature)")) from None
    try:
        hints = typing.get_type_hints(called, include_extras=True)
    except Exception as error:  # an annotation is an expression of the user's
        raise InputError(_NO_INPUTS.format(error=f" ({error})")) from None
    sizes: dict[str, int] = dict(fixed or {})
    used: set[str] = set()
    specs: list[_Spec] = []
    for p in signature.parameters.values():
        if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        hint = hints.get(p.name)
        dims = getattr(hint, "dim_str", None)
        if dims is None:
            if hint is int and p.name in sizes:
                used.add(p.name)
                specs.append(_Spec(p.name, value=sizes[p.name]))
            elif p.default is not p.empty:
                specs.append(_Spec(p.name, value=p.default, default=True))
            else:
                lacking = f" ({p.name} has no jaxtyping annotation)"
                raise InputError(_NO_INPUTS.format(error=lacking))
            continue
        if p.kind is p.KEYWORD_ONLY:
            raise InputError(_NO_INPUTS.format(error=f" ({p.name} can be given by name only)"))
        words = [_word(w) for w in str(dims).split()]
        specs.append(_Spec(p.name, hint, words))
        used.update(*(_NAME.findall(w) for w in words))
        for word in words:
            if _named(word) and word not in sizes:
                sizes[word] = _fresh(sizes.values())
    odd = sorted(fixed.keys() - used) if fixed else []
    if odd:
        known = ", ".join(sorted(used - {"_"})) or "none"
        raise InputError(f"no annotation has a size named {odd[0]!r} (the sizes are: {known})")
    while specs and specs[-1].default:
        specs.pop()  # the function's own defaults will do
    return _made(specs, sizes, seed)


@dataclass(frozen=True)
class _Spec:
    """An argument to be made: by its annotation, or a value that is already known."""

    name: str
    hint: Any = None
    words: Sequence[str] = ()
    value: Any = None
    default: bool = False


def _made(
    specs: Sequence[_Spec], sizes: dict[str, int], seed: int
) -> tuple[tuple[Any, ...], dict[str, tuple[str | None, ...]]]:
    shapes: dict[str, tuple[int, ...]] = {}
    names: dict[str, tuple[str | None, ...]] = {}
    taken = list(sizes.values())
    for spec in specs:
        if spec.hint is None:
            continue
        shape: list[int] = []
        for word in spec.words:
            if word in _ANONYMOUS:
                taken.append(_fresh(taken))
                shape.append(taken[-1])
            else:
                shape.append(_size(word, sizes, spec.name))
        shapes[spec.name] = tuple(shape)
        names[spec.name] = tuple(w if _named(w) else None for w in spec.words)
    if not shapes:
        raise InputError(_NO_INPUTS.format(error=""))
    # an index may go into any axis that is there
    least = min((s for shape in shapes.values() for s in shape), default=2)
    generator = torch.Generator().manual_seed(seed)
    arguments: list[Any] = []
    for spec in specs:
        if spec.hint is None:
            arguments.append(spec.value)
            continue
        try:
            arguments.append(_tensor(spec.hint, shapes[spec.name], least, generator))
        except (RuntimeError, TypeError, MemoryError) as error:
            wanted = "×".join(map(str, shapes[spec.name]))
            raise InputError(
                f"{spec.name} cannot be made with shape {wanted}: {_short(error)}"
            ) from None
    return tuple(arguments), names


def _short(error: BaseException) -> str:
    text = str(error)
    if "allocate" in text or isinstance(error, MemoryError):
        return "it does not fit into memory"
    return (text.splitlines() or [type(error).__name__])[0]


_NO_INPUTS = (
    "there are no example inputs{error}: pass them, define example_inputs() beside the target, or "
    'annotate every argument with jaxtyping, as in x: Float[Tensor, "n d"]'
)


# Axes without a name of their own: each gets a size that no other axis has.
_ANONYMOUS = ("_", "...")
_NAME = re.compile(r"[^\W\d]\w*")


def _named(word: str) -> bool:
    return word.isidentifier() and word != "_"


def _fresh(taken: Iterable[int]) -> int:
    known = set(taken)
    return next(size for size in _sizes() if size not in known)


def _sizes() -> Iterator[int]:
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
    except Exception:  # whatever the user wrote between the quotes
        value = None
    if not isinstance(value, int) or value < 0:
        raise InputError(
            f"the axis {word!r} of {name} is not understood: use names, numbers or sums"
        )
    return value


def _tensor(hint: Any, shape: tuple[int, ...], least: int, g: torch.Generator) -> torch.Tensor:
    dtypes = [str(d).removeprefix("torch.") for d in getattr(hint, "dtypes", ())]
    if any(d.startswith("bool") for d in dtypes) and not any("float" in d for d in dtypes):
        return torch.rand(shape, generator=g) < 0.5
    if any("float" in d for d in dtypes) or not dtypes:
        wanted = "float32" if not dtypes or "float32" in dtypes else dtypes[0]
        return torch.randn(shape, generator=g).to(getattr(torch, wanted, torch.float32))
    wanted = "int64" if "int64" in dtypes else dtypes[0]
    whole = torch.randint(0, max(least, 1), shape, generator=g)
    return whole.to(getattr(torch, wanted, torch.int64))
