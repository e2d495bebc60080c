"""``range`` and ``math.sqrt`` that understand symbolic sizes.

With them ``logprobs[range(n), Yb]`` and ``scores / math.sqrt(d)`` stay general in ``n`` and ``d``.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class SymbolicRange:
    """``range(n)`` for a symbolic ``n``. Indexing with it keeps ``n``; looping over it fixes ``n``.

    It has no length and no items on purpose: torch would read those, and fix ``n``, before
    anybody is asked.
    """

    def __init__(self, start: Any, stop: Any, step: Any) -> None:
        self.start, self.stop, self.step = start, stop, step

    def concrete(self) -> range:
        return builtins.range(int(self.start), int(self.stop), int(self.step))

    def tensor(self) -> torch.Tensor:
        # torch works the length out symbolically only when the start and the step are left out
        if isinstance(self.start, int) and self.start == 0 and self.step == 1:
            return torch.arange(self.stop)
        return torch.arange(self.start, self.stop, self.step)

    def __iter__(self) -> Iterator[int]:
        return iter(self.concrete())

    def __reversed__(self) -> Iterator[int]:
        return reversed(self.concrete())


def symbolic_range(*args: Any) -> range | SymbolicRange:
    """``range`` as the user's code sees it during capture."""
    if not any(isinstance(a, torch.SymInt) for a in args):
        return builtins.range(*args)
    if len(args) == 1:
        return SymbolicRange(0, args[0], 1)
    start, stop, *step = args
    return SymbolicRange(start, stop, step[0] if step else 1)


_sqrt = math.sqrt


def symbolic_sqrt(x: Any) -> Any:
    """``math.sqrt`` as all code sees it during capture."""
    return torch.sym_sqrt(x) if isinstance(x, (torch.SymInt, torch.SymFloat)) else _sqrt(x)


def with_tensors(index: Any) -> Any:
    """An index with symbolic ranges turned into tensors."""
    if isinstance(index, SymbolicRange):
        return index.tensor()
    if isinstance(index, tuple):
        return tuple(with_tensors(i) for i in index)
    return index


@contextmanager
def sizes_understood(namespaces: list[dict[str, Any]]) -> Iterator[None]:
    """Give these modules the symbolic ``range`` for a while, unless they define one of their own.

    ``math.sqrt`` is replaced for all, and where a module has imported it by name.
    """
    touched = [ns for ns in namespaces if "range" not in ns]
    roots = [(ns, name) for ns in namespaces for name, value in ns.items() if value is _sqrt]
    for ns in touched:
        ns["range"] = symbolic_range
    for ns, name in roots:
        ns[name] = symbolic_sqrt
    math.sqrt = symbolic_sqrt
    try:
        yield
    finally:
        math.sqrt = _sqrt
        for ns, name in roots:
            ns[name] = _sqrt
        for ns in touched:
            ns.pop("range", None)
