"""From a derivation to what the emitters take, and the emitters by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
import torch.utils._pytree as pytree

from ..capture import Captured
from ..errors import InputError
from ..longhand import Backward, Plan
from ..program.invoke import dtype_name
from ..program.ir import Program
from .array_module import jax_module, numpy_module
from .function_module import function_module
from .passes import Output, Passes
from .torch_module import torch_module

LITERAL = 32  # elements of a constant up to which an emitted module holds it; else an argument

BACKENDS: Mapping[str, Callable[[Passes], str]] = {
    "torch": torch_module,
    "function": function_module,
    "numpy": numpy_module,
    "jax": jax_module,
}


def module_text(backend: str, passes: Passes) -> str:
    """The module that ``backend`` makes of these passes."""
    if backend not in BACKENDS:
        raise InputError(
            f"there is no backend named {backend!r}: the backends are {', '.join(BACKENDS)}"
        )
    return BACKENDS[backend](passes)


def assemble(
    captured: Captured,
    forward: Program,
    derived: Backward,
    gradients: Sequence[str],
    plan: Plan | None = None,
) -> Passes:
    """Everything that a module is made of; with ``plan``, its programs and its list."""
    if plan is not None:
        forward, derived = plan.forward, plan.backward
    names = [leaf.name for leaf in captured.arguments.dynamic()]
    return Passes(
        captured.program.name,
        forward,
        derived.program,
        derived.upstream,
        derived.upstream_of,
        tuple(gradients),
        (*names, *captured.constants),
        len(derived.upstream) == 1 and derived.upstream[0].shape == (),
        _structure(captured),
        {n: found for n, t in captured.constants.items() if (found := _literal(t))},
        tuple(_conditions(captured)),
        str(plan) if plan is not None else "",
    )


def _literal(constant: torch.Tensor) -> tuple[Any, str] | None:
    """A tensor that the forward pass makes or reads, as nested lists; None if it is large."""
    if constant.numel() > LITERAL or not bool(torch.isfinite(constant).all()):
        return None
    return constant.tolist(), dtype_name(constant.dtype)


def _structure(captured: Captured) -> Any:
    """What the forward pass returns, with the index of an output for every tensor."""
    places = iter(range(len(captured.program.outputs)))
    leaves = [Output(next(places)) if v is None else v for v in captured.out_leaves]
    return pytree.tree_unflatten(leaves, captured.treespec)


def _conditions(captured: Captured) -> list[Any]:
    """What the trace assumed of the sizes, as relations between the program's sizes."""
    env, context = captured.context.shape_env, captured.context
    found: dict[Any, None] = {}
    for guard in captured.guards:
        said = env.replace(guard).xreplace(context._to_ours)
        for part in said.args if isinstance(said, sympy.And) else (said,):
            if part in (sympy.true, True) or _always(part):
                continue
            found[part] = None
    return list(found)


def _always(relation: Any) -> bool:
    """Whether a relation says only that something made of sizes is not negative."""
    at_least = isinstance(relation, (sympy.Ge, sympy.Gt)) and bool(relation.rhs.is_zero)
    return at_least and _positive(relation.lhs)


def _positive(expr: Any) -> bool:
    kind = type(expr).__name__
    if kind == "FloatPow":
        return _positive(expr.args[0])
    if kind in ("FloatTrueDiv", "IntTrueDiv", "ToFloat"):
        return all(map(_positive, expr.args))
    return bool(expr.is_positive)


__all__ = ["BACKENDS", "assemble", "module_text"]
