"""PyTorch code to program: the only reader of ``torch.fx``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import torch
import torch.utils._pytree as pytree

from ..errors import CaptureError, InputError, UnsupportedError
from ..program.build import Builder, Var
from ..program.invoke import dtype_name
from ..program.ir import Program, Value
from ..program.sizes import Symbol
from . import source
from .adapt import overload_name, supported
from .adapt_math import DECOMPOSED_MATH
from .captured import Captured, also_equal, fits, holds_at, sites_of, with_outputs
from .convert import Converted, Converter
from .inputs import Arguments, check_supported, fake_inputs, flatten, identifier, no_tensor
from .names import RESERVED, Namer
from .scope import constant_names, modules_of, namespaces
from .symbols import name_symbols
from .trace import CallKey, Trace, composites, trace
from .watch import StateWatch, refuse_hooks

# Overloads whose name is in the table but whose arguments are not the table's.
_DECOMPOSED = (
    frozenset(
        {
            "where.Scalar",
            "where.ScalarSelf",
            "where.ScalarOther",
            "where.default",
            "std.default",
            "std.dim",
            "var.default",
            "var.dim",
            "logsumexp.names",
            "squeeze.dimname",
            "std_mean.default",
            "max.names_dim",
            "min.names_dim",
            "split.sizes",
            "index_add.dimname",
            "diagonal.Dimname",
            "flatten.named_out_dim",
            "mean.names_dim",
            "sum.dim_DimnameList",
            "bernoulli.out",
            "gather.dimname",
            "prod.dim_Dimname",
            "any.dimname",
            "all.dimname",
            "unbind.Dimname",
            "cumsum.dimname",
            "cumprod.dimname",
            "index_select.dimname",
            "sort.dimname",
            "scatter.dimname_src",
            "scatter_add.dimname",
            "select.Dimname",
            "argsort.dimname",
            "unflatten.Dimname",
        }
    )
    | DECOMPOSED_MATH
)

# An axis of an input, by the input's name.
Axis: TypeAlias = tuple[str, int]


@cache
def _kept_composites() -> frozenset[Any]:
    """Composite operators that the op table has a row for: captured whole, not decomposed."""
    return frozenset(
        o for o in composites() if supported(o) and overload_name(o) not in _DECOMPOSED
    )


def capture(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    size_names: Mapping[str, tuple[str | None, ...]] | None = None,
    symbolic: bool = True,
    latest: bool = False,
    equal: Sequence[tuple[Axis, Axis]] = (),
) -> Captured:
    """Run ``function`` once on tensors without data and return its program.

    ``size_names`` gives, per argument, names for its axes (from annotations). With
    ``symbolic=False`` every size is fixed to the example's. With ``latest`` the last value of a
    variable that is bound again has its name, as in the function's own namespace at its end.
    ``equal`` are axes of inputs that have one size, ``("q", 3)`` and ``("v", 3)``, although nothing
    in the function says so: the program then holds for such inputs only.
    Raises ``CaptureError`` or ``UnsupportedError`` with the user's line.
    """
    source.forget_sources()
    try:
        return _captured(function, args, kwargs, size_names, symbolic, latest, equal)
    except (CaptureError, UnsupportedError) as error:
        where = source.definition_of(function)
        if error.where is not None or where is None:
            raise
        raise type(error)(error.message, where, error.hint) from error.__cause__


def _captured(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    size_names: Mapping[str, tuple[str | None, ...]] | None,
    symbolic: bool,
    latest: bool,
    equal: Sequence[tuple[Axis, Axis]],
) -> Captured:
    arguments = flatten(function, args, kwargs)
    dynamic = arguments.dynamic()
    check_supported(dynamic)
    if not any(isinstance(leaf.value, torch.Tensor) for leaf in dynamic):
        raise InputError(no_tensor(arguments))
    refuse_hooks(arguments.module, [(leaf.name, leaf.value) for leaf in dynamic])
    fakes, context = fake_inputs(dynamic, symbolic)
    inputs_by_name = {leaf.name: fake for leaf, fake in zip(dynamic, fakes, strict=True)}
    for (a, i), (b, j) in equal:
        # torch notes what is asked of sizes, and from then on takes the two for one
        if inputs_by_name[a].shape[i] != inputs_by_name[b].shape[j]:
            raise InputError(f"axis {i} of {a} and axis {j} of {b} have not the same size")
    state = StateWatch(function)
    traced, treespec, out_leaves = _traced(function, arguments, fakes, symbolic, state)
    symbols = name_symbols(context, dynamic, fakes, traced.size_names, size_names or {})
    builder = Builder(context, {leaf.name for leaf in dynamic}, torch_spells=True)
    inputs: list[Var | None] = []
    for leaf, fake in zip(dynamic, fakes, strict=True):
        if leaf.kind == "int":
            inputs.append(None)
            continue
        value = Value(leaf.name, context.shape(fake), dtype_name(fake.dtype), leaf.name)
        inputs.append(builder.register(Var(builder, value, fake)))
    traced.constant_names.update(constant_names(function))
    origins = ["buffer" if leaf.kind == "buffer" else "input" for leaf in dynamic]
    converted = Converter(traced, builder, inputs, origins).run()
    state.settle(converted.constants.values())
    program, renamed, versions = _named(function, dynamic, symbols, inputs, converted, latest)
    return Captured(
        program,
        context,
        {renamed.get(name, v.value).name: v for name, v in builder.vars.items()},
        arguments,
        converted.constants,
        _call_values(converted, renamed),
        _guards(context.shape_env),
        sites_of(fakes),
        treespec,
        out_leaves,
        state,
        versions,
    )


def _guards(shape_env: Any) -> tuple[Any, ...]:
    """What the sizes have to fulfil, each condition once."""
    return tuple(dict.fromkeys(g.expr for g in shape_env.guards)) if shape_env is not None else ()


def _traced(
    function: Callable[..., Any],
    arguments: Arguments,
    fakes: list[Any],
    symbolic: bool,
    state: StateWatch,
) -> tuple[Trace, Any, tuple[Any, ...]]:
    """The trace, the structure of what the function returned, its leaves (``None``: a tensor)."""
    dynamic = arguments.dynamic()
    before = [_version(leaf.value) for leaf in dynamic]
    returned: list[Any] = []

    def run(*values: Any) -> tuple[torch.Tensor, ...]:
        returned[:] = pytree.tree_flatten(arguments.call(list(values)))
        leaves = returned[0]
        tensors = tuple(leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        odd = [type(x).__name__ for x in leaves if not isinstance(x, (torch.Tensor, *_RETURNED))]
        if odd or not tensors:
            if isinstance(leaves[0] if leaves else None, Coroutine):
                leaves[0].close()  # or Python warns that it was never awaited
            what = f"a {odd[0]}" if odd else "no tensor"
            raise CaptureError(
                f"the forward pass returns {what}",
                source.definition_of(function),
                _RETURN_HINTS.get(odd[0] if odd else "", _RETURN_HINT),
            )
        return tensors

    def rerun() -> Any:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return arguments.call([_copy(leaf.value) for leaf in dynamic])

    module_paths = (
        {id(m): name for name, m in arguments.module.named_modules()}
        if arguments.module is not None
        else modules_of(function)
    )
    try:
        traced = trace(
            run, fakes, _kept_composites(), namespaces(function), module_paths, symbolic, rerun
        )
        state.check()
    finally:
        state.restore()
    if before != [_version(leaf.value) for leaf in dynamic]:
        raise CaptureError(
            "the forward pass changes one of the example inputs in place",
            source.definition_of(function),
            "work on a copy (x = x.clone()) instead",
        )
    leaves, treespec = returned
    return traced, treespec, tuple(None if isinstance(x, torch.Tensor) else x for x in leaves)


# What a forward pass may return besides tensors: values that cannot differ from call to call.
_RETURNED = (int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device)

_RETURN_HINT = "return the loss or the outputs: tensors, or tuples, lists, dicts of them"
_RETURN_HINTS = {
    "generator": "return the loss or the outputs instead of yielding them",
    "coroutine": "write it as a plain function: def instead of async def, without await",
}


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _version(value: Any) -> int:
    return value._version if isinstance(value, torch.Tensor) else 0


def _named(
    function: Callable[..., Any],
    dynamic: list[Any],
    symbols: tuple[Symbol, ...],
    inputs: list[Var | None],
    converted: Converted,
    latest: bool,
) -> tuple[Program, dict[str, Value], Mapping[str, tuple[str, ...]]]:
    """The program in the author's names, each first name's value renamed, variables' versions."""
    outputs = [v for v in converted.outputs if v is not None]
    taken = {leaf.name for leaf in dynamic} | set(converted.constants) | {s.name for s in symbols}
    namer = Namer(converted.nodes, taken | RESERVED)
    steps, renamed = namer.steps(_output_names(outputs), latest)
    constants = tuple(
        Value(name, tuple(t.shape), dtype_name(t.dtype), name)
        for name, t in converted.constants.items()
    )
    program = Program(
        identifier(getattr(function, "__name__", type(function).__name__)),
        (*(v.value for v in inputs if v is not None), *constants),
        steps,
        tuple(renamed.get(v.value.name, v.value) for v in outputs),
        symbols,
    )
    return program, renamed, namer.versions


def _output_names(outputs: list[Var]) -> dict[str, str]:
    if len(outputs) == 1:
        value = outputs[0].value
        return {value.name: "loss" if not value.shape else "out"}
    return {v.value.name: f"out_{i}" for i, v in enumerate(outputs)}


def _call_values(
    converted: Converted, renamed: Mapping[str, Value]
) -> dict[CallKey, tuple[str, ...]]:
    return {
        key: tuple(renamed[name].name if name in renamed else "" for name in names)
        for key, names in converted.results.items()
    }


__all__ = [
    "Axis",
    "Captured",
    "also_equal",
    "capture",
    "fits",
    "holds_at",
    "with_outputs",
]
