"""What a target library is to the printer: data, and a few functions for odd spellings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from ..program.ir import Node
from ..program.ops import Op
from .shapes import Shapes

Piece: TypeAlias = tuple[str, int]


class Speaker(Protocol):
    """The printer, as a backend sees it."""

    backend: Backend
    shapes: Shapes
    fresh: set[str]

    def piece(self, arg: Any) -> Piece: ...

    def argument(self, name: str, arg: Any) -> str: ...


@dataclass(frozen=True)
class Backend:
    """A library that programs are printed for.

    ``custom`` spells some operators by a function, ``call`` all others (infix signs aside, which
    Python has one set of). ``dtype`` is the source of a dtype, ``numel`` what follows a tensor to
    give its number of elements, ``fields`` names the parts of results that have names.
    """

    name: str
    call: Callable[[Speaker, Op, Node], Piece]
    custom: Mapping[str, Callable[[Speaker, Node], Piece]]
    dtype: Callable[[str], str]
    numel: str = "numel()"
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
