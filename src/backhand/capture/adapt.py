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
from .adapt_math import RENAMED_MATH, SPECIAL_MATH
from .adapt_nn import SPECIAL_NN

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
            args[i] = dim[0] if len(dim) == 1 else (dim or row.params[i].default)
    return b.emit(row, tuple(args), known)


# Reductions that take one axis or several: one is written as an int, none means all.
_ONE_DIM = frozenset(
    {"sum", "mean", "nansum", "var", "std", "amax", "amin", "logsumexp", "vector_norm"}
)


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
        return op.clone(x) if a.get("copy") else x
    return op.to(x, dtype)


def _dtype(a: Bound) -> str:
    return a.get("dtype") or dtype_name(torch.get_default_dtype())


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
                dtype = _dtype(a)
        size = a["size"] if "size" in a else a["x"].shape
        return op.full(size, fill, dtype=dtype, builder=b)

    return build


def _arange(b: Builder, a: Bound) -> Any:
    start, end, step = a.get("start", 0), a["end"], a.get("step", 1)
    return op.arange(start, end, step, dtype=a.get("dtype"), builder=b)


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


def _bernoulli(b: Builder, a: Bound) -> Any:
    return op.bernoulli_mask(a["x"], a["p"]) if "p" in a else op.bernoulli(a["x"])


def _like(name: str) -> Callable[[Builder, Bound], Any]:
    def build(b: Builder, a: Bound) -> Any:
        x: Var = a["x"]
        dtype = a.get("dtype")
        return b.emit(table()[name], (x if dtype in (None, x.dtype) else op.to(x, dtype),))

    return build


def _sized_random(name: str) -> Callable[[Builder, Bound], Any]:
    def build(b: Builder, a: Bound) -> Any:
        return b.emit(table()[name], (a["size"], _dtype(a)))

    return build


SPECIAL: dict[str, Callable[[Builder, Bound], Any]] = {
    **SPECIAL_NN,
    **SPECIAL_MATH,
    **SPECIAL_DATA,
    "add": lambda b, a: _with_alpha(b, table()["add"], a),
    "sub": lambda b, a: _with_alpha(b, table()["sub"], a),
    "div_mode": _div_mode,
    "to": _to,
    "_to_copy": lambda b, a: _to(b, {**a, "copy": True}),
    "type_as": _to,
    "contiguous": _contiguous,
    "clone": _clone,
    "identity": _identity,
    "lift_fresh_copy": _identity,
    "lift_fresh": _identity,
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
    "scalar_tensor": lambda b, a: op.full((), a["s"], dtype=_dtype(a), builder=b),
    "arange": _arange,
    "slice": _slice,
    "select": _select,
    "dropout": _dropout,
    "expand": _expand,
    "_softmax": _softmax("softmax"),
    "_log_softmax": _softmax("log_softmax"),
    "sort": _sort,
    "bernoulli": _bernoulli,
    "rand_like": _like("rand_like"),
    "randn_like": _like("randn_like"),
    "rand": _sized_random("rand"),
    "randn": _sized_random("randn"),
}
