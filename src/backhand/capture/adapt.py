"""From ATen calls to the op table: argument names, and the few calls that need more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import UnsupportedError
from ..program.build import Builder, Var, op
from ..program.invoke import dtype_name
from ..program.ops import Op, table
from .adapt_data import SPECIAL_DATA
from .adapt_math import ORIENTED, RENAMED_MATH, SPECIAL_MATH, note_orientation
from .adapt_nn import SPECIAL_NN
from .adapt_random import SPECIAL_RANDOM, floating_dtype

Bound = dict[str, Any]

RENAMED = {
    **RENAMED_MATH,
    "max.dim": "max_dim",
    "min.dim": "min_dim",
    "max.other": "maximum",
    "min.other": "minimum",
    "div.Tensor_mode": "div_mode",
    "div.Scalar_mode": "div_mode",
    "linalg_vector_norm.default": "vector_norm",
    "detach.default": "stop_gradient",
    "alias.default": "identity",
    "_softmax.default": "_softmax",
}
# Arguments that say where and how memory is laid out, never what is computed.
_IGNORED = frozenset(
    {
        "layout",
        "device",
        "pin_memory",
        "memory_format",
        "non_blocking",
        "sparse_grad",
        "implicit",
        "generator",
        "copy",
    }
)


def overload_name(target: Any) -> str:
    """``"sum.dim_IntList"`` for an ATen overload."""
    name: str = target._schema.name.removeprefix("aten::")
    return f"{name}.{target._overloadname}"


def op_name(target: Any) -> str:
    """The op table's name for an ATen overload (it may have no row)."""
    full = overload_name(target)
    base = full.partition(".")[0]
    return RENAMED.get(full, base)


def bind(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Bound:
    """The arguments of an ATen call by name, defaults filled in; ``self`` is called ``x``."""
    bound: Bound = {}
    for i, argument in enumerate(target._schema.arguments):
        name = "x" if argument.name in ("self", "input") else argument.name
        if i < len(args) and not argument.kwarg_only:
            bound[name] = args[i]
        elif argument.name in kwargs:
            bound[name] = kwargs[argument.name]
        elif argument.has_default_value():
            bound[name] = argument.default_value
    return {k: _plain(v) for k, v in bound.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if isinstance(value, (list, tuple)):
        return tuple(_plain(v) for v in value)
    return value


def supported(target: Any) -> bool:
    """Whether an ATen overload has a place in the op table."""
    return (
        overload_name(target) in SPECIAL or op_name(target) in SPECIAL or op_name(target) in table()
    )


def adapt(b: Builder, target: Any, bound: Bound, known: Any = None) -> Any:
    """Record an ATen call with the builder; a ``Var`` or a tuple of them comes back.

    ``known`` is the call's result, tensors without data, where the tracer has seen it.
    """
    name = op_name(target)
    if name in ORIENTED:
        note_orientation(next(v for v in bound.values() if isinstance(v, Var)))
    special = SPECIAL.get(overload_name(target)) or SPECIAL.get(name)
    if special is not None:
        return special(b, bound)
    row = table().get(name)
    if row is None:
        raise UnsupportedError(f"the operator aten.{overload_name(target)} is not supported")
    return generic(b, row, target, bound, known)


def generic(b: Builder, row: Op, target: Any, bound: Bound, known: Any = None) -> Any:
    """The usual case: the same arguments under the same names."""
    rest = {k: v for k, v in bound.items() if k not in _IGNORED}
    args: list[Any] = []
    for p in row.params:
        if p.name in rest:
            value = rest.pop(p.name)
            args.append(p.default if value is None and not p.required else value)
        elif not p.required:
            args.append(p.default)
        else:
            raise UnsupportedError(f"aten.{overload_name(target)} is not supported in this form")
    defaults = {a.name: a.default_value for a in target._schema.arguments if a.has_default_value()}
    odd = [k for k, v in rest.items() if k not in defaults or _plain(defaults[k]) != v]
    if odd:
        raise UnsupportedError(
            f"the operator {row.name} is not supported with the argument {odd[0]}={rest[odd[0]]!r}"
        )
    if row.name in _ONE_DIM:
        i = row.index("dim")
        dim = args[i]
        if isinstance(dim, tuple):
            every = dim if row.params[i].required else row.params[i].default
            args[i] = dim[0] if len(dim) == 1 else (dim or every)
    if row.name in _AXES_TO_KEEP and args[row.index("keepdim")] and args[row.index("dim")] is None:
        axes = tuple(range(args[0].rank))
        args[row.index("dim")] = axes[0] if len(axes) == 1 else axes or None
        args[row.index("keepdim")] = bool(axes)
    return b.emit(row, tuple(args), known)


# Reductions that take one axis or several: one is written as an int, none means all.
_ONE_DIM = frozenset(
    {"sum", "mean", "nansum", "var", "std", "amax", "amin", "logsumexp", "vector_norm"}
)

# Reductions whose methods take a ``keepdim`` only together with the axes.
_AXES_TO_KEEP = frozenset({"sum", "mean", "nansum", "any", "all"})


def _with_alpha(b: Builder, row: Op, a: Bound) -> Var:
    alpha = a.get("alpha", 1)
    if alpha == 1 and type(alpha) is int:
        out: Var = b.emit(row, (a["x"], a["other"]))
        return out
    scaled: Var = b.emit(table()[f"{row.name}_alpha"], (a["x"], a["other"], alpha))
    return scaled


def _div_mode(b: Builder, a: Bound) -> Any:
    if a["rounding_mode"] is None:
        return b.emit(table()["div"], (a["x"], a["other"]))
    return b.emit(table()["div_mode"], (a["x"], a["other"], a["rounding_mode"]))


def _to(b: Builder, a: Bound) -> Any:
    x: Var = a["x"]
    dtype = a.get("dtype")
    if dtype is None and isinstance(a.get("other"), Var):
        dtype = a["other"].dtype
    if dtype is None or dtype == x.dtype:
        x = op.clone(x) if a.get("copy") else x
    else:
        x = op.to(x, dtype)
    # the converter says where to only if that may be another device
    return x if a.get("device") is None else op.to_device(x, a["device"])


def _full(value: Any) -> Callable[[Builder, Bound], Any]:
    def build(b: Builder, a: Bound) -> Any:
        fill = a["fill_value"] if value is None else value
        dtype = a.get("dtype")
        if dtype is None:
            inferred = "bool" if isinstance(fill, bool) else "int64"
            like = a.get("x")
            if isinstance(like, Var):
                dtype = like.dtype
            elif value is None and isinstance(fill, (bool, int)):
                dtype = inferred
            else:
                dtype = floating_dtype(a)
        like = a.get("x")
        itself = "size" not in a and isinstance(like, Var) and like is a.get("device")
        if isinstance(like, Var) and itself and dtype == like.dtype and fill in (0, 1):
            return op.ones_like(like) if fill else op.zeros_like(like)
        size = a["size"] if "size" in a else a["x"].shape
        return op.full(size, fill, dtype=dtype, device=a.get("device"), builder=b)

    return build


def _arange(b: Builder, a: Bound) -> Any:
    start, end, step = a.get("start", 0), a["end"], a.get("step", 1)
    how = {"dtype": a.get("dtype"), "device": a.get("device")}
    return op.arange(start, end, step, **how, builder=b)


def _eye(b: Builder, a: Bound) -> Any:
    how = {"dtype": a.get("dtype"), "device": a.get("device")}
    return op.eye(a["n"], a.get("m", a["n"]), **how, builder=b)


def _linspace(b: Builder, a: Bound) -> Any:
    how = {"dtype": a.get("dtype"), "device": a.get("device")}
    return op.linspace(a["start"], a["end"], a["steps"], **how, builder=b)


def _slice(b: Builder, a: Bound) -> Any:
    x: Var = a["x"]
    dim = a["dim"] % x.rank
    start, end = a["start"], a["end"]
    if isinstance(end, int) and end >= 2**62:
        end = None
    if isinstance(start, int) and start == 0:
        start = None
    if start is None and a["step"] == 1 and (end is None or end == x.shape[dim]):
        return x  # x[:] in front of another index
    return op.slice(x, dim, start, end, a["step"])


def _select(b: Builder, a: Bound) -> Any:
    return op.select(a["x"], a["dim"] % a["x"].rank, a["index"])


def _dropout(b: Builder, a: Bound) -> Any:
    x: Var = a["x"]
    p = a["p"]
    if not a["train"] or p == 0:
        return x
    if p == 1:
        return x * 0.0
    keep = op.bernoulli_mask(x, 1 - p)
    return x * (keep / (1 - p))


def _identity(b: Builder, a: Bound) -> Any:
    return a["x"]


def _contiguous(b: Builder, a: Bound) -> Any:
    """A copy only where torch makes one: a view after it needs the elements in order."""
    x: Var = a["x"]
    return x if x.fake.is_contiguous() else b.emit(table()["contiguous"], (x,))


def _clone(b: Builder, a: Bound) -> Any:
    ordered = a.get("memory_format") is torch.contiguous_format and not a["x"].fake.is_contiguous()
    return b.emit(table()["contiguous" if ordered else "clone"], (a["x"],))


def _softmax(name: str) -> Callable[[Builder, Bound], Any]:
    def build(b: Builder, a: Bound) -> Any:
        return b.emit(table()[name], (a["x"], a["dim"], "float32" if a["half_to_float"] else None))

    return build


def _sort(b: Builder, a: Bound) -> Any:
    return op.sort(a["x"], a["dim"], descending=a["descending"], stable=bool(a.get("stable")))


def _expand(b: Builder, a: Bound) -> Any:
    x: Var = a["x"]
    size = a["size"]
    extra = len(size) - x.rank
    return op.expand(
        x,
        tuple(x.shape[i - extra] if type(s) is int and s == -1 else s for i, s in enumerate(size)),
    )


SPECIAL: dict[str, Callable[[Builder, Bound], Any]] = {
    **SPECIAL_NN,
    **SPECIAL_MATH,
    **SPECIAL_DATA,
    **SPECIAL_RANDOM,
    "add": lambda b, a: _with_alpha(b, table()["add"], a),
    "sub": lambda b, a: _with_alpha(b, table()["sub"], a),
    "div_mode": _div_mode,
    "to": _to,
    "_to_copy": lambda b, a: _to(b, {**a, "copy": True}),
    "type_as": _to,
    "contiguous": _contiguous,
    "clone": _clone,
    "identity": _identity,
    "lift_fresh_copy": _to,
    "lift_fresh": _to,
    "positive": _identity,
    "full": _full(None),
    "full_like": _full(None),
    "new_full": _full(None),
    "zeros": _full(0),
    "zeros_like": _full(0),
    "new_zeros": _full(0),
    "empty": _full(0),
    "empty_like": _full(0),
    "new_empty": _full(0),
    "ones": _full(1),
    "ones_like": _full(1),
    "new_ones": _full(1),
    "scalar_tensor": lambda b, a: op.full(
        (), a["s"], dtype=floating_dtype(a), device=a.get("device"), builder=b
    ),
    "arange": _arange,
    "eye": _eye,
    "linspace": _linspace,
    "slice": _slice,
    "select": _select,
    "dropout": _dropout,
    "expand": _expand,
    "_softmax": _softmax("softmax"),
    "_log_softmax": _softmax("log_softmax"),
    "sort": _sort,
}
