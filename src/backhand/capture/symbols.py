"""Names for symbolic sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..program.build import SizeContext
from ..program.sizes import Symbol
from .names import RESERVED


def name_symbols(
    context: SizeContext,
    leaves: list[Any],
    fakes: list[Any],
    local_names: Mapping[Any, str],
    given: Mapping[str, tuple[str | None, ...]],
) -> tuple[Symbol, ...]:
    """Name every symbolic size: by annotation, by the user's variable, or by where it is read."""
    if context.shape_env is None:
        return ()
    env = context.shape_env
    found: dict[Any, Symbol] = {}
    taken: set[str] = {leaf.name for leaf in leaves} | RESERVED
    sites: list[tuple[Any, str, int | None, int]] = []
    for leaf, fake in zip(leaves, fakes, strict=True):
        if leaf.kind == "int":
            sites.append((env.simplify(fake.node.expr), leaf.name, None, leaf.value))
            continue
        for axis, size in enumerate(fake.shape):
            if not isinstance(size, int):
                expr = env.simplify(size.node.expr)
                sites.append((expr, leaf.name, axis, leaf.value.shape[axis]))
    simplified = {env.simplify(expr): name for expr, name in local_names.items()}
    for expr, input_name, place, hint in sites:
        if not expr.is_Symbol or expr in found:
            continue
        name = simplified.get(expr)
        annotated = _annotated(expr, sites, given)
        if place is None:
            found[expr] = Symbol(input_name, input_name, None, hint, True)
            continue
        chosen = annotated or name
        named = chosen is not None and chosen not in taken
        final = chosen if named and chosen is not None else f"{input_name}_{place}"
        while final in taken:
            final += "_"
        taken.add(final)
        found[expr] = Symbol(final, input_name, place, hint, named)
    context.name_symbols(found)
    return context.symbols


def _annotated(
    expr: Any, sites: list[tuple[Any, str, int | None, int]], given: Mapping[str, Any]
) -> str | None:
    for other, input_name, axis, _ in sites:
        if other == expr and axis is not None and input_name in given:
            names = given[input_name]
            if axis < len(names) and names[axis]:
                return str(names[axis])
    return None
