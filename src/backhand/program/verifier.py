"""Whether a program is well formed: names, arguments, and every shape and dtype inferred again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ..errors import ProgramError
from .invoke import dtype_name, dtype_of, invoke
from .ir import Node, Program, Value, map_arg, values_in
from .ops import get_op
from .sizes import Dim, Scalar, Size, number_value

Sizes = Mapping[str, int]
# Sizes larger than the example's by a factor of their own: what divides the example's size divides
# these too, and what fits the example fits these.
_FACTORS = (2, 3, 5, 7, 11, 13)
_TRIES = 200


def check_program(
    program: Program,
    holds: Callable[[Sizes], bool] | None = None,
    *,
    bindings: int = 2,
    seed: int = 0,
) -> None:
    """Raise ``ProgramError``, naming the node, unless the program is well formed.

    Every value is made once, before it is read, and read as it was made; every node has the
    arguments and the number of outputs that its row in the op table asks for. Then the program is
    run on tensors without data with the example's sizes and with
    ``bindings`` other ones, at least 2 each, and every shape and dtype must be the one the program
    says. ``holds`` tells for which sizes the program was made.
    """
    _check_names(program)
    _check_signatures(program)
    for sizes in (program.hints(), *size_bindings(program, holds, bindings, seed)):
        try:
            _check_shapes(program, sizes)
        except _DoesNotRun as error:
            # The operator may ask for sizes that belong together, which tracing did not see.
            larger = {name: 3 * hint for name, hint in program.hints().items()}
            if sizes == program.hints() or not (holds is None or holds(larger)):
                raise ProgramError(str(error)) from error
            _check_shapes(program, larger)


class _DoesNotRun(ProgramError):
    """Torch refuses the operator at these sizes."""


def size_bindings(
    program: Program, holds: Callable[[Sizes], bool] | None, count: int, seed: int = 0
) -> Iterator[dict[str, int]]:
    """Random sizes for which the program holds, different from the example's."""
    hints = program.hints()
    if not hints:
        return
    rng = random.Random(seed)
    found = 0
    for attempt in range(_TRIES):
        # a common factor keeps every ratio: the last resort when sizes depend on one another
        common = rng.choice(_FACTORS) if attempt > _TRIES // 2 else 0
        sizes = {n: max(2, hint * (common or rng.choice(_FACTORS))) for n, hint in hints.items()}
        if holds is None or holds(sizes):
            yield sizes
            found += 1
            if found == count:
                return


def _check_names(program: Program) -> None:
    made: dict[str, Value] = {}
    sizes = {s.name for s in program.symbols}

    def define(value: Value, by: str) -> None:
        if value.name in made:
            raise ProgramError(f"{by}: {value.name} is made a second time")
        if value.name in sizes:
            raise ProgramError(f"{by}: {value.name} is the name of a size as well")
        for dim in value.shape:
            unknown = dim.names() - sizes if isinstance(dim, Size) else set()
            if unknown:
                raise ProgramError(f"{by}: {value.name} has the unknown size {min(unknown)}")
        made[value.name] = value

    def read(value: Value, by: str) -> None:
        known = made.get(value.name)
        if known is None:
            raise ProgramError(f"{by}: {value.name} is read before it is made")
        if known != value:
            raise ProgramError(f"{by}: {value.name} was made as {known} and is read as {value}")

    for value in program.inputs:
        define(value, "the inputs")
    for step in program.steps:
        for node in step.nodes:
            by = _label(node, step.name)
            for value in node.operands():
                read(value, by)
            for unknown in _sizes_in(node.args) - sizes:
                raise ProgramError(f"{by}: an argument has the unknown size {unknown}")
            for value in node.outs:
                define(value, by)
    for value in program.outputs:
        read(value, "the outputs")


def _check_signatures(program: Program) -> None:
    for step in program.steps:
        for node in step.nodes:
            by = _label(node, step.name)
            op = get_op(node.op)
            if len(node.args) != len(op.params):
                raise ProgramError(
                    f"{by}: {len(node.args)} arguments where {node.op} takes {len(op.params)}"
                )
            if not node.outs or (op.outs and len(node.outs) != op.outs):
                raise ProgramError(f"{by}: {len(node.outs)} outputs where {node.op} has {op.outs}")
            for param, arg in zip(op.params, node.args, strict=True):
                if param.keyword and param.required and arg is None:
                    raise ProgramError(f"{by}: the argument {param.name} is missing")


def _check_shapes(program: Program, sizes: Sizes) -> None:
    mode = FakeTensorMode(static_shapes=True)
    with mode:
        tensors = {
            v.name: torch.empty(_shape(v, sizes), dtype=dtype_of(v.dtype))
            for v in program.inputs
            if v.dtype != "none"
        }
    for step in program.steps:
        for node in step.nodes:
            by = _label(node, step.name)
            args = tuple(_bound(a, tensors, sizes) for a in node.args)
            try:
                with torch.no_grad(), mode:
                    result = invoke(get_op(node.op), args)
            except Exception as error:
                raise _DoesNotRun(f"{by} fails {_at(sizes)}: {error}") from error
            results = tuple(result) if isinstance(result, (tuple, list)) else (result,)
            if len(results) != len(node.outs):
                raise ProgramError(
                    f"{by}: gives {len(results)} values {_at(sizes)}, not {len(node.outs)}"
                )
            for value, tensor in zip(node.outs, results, strict=True):
                if tensor is None and value.dtype == "none":
                    continue  # an output that a kernel was told not to compute
                said = (value.dtype, _shape(value, sizes))
                found = (dtype_name(tensor.dtype), tuple(tensor.shape))
                if said != found:
                    raise ProgramError(
                        f"{by}: {value.name} is said to be {said[0]}{list(said[1])}, "
                        f"but is {found[0]}{list(found[1])} {_at(sizes)}"
                    )
                tensors[value.name] = tensor


def _shape(value: Value, sizes: Sizes) -> tuple[int, ...]:
    return tuple(_dim(d, sizes) for d in value.shape)


def _dim(dim: Dim, sizes: Sizes) -> int:
    return dim.evaluate(sizes) if isinstance(dim, Size) else dim


def _bound(arg: Any, tensors: Mapping[str, torch.Tensor], sizes: Sizes) -> Any:
    if isinstance(arg, tuple):
        return tuple(_bound(a, tensors, sizes) for a in arg)
    if isinstance(arg, (Size, Scalar)):
        return number_value(arg, sizes)
    return map_arg(arg, lambda v: tensors[v.name])


def _sizes_in(arg: Any) -> set[str]:
    if isinstance(arg, (Size, Scalar)):
        return set(arg.names())
    if isinstance(arg, tuple):
        return set().union(*(_sizes_in(a) for a in arg))
    return set()


def _label(node: Node, step: str) -> str:
    outs = ", ".join(v.name for v in node.outs)
    reads = ", ".join(v.name for a in node.args for v in values_in(a))
    return f"{outs} = {node.op}({reads}) in step {step}"


def _at(sizes: Sizes) -> str:
    return f"at {', '.join(f'{k}={v}' for k, v in sizes.items())}" if sizes else "as it stands"
