"""ATen's random operators to the op table: what is drawn is a value of the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..program.build import Builder, Var, op
from ..program.invoke import dtype_name
from ..program.ops import table

Bound = dict[str, Any]

# In-place draws, by the name of the operator without its underscore: the row and its arguments.
FILLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "uniform": ("uniform", ("from", "to")),
    "normal": ("normal", ("mean", "std")),
    "log_normal": ("log_normal", ("mean", "std")),
    "exponential": ("exponential", ("lambd",)),
    "cauchy": ("cauchy", ("median", "sigma")),
    "geometric": ("geometric", ("p",)),
    "bernoulli": ("bernoulli_mask", ("p",)),
}


def drawn_in_place(base: str, bound: Bound, old: Var) -> Var | None:
    """What ``old.uniform_(…)`` and the like put into ``old``; None for another operator."""
    name, parameters = FILLS.get(base, ("", ()))
    if not name or any(bound.get(p) is None or isinstance(bound[p], Var) for p in parameters):
        return None
    out: Var = old.builder.emit(table()[name], (old, *(bound[p] for p in parameters)))
    return out


def _bernoulli(b: Builder, a: Bound) -> Any:
    return op.bernoulli_mask(a["x"], a["p"]) if "p" in a else op.bernoulli(a["x"])


def _like(name: str) -> Callable[[Builder, Bound], Any]:
    def build(b: Builder, a: Bound) -> Any:
        return b.emit(table()[name], (_retyped(a),))

    return build


def _retyped(a: Bound) -> Var:
    """What a draw is to be like, in the dtype that is asked for."""
    x: Var = a["x"]
    dtype = a.get("dtype")
    return x if dtype in (None, x.dtype) else op.to(x, dtype)


def _sized(name: str) -> Callable[[Builder, Bound], Any]:
    def build(b: Builder, a: Bound) -> Any:
        return b.emit(table()[name], (a["size"], floating_dtype(a), a.get("device")))

    return build


def floating_dtype(a: Bound) -> str:
    """The dtype that is asked for, or torch's default."""
    return a.get("dtype") or dtype_name(torch.get_default_dtype())


def _integral(a: Bound) -> str | None:
    """The dtype if it was given; the schema's own default is a number."""
    dtype = a.get("dtype")
    return dtype if isinstance(dtype, str) and dtype != "int64" else None


def _randint(b: Builder, a: Bound) -> Any:
    how = (_integral(a), a.get("device"))
    return b.emit(table()["randint"], (a.get("low", 0), a["high"], a["size"], *how))


def _randint_like(b: Builder, a: Bound) -> Any:
    return op.randint_like(_retyped(a), a.get("low", 0), a["high"])


def _randperm(b: Builder, a: Bound) -> Any:
    return b.emit(table()["randperm"], (a["n"], _integral(a), a.get("device")))


def _normal(b: Builder, a: Bound) -> Any:
    if "size" in a:
        how = (floating_dtype(a), a.get("device"))
        return b.emit(table()["normal_of_size"], (a["mean"], a["std"], a["size"], *how))
    return op.normal_around(a["mean"], a["std"])


def _rrelu(b: Builder, a: Bound) -> Any:
    x, lower, upper = a["x"], float(a["lower"]), float(a["upper"])
    if not a["training"]:
        return op.leaky_relu(x, (lower + upper) / 2)
    # torch draws for the negative elements alone, and has 1 for the others
    slopes = b.emit(table()["rrelu_with_noise"], (x, op.zeros_like(x), lower, upper, True))[1]
    return x * slopes


SPECIAL_RANDOM: dict[str, Callable[[Builder, Bound], Any]] = {
    "bernoulli": _bernoulli,
    "rand_like": _like("rand_like"),
    "randn_like": _like("randn_like"),
    "rand": _sized("rand"),
    "randn": _sized("randn"),
    "randint": _randint,
    "randint_like": _randint_like,
    "randperm": _randperm,
    "normal": _normal,
    "rrelu": _rrelu,
}
