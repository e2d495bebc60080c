"""Building programs: variables that record what is done to them.

A ``Var`` pairs a program value with a fake tensor of the same shape and dtype (a tensor without
data), and every operator applied to a ``Var`` is recorded as a node after torch itself has told the
result's shape and dtype on the fakes. So shape inference is torch's own, symbolic sizes included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import sympy
import torch

from ..errors import ProgramError, UnsupportedError
from .invoke import dtype_name, dtype_of, invoke
from .ir import Node, Value
from .ops import Op, get_op
from .sizes import Dim, Scalar, Size, Symbol, number_value, symbol


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's log quiet: it gets a traceback of every kernel without shapes, handled or not."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


class SizeContext:
    """Translates between torch's symbolic integers and this package's sizes."""

    def __init__(self, shape_env: Any = None, fake_mode: Any = None) -> None:
        self.shape_env = shape_env
        self.fake_mode = fake_mode
        self._to_ours: dict[sympy.Symbol, sympy.Symbol] = {}
        self._to_torch: dict[sympy.Symbol, sympy.Symbol] = {}
        self.symbols: tuple[Symbol, ...] = ()
        self._dims: dict[sympy.Expr, Dim] = {}
        self._hints: dict[Size, int] = {}

    def name_symbols(self, named: Mapping[sympy.Symbol, Symbol]) -> None:
        """Say which of torch's symbols carries which of our names."""
        self._to_ours = {theirs: symbol(ours.name) for theirs, ours in named.items()}
        self._to_torch = {ours: theirs for theirs, ours in self._to_ours.items()}
        self.symbols = tuple(named.values())
        self._dims.clear()
        self._hints.clear()

    def in_torch(self, sizes: Mapping[str, int]) -> dict[sympy.Symbol, int]:
        """Values of our sizes as values of torch's symbols."""
        theirs = {ours.name: symbol for ours, symbol in self._to_torch.items()}
        return {theirs[name]: value for name, value in sizes.items() if name in theirs}

    def hints(self) -> dict[str, int]:
        return {s.name: s.hint for s in self.symbols}

    def dim(self, size: Any) -> Dim:
        """One of torch's sizes as an ``int`` or a ``Size``."""
        if isinstance(size, int):
            return size
        expr = size.node.expr
        known = self._dims.get(expr)
        if known is None:
            simple = self.shape_env.simplify(expr)
            known = self._dims[expr] = Size.of(simple.xreplace(self._to_ours))
        return known

    def hint(self, number: Any) -> Any:
        """A number at the example's sizes."""
        if isinstance(number, Size):
            known = self._hints.get(number)
            if known is None:
                known = self._hints[number] = number.evaluate(self.hints())
            return known
        return number_value(number, self.hints()) if isinstance(number, Scalar) else number

    def shape(self, tensor: torch.Tensor) -> tuple[Dim, ...]:
        return tuple(self.dim(s) for s in tensor.shape)

    def to_torch(self, number: Any) -> Any:
        """A number as torch takes it: a size as a symbolic integer, a float at the example."""
        if isinstance(number, Size):
            expr = number.expr.xreplace(self._to_torch)
            return self.shape_env.create_symintnode(expr, hint=self.hint(number))
        return self.hint(number) if isinstance(number, Scalar) else number

    def active(self) -> AbstractContextManager[Any]:
        return self.fake_mode if self.fake_mode is not None else nullcontext()


class Builder:
    """Collects nodes. ``names`` gives every anonymous value a unique name."""

    def __init__(self, context: SizeContext, taken: set[str] | None = None) -> None:
        self.context = context
        self.nodes: list[Node] = []
        self.vars: list[Var] = []
        self.taken = set(taken or ())
        # What the program under differentiation is made of, by value name: its nodes and variables.
        self.producers: Mapping[str, Node] = {}
        self.known: Mapping[str, Var] = {}
        self._next = 0

    def origin(self, x: Var) -> tuple[Node, Var] | None:
        """The node that made ``x`` and its first operand, if it was recorded lately or is known."""
        name = x.value.name
        recent = (n for n in reversed(self.nodes[-6:]) if any(o.name == name for o in n.outs))
        node = next(recent, None) or self.producers.get(name)
        operand = None if node is None else next(node.operands(), None)
        if node is None or operand is None:
            return None
        made = next((v for v in reversed(self.vars) if v.value.name == operand.name), None)
        source = made or self.known.get(operand.name)
        return None if source is None else (node, source)

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

    def emit(self, op: Op, args: tuple[Any, ...], known: Any = None) -> Any:
        """Record one node; returns its ``Var`` (a tuple of them for several outputs).

        ``known`` is the result, if somebody has it: it is checked at the example's sizes.
        """
        try:
            outs, many = self._results(op, args, known)
        except (ZeroDivisionError, RuntimeError, TypeError) as error:
            raise UnsupportedError(
                f"torch cannot tell the shape of {op.name} here: {str(error).splitlines()[0]}",
                hint="fixed sizes may help: derive(..., symbolic=False)",
            ) from error
        self.nodes.append(Node(op.name, tuple(map(_strip, args)), tuple(v.value for v in outs)))
        return outs if many else outs[0]

    def _results(self, op: Op, args: tuple[Any, ...], known: Any) -> tuple[tuple[Var, ...], bool]:
        shape = _broadcast(args) if op.kind == "elementwise" and op.outs == 1 else None
        if known is not None or shape is not None:
            # Symbolic sizes are slow: the shape is known, so plain numbers are enough to tell the
            # dtype and to notice a shape that is not the one expected.
            with torch.no_grad():
                result = invoke(op, tuple(self._at_example(a) for a in args))
            if known is not None:
                if _same_kind(self, result, known):
                    many = isinstance(known, (tuple, list))
                    return tuple(self._wrap(r) for r in (known if many else (known,))), many
            elif tuple(result.shape) == tuple(map(self.context.hint, shape or ())):
                value = Value(self.fresh(), shape or (), dtype_name(result.dtype))
                var = self.register(Var(self, value, (op, args)))
                var.depth = 1 + max(a.depth for a in args if isinstance(a, Var))
                if var.depth > 50:  # asking for a fake asks for its operands': not too deep
                    var.fake  # noqa: B018
                return (var,), False
        fakes = tuple(self._fake(a) for a in args)
        with self.context.active(), torch.no_grad(), _quiet():
            result = invoke(op, fakes)
        many = isinstance(result, (tuple, list))
        return tuple(self._wrap(r) for r in (result if many else (result,))), many

    def _at_example(self, arg: Any) -> Any:
        if isinstance(arg, Var):
            shape = [self.context.hint(d) for d in arg.shape]
            return torch.empty(shape, dtype=dtype_of(arg.dtype), device="meta")
        if isinstance(arg, tuple):
            return tuple(self._at_example(a) for a in arg)
        return self.context.hint(arg)

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


def _broadcast(args: tuple[Any, ...]) -> tuple[Dim, ...] | None:
    """The shape that elementwise operands broadcast to, if it can be told from theirs."""
    shapes = [a.shape for a in args if isinstance(a, Var)]
    if not shapes or any(isinstance(a, tuple) for a in args):
        return None
    out: list[Dim] = []
    for i in range(1, max(map(len, shapes)) + 1):
        sizes = {s[-i] for s in shapes if len(s) >= i}
        wide = sizes - {1}
        if len(wide) > 1:
            return None
        out.append(wide.pop() if wide else 1)
    return tuple(reversed(out))


def _same_kind(builder: Builder, result: Any, known: Any) -> bool:
    """Whether a result at the example's sizes has the shapes and dtypes of the known one."""
    ours = result if isinstance(result, (tuple, list)) else (result,)
    theirs = known if isinstance(known, (tuple, list)) else (known,)
    return len(ours) == len(theirs) and all(
        a.dtype == b.dtype
        and tuple(a.shape) == tuple(map(builder.context.hint, builder.context.shape(b)))
        for a, b in zip(ours, theirs, strict=True)
    )


def _strip(arg: Any) -> Any:
    if isinstance(arg, Var):
        return arg.value
    if isinstance(arg, tuple):
        return tuple(_strip(a) for a in arg)
    return arg


class Var:
    """A value under construction: arithmetic and ``op.name(...)`` on it are recorded."""

    __slots__ = ("_fake", "builder", "depth", "value")

    def __init__(
        self, builder: Builder, value: Value, fake: torch.Tensor | tuple[Op, tuple[Any, ...]]
    ) -> None:
        self.builder = builder
        self.value = value
        self._fake = fake
        self.depth = 0

    @property
    def fake(self) -> torch.Tensor:
        """A tensor without data of this shape, dtype and strides, made when somebody asks."""
        if isinstance(self._fake, tuple):
            op, args = self._fake
            fakes = tuple(self.builder._fake(a) for a in args)
            with self.builder.context.active(), torch.no_grad(), _quiet():
                made: torch.Tensor
                try:
                    made = invoke(op, fakes)
                except RuntimeError:
                    # a kernel that torch has no symbolic version of; shape and dtype are known
                    size = [self.builder.context.to_torch(d) for d in self.shape]
                    of = next(f for f in fakes if isinstance(f, torch.Tensor))
                    made = of.new_empty(size, dtype=dtype_of(self.dtype))
            self._fake, self.depth = made, 0
        return self._fake

    def called(self, stem: str) -> Var:
        """The same value under a name for people, should it be printed on a line of its own."""
        b = self.builder
        for i in range(len(b.nodes) - 1, -1, -1):
            outs = b.nodes[i].outs
            if any(out.name == self.value.name and out.var is None for out in outs):
                value = replace(self.value, name=b.fresh(stem))
                b.nodes[i] = replace(
                    b.nodes[i],
                    outs=tuple(value if out.name == self.value.name else out for out in outs),
                )
                var = b.register(Var(b, value, self._fake))
                var.depth = self.depth
                return var
        return self  # made elsewhere: it has its name

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
    if name.startswith("__"):
        raise AttributeError(name)  # Python asking for a protocol, not for an operator
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
