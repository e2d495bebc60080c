"""What capture gives back, and whether it holds for other inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from ..program.build import SizeContext, Var
from ..program.ir import Program
from ..program.sizes import Dim, Size
from .inputs import Arguments
from .trace import CallKey
from .watch import StateWatch


@dataclass(frozen=True)
class Captured:
    """A captured forward pass.

    ``vars`` holds the variable that every value was made as; ``call_values`` says which values each
    torch call of the user's code gave, in order, ``""`` for none (what ``verify`` compares);
    ``versions`` has, for a variable of the function that was bound more than once, the names of its
    values in order. ``sites`` are the symbols of the inputs' axes; ``treespec`` and ``out_leaves``
    the structure of what the function returned; ``state`` what its surroundings held.
    """

    program: Program
    context: SizeContext
    vars: Mapping[str, Var]
    arguments: Arguments
    constants: Mapping[str, torch.Tensor]
    call_values: Mapping[CallKey, tuple[str, ...]]
    guards: tuple[Any, ...]
    sites: tuple[tuple[Any, int, int | None], ...]
    treespec: Any
    out_leaves: tuple[Any, ...]
    state: StateWatch
    versions: Mapping[str, tuple[str, ...]]

    @cached_property
    def symbols(self) -> Mapping[Any, Any]:
        """What the symbols of the inputs' axes come to: some are equal to others, or fixed."""
        env = self.context.shape_env
        return {s: env.simplify(s) for s, _, _ in self.sites}


def sites_of(fakes: list[Any]) -> tuple[tuple[Any, int, int | None], ...]:
    """Every symbol torch gave to an axis (or an int) of the inputs, and which one it is."""
    out: list[tuple[Any, int, int | None]] = []
    for i, fake in enumerate(fakes):
        if isinstance(fake, torch.SymInt):
            out.append((fake.node._expr, i, None))
        elif isinstance(fake, torch.Tensor):
            for axis, size in enumerate(fake.shape):
                if isinstance(size, torch.SymInt):
                    out.append((size.node._expr, i, axis))
    return tuple(out)


def fits(captured: Captured, values: list[Any]) -> bool:
    """Whether the program holds for these values of the dynamic leaves: shapes, dtypes, guards."""
    leaves = captured.arguments.dynamic()
    bound = {(i, axis): symbol for symbol, i, axis in captured.sites}
    sizes: dict[Any, int] = {}
    for i, (leaf, value) in enumerate(zip(leaves, values, strict=True)):
        if isinstance(leaf.value, torch.Tensor):
            if not isinstance(value, torch.Tensor) or value.dtype != leaf.value.dtype:
                return False
            if value.dim() != leaf.value.dim():
                return False
            for axis, size in enumerate(value.shape):
                symbol = bound.get((i, axis))
                if symbol is None:
                    if size != leaf.value.shape[axis]:
                        return False
                elif size < 2 and size != leaf.value.shape[axis]:
                    return False
                else:
                    sizes[symbol] = size
        elif (i, None) in bound:
            if type(value) is not int or value < 2:
                return False
            sizes[bound[i, None]] = value
        elif value != leaf.value:
            return False
    return all(bool(guard.xreplace(_integers(sizes))) for guard in captured.guards)


def holds_at(captured: Captured, sizes: Mapping[str, int]) -> bool:
    """Whether the program holds at these values of its symbolic sizes."""
    kept = _integers(captured.context.in_torch(sizes))
    # axes that are equal to others, or fixed, have symbols of their own in the guards
    every = {**{s: e.xreplace(kept) for s, e in captured.symbols.items()}, **kept}
    return all(bool(guard.xreplace(every)) for guard in captured.guards)


def _integers(sizes: Mapping[Any, int]) -> dict[Any, Any]:
    import sympy

    return {symbol: sympy.Integer(size) for symbol, size in sizes.items()}


def also_equal(captured: Captured, pairs: Sequence[tuple[Dim, Dim]]) -> Captured:
    """The same capture for inputs at which these sizes are equal, two by two."""
    import sympy

    def theirs(d: Dim) -> Any:
        return d.expr.xreplace(captured.context.to_theirs) if isinstance(d, Size) else d

    said = (sympy.Eq(theirs(a), theirs(b)) for a, b in pairs)
    guards = (g for g in said if g is not sympy.true)
    return replace(captured, guards=(*captured.guards, *guards))


def with_outputs(captured: Captured, program: Program) -> Captured:
    """The same capture with a rewritten program."""
    return replace(captured, program=program)
