"""Evaluating programs with real numbers of fifty digits.

Programs contain exp, log and roots, so that no exact field holds their values; with fifty digits
two formulas that differ by more than rounding differ plainly. What the operators do is what the
NumPy functions of ``reference`` say, run on arrays of ``Real``; ``exact_ops`` has replacements for
those that need one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import ProgramError
from .exact_ops import EXACT, MASKS, NONE
from .ir import Node, Value
from .ops import Op, get_op
from .real import MP, Real, decimal, mpf_of, real_array, reals
from .reference import Array, numpy_dtype, references
from .sizes import Dim, Number, Scalar, Size, number_value


def evaluate_exact(
    nodes: Iterable[Node], space: Mapping[str, Array], sizes: Mapping[str, int]
) -> dict[str, Array]:
    """A copy of ``space`` with every output of the nodes added.

    Floating values are object arrays of ``Real`` (float arrays in ``space`` are made so, exactly),
    integers and booleans NumPy's. A float constant is the decimal number that it is written as.
    ``space`` also holds what random operators give. Raises ``ProgramError`` for an operator without
    an exact version, a missing value, or a result whose shape is not the one that the node says.
    """
    out = {name: _exactly(array) for name, array in space.items()}
    for node in nodes:
        op = get_op(node.op)
        if op.random:
            for value in node.outs:
                _given(value, out)
            continue
        try:
            with np.errstate(all="ignore"):
                results = _results(op, node, out, sizes)
                for value, result in zip(node.outs, results, strict=True):
                    if value.dtype != "none":
                        out[value.name] = _fitted(op, value, result, sizes)
        except (TypeError, AttributeError, ArithmeticError) as error:
            raise ProgramError(f"{op.name} has no exact version: {error}") from error
    return out


def relative_distance(a: Array, b: Array) -> float:
    """The largest ``|a - b|`` relative to the largest magnitude in either array.

    0 for two arrays that are zero or empty; infinite where one is NaN or infinite and the other is
    not the same. Raises ``ProgramError`` for two shapes.
    """
    if np.shape(a) != np.shape(b):
        raise ProgramError(f"the shapes {np.shape(a)} and {np.shape(b)} have no distance")
    gap = scale = MP.zero
    for x, y in zip(real_array(a).ravel(), real_array(b).ravel(), strict=True):
        p, q = mpf_of(x), mpf_of(y)
        if p == q or (p != p and q != q):
            scale = max(scale, abs(p)) if MP.isfinite(p) else scale
        elif MP.isfinite(p) and MP.isfinite(q):
            gap, scale = max(gap, abs(p - q)), max(scale, abs(p), abs(q))
        else:
            return float("inf")
    return float(gap / scale) if scale else 0.0


def _results(
    op: Op, node: Node, space: Mapping[str, Array], sizes: Mapping[str, int]
) -> tuple[Any, ...]:
    args = [
        None if p.name == "device" else _bound(a, space, sizes)
        for p, a in zip(op.params, node.args, strict=True)
    ]
    floating = any(v.floating for v in node.outs)
    if floating or any(map(_holds_reals, args)):
        if op.name in NONE:
            raise ProgramError(f"{op.name} has no exact version: {NONE[op.name]}")
        if floating:
            args = _in_reals(op, args)
        function = EXACT.get(op.name) or references().get(op.name)
    else:
        function = references().get(op.name)
    if function is None:
        raise ProgramError(f"{op.name} has no exact version: it has no reference in NumPy either")
    result = function(*args)
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _in_reals(op: Op, args: list[Any]) -> list[Any]:
    """The arguments of an operator with a floating result, where integers take part in it.

    Which floating dtype is asked for makes no difference any more.
    """
    out = list(args)
    names = [p.name for p in op.params]
    casts = op.name in ("to", "stored")
    if "dtype" in names and not casts and out[names.index("dtype")] is not None:
        out[names.index("dtype")] = None
        out[0] = _real_tensor(out[0])
    if op.kind == "elementwise":
        out = [
            a if name in MASKS else _real_tensor(a) for name, a in zip(names, out, strict=True)
        ]
    return out


def _real_tensor(arg: Any) -> Any:
    return real_array(arg) if isinstance(arg, np.ndarray) and arg.dtype != object else arg


def _holds_reals(arg: Any) -> bool:
    if isinstance(arg, tuple):
        return any(map(_holds_reals, arg))
    return isinstance(arg, Real) or (isinstance(arg, np.ndarray) and arg.dtype == object)


def _exactly(array: Any) -> Array:
    given = np.asarray(array)
    return real_array(given) if given.dtype.kind == "f" else given


def _given(value: Value, space: Mapping[str, Array]) -> Array:
    if value.name not in space:
        raise ProgramError(f"there is no array for {value.name}")
    return space[value.name]


def _bound(arg: Any, space: Mapping[str, Array], sizes: Mapping[str, int]) -> Any:
    if isinstance(arg, Value):
        return None if arg.dtype == "none" else _given(arg, space)
    if isinstance(arg, tuple):
        return tuple(_bound(a, space, sizes) for a in arg)
    return _number(arg, sizes) if isinstance(arg, (float, Size, Scalar)) else arg


def _number(number: Number, sizes: Mapping[str, int]) -> Any:
    """An ``int``, or the ``Real`` of a float constant or of arithmetic on sizes."""
    if isinstance(number, float):
        return decimal(number)
    if not isinstance(number, Scalar):
        return _size(number, sizes)
    args = [_number(a, sizes) for a in number.args]
    return _ARITHMETIC[number.op](*(Real(mpf_of(a)) for a in args))


def _size(dim: Dim, sizes: Mapping[str, int]) -> int:
    missing = dim.names() - set(sizes) if isinstance(dim, Size) else None
    if missing:
        raise ProgramError(f"there is no value for the size {min(missing)}")
    return int(number_value(dim, sizes))


_ARITHMETIC: dict[str, Any] = {
    "neg": lambda a: -a,
    "float": lambda a: a,
    "sqrt": lambda a: a.sqrt(),
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
}


def _fitted(op: Op, value: Value, array: Any, sizes: Mapping[str, int]) -> Array:
    out = np.asarray(array)
    shape = tuple(_size(d, sizes) for d in value.shape)
    if out.shape != shape:
        raise ProgramError(f"{op.name} gives the shape {out.shape} where {value.name} has {shape}")
    return reals(out) if value.floating else out.astype(numpy_dtype(value.dtype), copy=False)
