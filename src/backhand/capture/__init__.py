"""PyTorch code to program: the only reader of ``torch.fx``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.utils._pytree as pytree

from ..errors import CaptureError, InputError
from ..program.build import Builder, SizeContext, Var
from ..program.invoke import dtype_name
from ..program.ir import Program, Value
from ..program.sizes import Size, Symbol
from . import source
from .adapt import overload_name, supported
from .convert import Converter
from .inputs import Arguments, check_supported, fake_inputs, flatten, identifier
from .names import Namer
from .trace import composites, trace


@dataclass(frozen=True)
class Captured:
    """A captured forward pass.

    ``fakes`` holds a tensor without data for every value; ``call_values`` says which values each
    torch call of the user's code gave (what ``verify`` compares); ``outputs`` are the program values
    of the function's tensor outputs, in order; ``treespec`` its output structure.
    """

    program: Program
    context: SizeContext
    fakes: Mapping[str, torch.Tensor]
    arguments: Arguments
    constants: Mapping[str, torch.Tensor]
    call_values: Mapping[int, tuple[str, ...]]
    guards: tuple[Any, ...]
    sites: tuple[tuple[Any, int, int | None], ...]
    treespec: Any
    out_leaves: tuple[Any, ...]


_KEEP_CACHE: list[frozenset[Any]] = []


def _kept_composites() -> frozenset[Any]:
    """Composite operators that the op table has a row for: captured whole, not decomposed."""
    if not _KEEP_CACHE:
        _KEEP_CACHE.append(frozenset(o for o in composites() if supported(o) and _worth_keeping(o)))
    return _KEEP_CACHE[0]


def _worth_keeping(target: Any) -> bool:
    return overload_name(target) not in _DECOMPOSED


# Overloads whose name is in the table but whose arguments are not the table's.
_DECOMPOSED = frozenset({
    "where.Scalar", "where.ScalarSelf", "where.ScalarOther", "where.default",
    "std.default", "std.dim", "var.default", "var.dim", "logsumexp.names",
    "squeeze.dimname", "std_mean.default", "max.names_dim", "min.names_dim",
    "split.sizes", "index_add.dimname", "diagonal.Dimname", "flatten.named_out_dim",
    "mean.names_dim", "sum.dim_DimnameList", "bernoulli.out", "gather.dimname",
    "prod.dim_Dimname", "any.dimname", "all.dimname", "unbind.Dimname", "cumsum.dimname",
    "cumprod.dimname", "index_select.dimname", "sort.dimname", "scatter.dimname_src",
    "scatter_add.dimname", "select.Dimname", "argsort.dimname", "unflatten.Dimname",
})


def capture(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    size_names: Mapping[str, tuple[str | None, ...]] | None = None,
    symbolic: bool = True,
) -> Captured:
    """Run ``function`` once on tensors without data and return its program.

    ``size_names`` gives, per argument, names for its axes (from annotations). With
    ``symbolic=False`` every size is fixed to the example's.
    Raises ``CaptureError`` or ``UnsupportedError`` with the user's line.
    """
    source.forget_sources()
    arguments = flatten(function, args, kwargs)
    dynamic = arguments.dynamic()
    check_supported(dynamic)
    if not any(isinstance(leaf.value, torch.Tensor) for leaf in dynamic):
        raise InputError("there is no tensor among the example inputs")
    fakes, context = fake_inputs(dynamic, symbolic)
    before = [_version(leaf.value) for leaf in dynamic]
    shape: list[Any] = []

    def run(*values: Any) -> tuple[torch.Tensor, ...]:
        result = arguments.call(list(values))
        leaves, spec = pytree.tree_flatten(result)
        shape[:] = [spec, leaves]
        tensors = tuple(leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        if not tensors:
            raise CaptureError(
                "the forward pass returns no tensor", None, "return the loss or the outputs"
            )
        return tensors

    module_paths = (
        {id(m): name for name, m in arguments.module.named_modules()}
        if arguments.module is not None
        else _modules_of(function)
    )
    traced = trace(
        run, fakes, _kept_composites(), _namespaces(function), module_paths, symbolic
    )
    if before != [_version(leaf.value) for leaf in dynamic]:
        raise CaptureError("the forward pass changed one of the example inputs in place")
    symbols = _symbols(context, dynamic, fakes, traced.size_names, size_names or {})
    builder = Builder(context, {leaf.name for leaf in dynamic})
    inputs: list[Var | None] = []
    for leaf, fake in zip(dynamic, fakes, strict=True):
        if leaf.kind == "int":
            inputs.append(None)
            continue
        value = Value(leaf.name, context.shape(fake), dtype_name(fake.dtype), leaf.name)
        inputs.append(Var(builder, value, fake))
    traced.constant_names.update(_constant_names(function))
    origins = ["buffer" if leaf.kind == "buffer" else "input" for leaf in dynamic]
    converted = Converter(traced, builder, inputs, origins).run()
    out_vars = [v for v in converted.outputs if v is not None]
    suggestions = _output_names(out_vars)
    taken = {leaf.name for leaf in dynamic} | set(converted.constants) | {s.name for s in symbols}
    namer = Namer(converted.nodes, taken)
    steps, renamed = namer.steps(suggestions)
    input_values = [v.value for v in inputs if v is not None]
    constants = {
        name: tensor for name, tensor in converted.constants.items()
    }
    input_values += [
        Value(name, tuple(t.shape), dtype_name(t.dtype), name) for name, t in constants.items()
    ]
    program = Program(
        identifier(getattr(function, "__name__", type(function).__name__)),
        tuple(input_values),
        steps,
        tuple(renamed.get(v.value.name, v.value) for v in out_vars),
        symbols,
    )
    all_fakes = {v.value.name: v.fake for v in inputs if v is not None}
    for old, fake in converted.fakes.items():
        if old in renamed:
            all_fakes[renamed[old].name] = fake
    for node, _ in converted.nodes:
        for out in node.outs:
            if renamed[out.name].name not in all_fakes:
                all_fakes[renamed[out.name].name] = _fake_like(context, renamed[out.name])
    for name, tensor in constants.items():
        all_fakes[name] = _fake_like(context, Value(name, tuple(tensor.shape), dtype_name(tensor.dtype)))
    call_values: dict[int, tuple[str, ...]] = {}
    for node, call in converted.nodes:
        if call is not None:
            call_values[call.sequence] = tuple(renamed[o.name].name for o in node.outs)
    return Captured(
        program,
        context,
        all_fakes,
        arguments,
        constants,
        call_values,
        tuple(g.expr for g in context.shape_env.guards) if context.shape_env is not None else (),
        _sites(fakes),
        shape[0],
        tuple(None if isinstance(leaf, torch.Tensor) else leaf for leaf in shape[1]),
    )


def _fake_like(context: SizeContext, value: Value) -> torch.Tensor:
    from ..program.invoke import dtype_of

    with context.active():
        size = [context.to_torch(d) for d in value.shape]
        return torch.empty(size, dtype=dtype_of(value.dtype))


def _sites(fakes: list[Any]) -> tuple[tuple[Any, int, int | None], ...]:
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


def _integers(sizes: Mapping[Any, int]) -> dict[Any, Any]:
    import sympy

    return {symbol: sympy.Integer(size) for symbol, size in sizes.items()}


def _version(value: Any) -> int:
    return value._version if isinstance(value, torch.Tensor) else 0


def _output_names(outputs: list[Var]) -> dict[str, str]:
    if len(outputs) == 1:
        value = outputs[0].value
        return {value.name: "loss" if not value.shape else "out"}
    return {v.value.name: f"out_{i}" for i, v in enumerate(outputs)}


def _symbols(
    context: SizeContext,
    leaves: list[Any],
    fakes: list[Any],
    local_names: Mapping[Any, str],
    given: Mapping[str, tuple[str | None, ...]],
) -> tuple[Symbol, ...]:
    """Name every symbolic size: by annotation, by the user's own variable, or by where it is read."""
    if context.shape_env is None:
        return ()
    env = context.shape_env
    found: dict[Any, Symbol] = {}
    taken: set[str] = {leaf.name for leaf in leaves}
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
    for expr, input_name, axis, hint in sites:
        if not expr.is_Symbol or expr in found:
            continue
        name = simplified.get(expr)
        annotated = _annotated(expr, sites, given)
        if axis is None:
            found[expr] = Symbol(input_name, input_name, None, hint, True)
            continue
        chosen = annotated or name
        named = chosen is not None and chosen not in taken
        final = chosen if named and chosen is not None else f"{input_name}_{axis}"
        while final in taken:
            final += "_"
        taken.add(final)
        found[expr] = Symbol(final, input_name, axis, hint, named)
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


def _namespaces(function: Callable[..., Any]) -> list[dict[str, Any]]:
    """The module namespaces in which the user's code will look up ``range``."""
    found: dict[int, dict[str, Any]] = {}
    called = function.forward if isinstance(function, torch.nn.Module) else function
    target = getattr(called, "__func__", called)
    target = getattr(target, "__wrapped__", target)
    namespace = getattr(target, "__globals__", None)
    if namespace is not None:
        found[id(namespace)] = namespace
    if isinstance(function, torch.nn.Module):
        for module in function.modules():
            owner = sys.modules.get(type(module).__module__)
            if owner is not None and source.is_user_file(getattr(owner, "__file__", None) or ""):
                found[id(vars(owner))] = vars(owner)
    for value in list((namespace or {}).values()):
        inner = getattr(value, "__globals__", None)
        if isinstance(inner, dict) and source.is_user_file(str(inner.get("__file__") or "")):
            found[id(inner)] = inner
    return list(found.values())


def _modules_of(function: Callable[..., Any]) -> dict[int, str]:
    """Modules that a bound method's object holds, for names only."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, torch.nn.Module):
        return {id(m): name for name, m in owner.named_modules()}
    return {}


def _constant_names(function: Callable[..., Any]) -> dict[int, str]:
    """Names for tensors that the function reads from its closure or its module."""
    out: dict[int, str] = {}
    code = getattr(function, "__code__", None)
    for name in getattr(code, "co_names", ()):
        value = getattr(function, "__globals__", {}).get(name)
        if isinstance(value, torch.Tensor):
            out[id(value)] = name
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        try:
            value = cell.cell_contents
        except ValueError:
            continue
        if isinstance(value, torch.Tensor):
            out[id(value)] = name
    return out


def with_outputs(captured: Captured, program: Program) -> Captured:
    """The same capture with a rewritten program."""
    return replace(captured, program=program)


__all__ = ["Captured", "Size", "capture", "with_outputs"]
