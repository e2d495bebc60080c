"""Building programs: variables that record what is done to them.

A ``Var`` pairs a program value with a fake tensor of the same shape and dtype (a tensor without
data), and every operator applied to a ``Var`` is recorded as a node after torch itself has told the
result's shape and dtype on the fakes. So shape inference is torch's own, symbolic sizes included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import sympy
import torch

from ..errors import ProgramError
from .invoke import dtype_name, invoke
from .ir import Node, Value
from .ops import Op, get_op
from .sizes import Dim, Scalar, Size, Symbol, number_value, symbol


class SizeContext:
    """Translates between torch's symbolic integers and this package's sizes."""

    def __init__(self, shape_env: Any = None, fake_mode: Any = None) -> None:
        self.shape_env = shape_env
        self.fake_mode = fake_mode
        self._to_ours: dict[sympy.Symbol, sympy.Symbol] = {}
        self._to_torch: dict[sympy.Symbol, sympy.Symbol] = {}
        self.symbols: tuple[Symbol, ...] = ()

    def name_symbols(self, named: Mapping[sympy.Symbol, Symbol]) -> None:
        """Say which of torch's symbols carries which of our names."""
        self._to_ours = {theirs: symbol(ours.name) for theirs, ours in named.items()}
        self._to_torch = {ours: theirs for theirs, ours in self._to_ours.items()}
        self.symbols = tuple(named.values())

    def hints(self) -> dict[str, int]:
        return {s.name: s.hint for s in self.symbols}

    def dim(self, size: Any) -> Dim:
        """One of torch's sizes as an ``int`` or a ``Size``."""
        if isinstance(size, int):
            return size
        expr = self.shape_env.simplify(size.node.expr)
        return Size.of(expr.xreplace(self._to_ours))

    def shape(self, tensor: torch.Tensor) -> tuple[Dim, ...]:
        return tuple(self.dim(s) for s in tensor.shape)

    def to_torch(self, number: Any) -> Any:
        """A number as torch takes it: a size as a symbolic integer, a float at the example."""
        if isinstance(number, Size):
            expr = number.expr.xreplace(self._to_torch)
            hint = number.evaluate(self.hints())
            return self.shape_env.create_symintnode(expr, hint=hint)
        if isinstance(number, Scalar):
            return number_value(number, self.hints())
        return number

    def active(self) -> AbstractContextManager[Any]:
        return self.fake_mode if self.fake_mode is not None else nullcontext()


class Builder:
    """Collects nodes. ``names`` gives every anonymous value a unique name."""

    def __init__(self, context: SizeContext, taken: set[str] | None = None) -> None:
        self.context = context
        self.nodes: list[Node] = []
        self.vars: list[Var] = []
        self.taken = set(taken or ())
        self._next = 0

    def fresh(self, stem: str = "t") -> str:
        """A name that no value of the program has yet."""
        if stem != "t" and stem not in self.taken:
            self.taken.add(stem)
            return stem
        while True:
            self._next += 1
            name = f"{stem}_{self._next}"
            if name not in self.taken:
                self.taken.add(name)
                return name

    def emit(self, op: Op, args: tuple[Any, ...]) -> Any:
        """Record one node; returns its ``Var`` (a tuple of them for several outputs)."""
        fakes = tuple(self._fake(a) for a in args)
        with self.context.active(), torch.no_grad():
            result = invoke(op, fakes)
        many = isinstance(result, (tuple, list))
        outs = tuple(self._wrap(r) for r in (result if many else (result,)))
        self.nodes.append(Node(op.name, tuple(map(_strip, args)), tuple(v.value for v in outs)))
        return outs if many else outs[0]

    def _wrap(self, fake: torch.Tensor | None) -> Var:
        if fake is None:  # an output that a kernel was told not to compute
            return Var(self, Value(self.fresh(), (), "none"), torch.empty(0, device="meta"))
        value = Value(self.fresh(), self.context.shape(fake), dtype_name(fake.dtype))
        return self.register(Var(self, value, fake))

    def register(self, var: Var) -> Var:
        """Remember a variable, so that its fake tensor can be found by name later."""
        self.vars.append(var)
        return var

    def _fake(self, arg: Any) -> Any:
        if isinstance(arg, Var):
            return arg.fake
        if isinstance(arg, tuple):
            return tuple(self._fake(a) for a in arg)
        return self.context.to_torch(arg)


def _strip(arg: Any) -> Any:
    if isinstance(arg, Var):
        return arg.value
    if isinstance(arg, tuple):
        return tuple(_strip(a) for a in arg)
    return arg


class Var:
    """A value under construction: arithmetic and ``op.name(...)`` on it are recorded."""

    __slots__ = ("builder", "fake", "value")

    def __init__(self, builder: Builder, value: Value, fake: torch.Tensor) -> None:
        self.builder = builder
        self.value = value
        self.fake = fake

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.value.shape

    @property
    def rank(self) -> int:
        return len(self.value.shape)

    @property
    def dtype(self) -> str:
        return self.value.dtype

    def __add__(self, other: Any) -> Var:
        return op.add(self, other)

    def __radd__(self, other: Any) -> Var:
        return op.add(other, self)

    def __sub__(self, other: Any) -> Var:
        return op.sub(self, other)

    def __rsub__(self, other: Any) -> Var:
        return op.sub(other, self)

    def __mul__(self, other: Any) -> Var:
        return op.mul(self, other)

    def __rmul__(self, other: Any) -> Var:
        return op.mul(other, self)

    def __truediv__(self, other: Any) -> Var:
        return op.div(self, other)

    def __rtruediv__(self, other: Any) -> Var:
        return op.div(other, self)

    def __pow__(self, other: Any) -> Var:
        return op.pow(self, other)

    def __matmul__(self, other: Any) -> Var:
        return op.matmul(self, other)

    def __neg__(self) -> Var:
        return op.neg(self)

    def __lt__(self, other: Any) -> Var:
        return op.lt(self, other)

    def __le__(self, other: Any) -> Var:
        return op.le(self, other)

    def __gt__(self, other: Any) -> Var:
        return op.gt(self, other)

    def __ge__(self, other: Any) -> Var:
        return op.ge(self, other)

    def eq(self, other: Any) -> Var:
        return op.eq(self, other)

    def __repr__(self) -> str:
        return f"Var({self.value.name}: {self.dtype}{list(map(str, self.shape))})"


def _recorder(name: str) -> Callable[..., Any]:
    row = get_op(name)

    def apply(*args: Any, builder: Builder | None = None, **kwargs: Any) -> Any:
        bound = row.bind(tuple(map(_freeze, args)), {k: _freeze(v) for k, v in kwargs.items()})
        return (builder or _builder_of(bound)).emit(row, bound)

    return apply


class _One:
    """``op.exp(x)`` records ``exp``: every row of the op table with one output is an attribute."""

    def __getattr__(self, name: str) -> Callable[..., Var]:
        return _recorder(name)


class _Many:
    """``many.sort(x)`` records an operator with several outputs and gives a tuple."""

    def __getattr__(self, name: str) -> Callable[..., tuple[Var, ...]]:
        return _recorder(name)


def _freeze(arg: Any) -> Any:
    return tuple(map(_freeze, arg)) if isinstance(arg, (list, tuple)) else arg


def _builder_of(args: tuple[Any, ...]) -> Builder:
    for arg in args:
        if isinstance(arg, Var):
            return arg.builder
        if isinstance(arg, tuple):
            for item in arg:
                if isinstance(item, Var):
                    return item.builder
    raise ProgramError("an operator without tensor arguments needs builder=…")


op = _One()
many = _Many()
