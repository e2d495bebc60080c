"""Building programs: variables that record what is done to them.

Every operator applied to a ``Var`` is recorded as a node after torch itself has told the result's
shape and dtype. Torch is asked on tensors without data: where the operands' shapes tell that of the
result (``shapes.py``) it is checked on tensors of the example's sizes, else found on fake tensors
with symbolic sizes, which are only made for what needs them.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import sympy
import torch

from ..errors import ProgramError, UnsupportedError
from .invoke import dtype_name, dtype_of, invoke
from .ir import Node, Value
from .ops import Op, get_op
from .shapes import told
from .sizes import Dim, Scalar, Size, Symbol, number_value, symbol


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's log quiet: it gets a traceback of every kernel without shapes, handled or not."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before = log.disabled
    log.disabled = True  # a change of level would empty every logger's cache
    try:
        yield
    finally:
        log.disabled = before


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

    @property
    def to_theirs(self) -> Mapping[sympy.Symbol, sympy.Symbol]:
        """Torch's symbol for each of ours."""
        return self._to_torch

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

    def example(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor without data at the example's sizes, laid out like one with symbolic sizes."""
        numbers = (_at_example(n) for n in (*tensor.shape, *tensor.stride()))
        sizes = tuple(numbers)
        shape, stride = sizes[: tensor.dim()], sizes[tensor.dim() :]
        return torch.empty_strided(shape, stride, dtype=tensor.dtype, device="meta")

    def product(self, dims: tuple[Dim, ...]) -> Dim:
        """The product of sizes, in torch's spelling."""
        return self.dim(reduce(operator.mul, map(self.to_torch, dims)))

    def total(self, dims: tuple[Dim, ...]) -> Dim:
        """The sum of sizes, in torch's spelling."""
        return self.dim(reduce(operator.add, map(self.to_torch, dims)))

    def to_torch(self, number: Any) -> Any:
        """A number as torch takes it: a size as a symbolic integer, a float at the example."""
        if isinstance(number, Size):
            expr = number.expr.xreplace(self._to_torch)
            return self.shape_env.create_symintnode(expr, hint=self.hint(number))
        return self.hint(number) if isinstance(number, Scalar) else number

    def active(self) -> AbstractContextManager[Any]:
        return self.fake_mode if self.fake_mode is not None else nullcontext()


def _at_example(size: Any) -> int:
    return size if isinstance(size, int) else int(size.node.hint)


class Builder:
    """Collects nodes. ``taken`` are names that no new value may have.

    With ``torch_spells`` sizes are written as torch's own tracer writes them, where one size has
    several spellings: torch is then asked about everything that is not elementwise.
    """

    def __init__(
        self, context: SizeContext, taken: set[str] | None = None, torch_spells: bool = False
    ) -> None:
        self.context = context
        self.torch_spells = torch_spells
        self.nodes: list[Node] = []
        self.vars: dict[str, Var] = {}
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
        source = self.vars.get(operand.name) or self.known.get(operand.name)
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
        if known is not None:
            # Symbolic sizes are slow: the shape is known, so plain numbers are enough to tell the
            # dtype and to notice a shape that is not the one expected.
            with torch.no_grad():
                result = invoke(op, tuple(self._plain_example(a) for a in args))
            if _same_kind(self, result, known):
                many = isinstance(known, (tuple, list))
                return tuple(self._wrap(r) for r in (known if many else (known,))), many
        asked = self.torch_spells and op.kind != "elementwise"
        shapes = None if asked else told(op, args, self.context.product, self.context.total)
        if shapes is not None:
            # what is created from numbers alone would have data otherwise
            alone = next(vars_in(args), None) is None
            with torch.no_grad(), torch.device("meta") if alone else nullcontext():
                result = invoke(op, tuple(self._example(a) for a in args))
            many = isinstance(result, (tuple, list))
            examples = tuple(result) if many else (result,)
            if self._agree(examples, shapes):
                made = zip(range(len(shapes)), shapes, examples, strict=True)
                return tuple(self._later(op, args, *one, many=many) for one in made), many
        fakes = tuple(self._fake(a) for a in args)
        with self.context.active(), torch.no_grad(), _quiet():
            result = invoke(op, fakes)
        many = isinstance(result, (tuple, list))
        return tuple(self._wrap(r) for r in (result if many else (result,))), many

    def _agree(
        self, examples: tuple[torch.Tensor | None, ...], shapes: tuple[tuple[Dim, ...], ...]
    ) -> bool:
        return all(
            example is None or tuple(example.shape) == tuple(map(self.context.hint, shape))
            for example, shape in zip(examples, shapes, strict=True)
        )

    def _later(
        self,
        op: Op,
        args: tuple[Any, ...],
        i: int,
        shape: tuple[Dim, ...],
        example: torch.Tensor | None,
        *,
        many: bool,
    ) -> Var:
        """The variable of a result whose fake tensor is made when somebody asks for it."""
        if example is None:
            return self._wrap(None)
        value = Value(self.fresh(), shape, dtype_name(example.dtype))
        return self.register(Var(self, value, Call(op, args, i if many else None), example))

    def _plain_example(self, arg: Any) -> Any:
        """An argument at the example's sizes, whatever its strides."""

        def plain(var: Var) -> torch.Tensor:
            shape = [self.context.hint(d) for d in var.shape]
            return torch.empty(shape, dtype=dtype_of(var.dtype), device="meta")

        return _mapped(arg, plain, self.context.hint)

    def _example(self, arg: Any) -> Any:
        return _mapped(arg, lambda var: var.example, self.context.hint)

    def _wrap(self, fake: torch.Tensor | None) -> Var:
        if fake is None:  # an output that a kernel was told not to compute
            return Var(self, Value(self.fresh(), (), "none"), torch.empty(0, device="meta"))
        value = Value(self.fresh(), self.context.shape(fake), dtype_name(fake.dtype))
        return self.register(Var(self, value, fake))

    def register(self, var: Var) -> Var:
        """Remember a variable, so that its fake tensor can be found by name later."""
        self.vars[var.value.name] = var
        return var

    def _fake(self, arg: Any) -> Any:
        return _mapped(arg, lambda var: var.fake, self.context.to_torch)


def _same_kind(builder: Builder, result: Any, known: Any) -> bool:
    """Whether a result at the example's sizes has the shapes and dtypes of the known one."""
    ours = result if isinstance(result, (tuple, list)) else (result,)
    theirs = known if isinstance(known, (tuple, list)) else (known,)
    return len(ours) == len(theirs) and all(
        a.dtype == b.dtype
        and tuple(a.shape) == tuple(map(builder.context.hint, builder.context.shape(b)))
        for a, b in zip(ours, theirs, strict=True)
    )


def _mapped(arg: Any, var: Callable[[Var], Any], other: Callable[[Any], Any]) -> Any:
    """An argument with every variable, and everything else in it, replaced."""
    if isinstance(arg, Var):
        return var(arg)
    if isinstance(arg, tuple):
        return tuple(_mapped(a, var, other) for a in arg)
    return other(arg)


def _strip(arg: Any) -> Any:
    return _mapped(arg, lambda var: var.value, lambda x: x)


@dataclass(frozen=True, slots=True)
class Call:
    """The call that makes a value: which of its results it is, ``None`` for the only one."""

    op: Op
    args: tuple[Any, ...]
    result: int | None = None


class Var:
    """A value under construction: arithmetic and ``op.name(...)`` on it are recorded."""

    __slots__ = ("_example", "_fake", "builder", "value")

    def __init__(
        self,
        builder: Builder,
        value: Value,
        fake: torch.Tensor | Call | Var,
        example: torch.Tensor | None = None,
    ) -> None:
        """``fake`` may be the call that makes it, or a variable that stands for the same value."""
        self.builder = builder
        self.value = value
        self._fake = fake
        self._example = example

    @property
    def example(self) -> torch.Tensor:
        """A tensor without data at the example's sizes, with the strides that torch gives it."""
        if self._example is None:
            if isinstance(self._fake, Var):
                self._example = self._fake.example
            else:
                self._example = self.builder.context.example(self.fake)
        return self._example

    @property
    def fake(self) -> torch.Tensor:
        """A tensor without data of this shape, dtype and strides, made when somebody asks."""
        pending = [self]
        while pending:  # a chain of calls may be longer than Python's stack
            var = pending[-1]
            missing = [v for v in var._reads() if not isinstance(v._fake, torch.Tensor)]
            if missing:
                pending += missing
            else:
                var._make()
                pending.pop()
        made = self._fake
        assert isinstance(made, torch.Tensor)
        return made

    def _reads(self) -> Iterator[Var]:
        if isinstance(self._fake, Var):
            yield self._fake
        elif isinstance(self._fake, Call):
            yield from vars_in(self._fake.args)

    def _make(self) -> None:
        call = self._fake
        if isinstance(call, torch.Tensor):
            return
        if isinstance(call, Var):
            self._fake = call.fake
            return
        context = self.builder.context
        fakes = tuple(self.builder._fake(a) for a in call.args)
        with context.active(), torch.no_grad(), _quiet():
            try:
                made = invoke(call.op, fakes)
                self._fake = made if call.result is None else made[call.result]
            except RuntimeError:
                # a kernel that torch has no symbolic version of; shape and dtype are known
                size = [context.to_torch(d) for d in self.shape]
                of = next(f for f in fakes if isinstance(f, torch.Tensor))
                self._fake = of.new_empty(size, dtype=dtype_of(self.dtype))

    def called(self, stem: str) -> Var:
        """The same value under a name for people, should it be printed on a line of its own."""
        b = self.builder
        if self.value.name in b.known:
            return self
        for i in range(len(b.nodes) - 1, -1, -1):
            outs = b.nodes[i].outs
            if any(out.name == self.value.name and out.var is None for out in outs):
                value = replace(self.value, name=b.fresh(stem))
                b.nodes[i] = replace(
                    b.nodes[i],
                    outs=tuple(value if out.name == self.value.name else out for out in outs),
                )
                return b.register(Var(b, value, self._fake, self._example))
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


def vars_in(arg: Any) -> Iterator[Var]:
    """Every variable of an argument."""
    if isinstance(arg, Var):
        yield arg
    elif isinstance(arg, tuple):
        for item in arg:
            yield from vars_in(item)


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
