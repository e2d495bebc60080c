"""A second opinion on what a program computes: every operator in plain NumPy, without torch.

The functions behind it are written from the operators' definitions, one per row of the op table, as
short and as far from torch's kernels as possible; speed is no concern.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from ..errors import ProgramError
from .ir import Program, Value
from .ops import get_op
from .sizes import Scalar, Size, number_value

# NumPy's own annotations tell scalars from arrays more finely than these functions do.
Array: TypeAlias = Any
Reference: TypeAlias = Callable[..., Any]

# Rows of the op table that have none, each with the reason.
UNSUPPORTED: dict[str, str] = {
    "fractional_max_pool2d": "where its windows lie is decided inside torch's kernel",
    "fractional_max_pool3d": "where its windows lie is decided inside torch's kernel",
    "fractional_max_pool2d_backward": "belongs to fractional_max_pool2d",
    "fractional_max_pool3d_backward": "belongs to fractional_max_pool3d",
    "_upsample_bilinear2d_aa_backward": "the antialiasing filters are torch's own",
    "_upsample_bicubic2d_aa_backward": "the antialiasing filters are torch's own",
    "grid_sample": "three interpolations times three paddings: longer than it is worth",
    "grid_sampler_2d_backward": "belongs to grid_sample",
    "grid_sampler_3d_backward": "belongs to grid_sample",
}


@cache
def references() -> dict[str, Reference]:
    """The NumPy function of every operator that has one: arguments in the op table's order."""
    from . import (
        reference_elementwise,
        reference_gradient,
        reference_index,
        reference_linalg,
        reference_nn,
        reference_reductions,
        reference_shapes,
        reference_windows,
    )

    out: dict[str, Reference] = {}
    for module in (
        reference_elementwise,
        reference_gradient,
        reference_index,
        reference_linalg,
        reference_nn,
        reference_reductions,
        reference_shapes,
        reference_windows,
    ):
        for name, function in module.REFERENCES.items():
            if name in out:
                raise ProgramError(f"{name} has two references")
            get_op(name)
            out[name] = function
    return out


def evaluate(
    program: Program, inputs: Mapping[str, Array], sizes: Mapping[str, int] | None = None
) -> dict[str, Array]:
    """Run a program with NumPy; returns every value by name, the inputs included.

    ``inputs`` holds an array for each input, and for each value that a random operator makes.
    ``sizes`` gives the symbolic sizes; those left out are read from the inputs. Results have the
    dtypes that the program says (no bfloat16, which NumPy has not). Raises ``ProgramError`` for an
    operator without a reference, a missing input, or a result whose shape is not the one that the
    program says.
    """
    known = dict(sizes or {})
    for symbol in program.symbols:
        if symbol.name not in known and symbol.axis is not None and symbol.input in inputs:
            known[symbol.name] = inputs[symbol.input].shape[symbol.axis]
    space: dict[str, Array] = {}
    for value in program.inputs:
        if value.dtype != "none":
            space[value.name] = _given(value, inputs)
    with np.errstate(all="ignore"):
        for node in program.nodes():
            op = get_op(node.op)
            if op.random:
                results: Any = tuple(_given(value, inputs) for value in node.outs)
            else:
                function = references().get(node.op)
                if function is None:
                    reason = UNSUPPORTED.get(node.op, "nobody has written it")
                    raise ProgramError(f"{node.op} has no reference: {reason}")
                result = function(*(_bound(a, space, known) for a in node.args))
                results = result if isinstance(result, (tuple, list)) else (result,)
            for value, array in zip(node.outs, results, strict=True):
                if value.dtype != "none":
                    space[value.name] = _fitted(node.op, value, array, known)
    return space


def _given(value: Value, inputs: Mapping[str, Array]) -> Array:
    if value.name not in inputs:
        raise ProgramError(f"there is no array for {value.name}")
    return np.asarray(inputs[value.name])


def _bound(arg: Any, space: Mapping[str, Array], sizes: Mapping[str, int]) -> Any:
    if isinstance(arg, Value):
        return space.get(arg.name)
    if isinstance(arg, tuple):
        return tuple(_bound(a, space, sizes) for a in arg)
    return number_value(arg, sizes) if isinstance(arg, (Size, Scalar)) else arg


def _fitted(op: str, value: Value, array: Any, sizes: Mapping[str, int]) -> Array:
    out = np.asarray(array)
    shape = tuple(int(number_value(d, sizes)) for d in value.shape)
    if out.shape != shape:
        raise ProgramError(f"{op} gives the shape {out.shape} where {value.name} has {shape}")
    return out.astype(numpy_dtype(value.dtype), copy=False)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype called ``name``; ``ProgramError`` for one that NumPy has not.

    Libraries that are loaded (JAX) lend it names of theirs: these do not count.
    """
    try:
        found = np.dtype(name)
    except TypeError:
        found = None
    if found is None or found.isbuiltin != 1:
        raise ProgramError(f"NumPy has no {name}")
    return found
