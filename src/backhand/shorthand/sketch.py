"""A builder that tells shapes and dtypes itself, for the few operators that closed forms use.

Many spellings of a region are tried before one is taken, and asking torch about each operator of
each of them would take seconds.
"""

from __future__ import annotations

from typing import Any

import torch

from ..program.build import Builder, Var, _strip
from ..program.invoke import dtype_name, dtype_of
from ..program.ir import Node, Value
from ..program.ops import Op
from ..program.shapes import broadcast
from ..program.sizes import Dim

NO_FAKE = torch.empty(0, device="meta")
CONDITIONS = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "logical_not"})


class Unsketched(Exception):
    """An operator whose result is not known here."""


class Sketch(Builder):
    """Records nodes like any builder; variables that it makes have no fake tensors."""

    def emit(self, op: Op, args: tuple[Any, ...], known: Any = None) -> Any:
        shape = self._shape(op, args)
        value = Value(self.fresh(), shape, _dtype(op, args))
        self.nodes.append(Node(op.name, tuple(map(_strip, args)), (value,)))
        return Var(self, value, NO_FAKE)

    def _shape(self, op: Op, args: tuple[Any, ...]) -> tuple[Dim, ...]:
        given = op.named(args)
        if op.name in ("full",):
            return tuple(given["size"])
        if op.kind == "elementwise" or op.name == "masked_fill":
            return broadcast(args) or self._spread(op, args)
        x = given["x"]
        shape, rank = list(x.shape), len(x.shape)
        if op.name in ("sum", "mean"):
            dim = given["dim"]
            dims = {d % rank for d in (dim if isinstance(dim, tuple) else (dim,))}
            if given["keepdim"]:
                return tuple(1 if k in dims else d for k, d in enumerate(shape))
            return tuple(d for k, d in enumerate(shape) if k not in dims)
        if op.name in ("softmax", "to", "scatter_add"):
            return tuple(shape)
        if op.name == "expand":
            return tuple(given["size"])
        if op.name == "squeeze":
            return tuple(d for k, d in enumerate(shape) if k != given["dim"])
        if op.name == "unsqueeze":
            shape.insert(given["dim"], 1)
            return tuple(shape)
        if op.name == "transpose":
            i, j = given["dim0"], given["dim1"]
            shape[i], shape[j] = shape[j], shape[i]
            return tuple(shape)
        if op.name == "permute":
            return tuple(shape[d] for d in given["dims"])
        if op.name == "one_hot":
            return (*shape, given["num_classes"])
        if op.name == "gather":
            return tuple(given["index"].shape)
        if op.name == "index" and all(isinstance(i, Var) for i in given["indices"]):
            shapes = {i.shape for i in given["indices"]}
            if len(given["indices"]) == rank and len(shapes) == 1:
                return tuple(shapes.pop())
        raise Unsketched(op.name)

    def _spread(self, op: Op, args: tuple[Any, ...]) -> tuple[Dim, ...]:
        """The broadcast shape where sizes are written differently and are equal in the example.

        Whether they always are is seen when the gates run at other sizes.
        """
        shapes = [a.shape for a in args if isinstance(a, Var)]
        out: list[Dim] = []
        for i in range(1, max(map(len, shapes), default=0) + 1):
            sizes = [s[-i] for s in shapes if len(s) >= i and s[-i] != 1]
            if len({self.context.hint(d) for d in sizes}) > 1:
                raise Unsketched(f"{op.name} of shapes that do not fit together")
            out.insert(0, sizes[0] if sizes else 1)
        return tuple(out)


def _dtype(op: Op, args: tuple[Any, ...]) -> str:
    if op.name in CONDITIONS:
        return "bool"
    if op.name == "one_hot":
        return "int64"
    if op.name in ("full", "to"):
        return str(args[op.index("dtype")])
    if op.name in ("gather", "index", "scatter_add"):
        return str(args[0].dtype)
    operands = [a for a in args if isinstance(a, Var)]
    wide = [a for a in operands if a.shape and dtype_of(a.dtype).is_floating_point]
    # a tensor without axes does not decide over those that have some
    dtypes = [dtype_of(a.dtype) for a in wide or operands]
    if any(isinstance(a, float) for a in args) and not any(d.is_floating_point for d in dtypes):
        dtypes.append(torch.get_default_dtype())
    out = dtypes[0]
    for d in dtypes[1:]:
        out = torch.promote_types(out, d)
    return dtype_name(out)
