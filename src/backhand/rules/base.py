"""What a rule is, and the registry of rules.

A rule says how an operator's upstream gradient ``g`` becomes gradients of its operands. It is
written on ``Var`` objects, so that one formula serves every printer. Broadcasting, accumulation and
dtypes are not its business: it returns each gradient at the broadcast shape, and the longhand walk
does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..errors import ProgramError
from ..program.build import Var
from ..program.ir import Node
from ..program.ops import get_op, table
from .letters import letters_of

Exactness: TypeAlias = Literal["exact", "almost everywhere", "subgradient"]
Gradients: TypeAlias = Mapping[str, Any]


class LastFirst(dict[str, Any]):
    """Gradients of an operator that torch composes of others, leading each operand through a view.

    Autograd goes back through these views from the last one made to the first. If one value is
    several of the operands, its uses are added in that order.
    """


@dataclass(frozen=True, slots=True)
class T:
    """A tensor of a sample: its shape and what its elements are.

    ``kind``: ``normal``, ``positive``, ``above`` (above 1), ``unit`` (inside (-1, 1)),
    ``open`` (inside (0, 1)), ``bool``,
    ``definite`` (matrices that are symmetric and positive definite),
    ``index`` (integers below ``high``), ``distinct`` (no two elements equal), ``ties`` (many equal
    elements), ``special`` (signed zeros, infinities, NaN and the operator's kinks).
    """

    shape: tuple[int, ...]
    kind: str = "normal"
    high: int = 0
    grad: bool = True


@dataclass(frozen=True, slots=True)
class Sample:
    """One call of the operator: arguments in the table's order, tensors given as ``T``."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def sample(*args: Any, **kwargs: Any) -> Sample:
    """A sample: ``sample(T((3, 4)), 1, keepdim=True)``."""
    return Sample(args, kwargs)


@dataclass(frozen=True, slots=True)
class Rule:
    """One operator's vector-Jacobian product.

    ``exactness`` says what the gradient is at kinks; ``ties`` which element gets it when several
    qualify; ``domain`` what happens at the edge of the domain. ``tex`` gives each local gradient;
    an operand goes by its name in the op table there, or by one of ``letters``.
    ``special`` are element values that the tests try as well.
    """

    op: str
    vjp: Callable[[Context], Gradients]
    samples: tuple[Sample, ...]
    exactness: Exactness = "exact"
    ties: str = ""
    domain: str = ""
    tex: Mapping[str, str] = field(default_factory=dict)
    special: tuple[float, ...] = ()

    @property
    def letters(self) -> Mapping[str, str]:
        """What the letters of the formulas stand for, the operands' own names aside."""
        return letters_of(self.op)


class Context:
    """What a rule sees of one node: upstreams, operands and outputs by name."""

    __slots__ = ("_args", "gs", "needed", "node", "ys")

    def __init__(
        self,
        node: Node,
        args: Mapping[str, Any],
        ys: tuple[Var, ...],
        gs: tuple[Var | None, ...],
        needed: frozenset[str],
    ) -> None:
        self.node = node
        self._args = args
        self.ys = ys
        self.gs = gs
        self.needed = needed

    def __getitem__(self, name: str) -> Any:
        """An argument by its name in the op table."""
        return self._args[name]

    @property
    def g(self) -> Var:
        """The upstream gradient of the (first) output."""
        found = self.gs[0]
        if found is None:
            raise ProgramError(f"{self.node.op}: its first output has no upstream")
        return found

    @property
    def x(self) -> Var:
        found: Var = self._args["x"]
        return found

    @property
    def y(self) -> Var:
        return self.ys[0]

    def needs(self, name: str) -> bool:
        """Whether anybody asks for the gradient of this argument."""
        return name in self.needed


RULES: dict[str, Rule] = {}
# Operators without a gradient, each with the reason: their outputs stop the walk.
NONDIFFERENTIABLE: dict[str, str] = {}
# The formula behind an operator that torch computes with a kernel of its own.
PLAIN: dict[str, Callable[..., Any]] = {}
# What only backward passes use and nobody has written a rule or a formula for, with the reason.
KERNELS: dict[str, str] = {}


def rule(
    op: str,
    samples: tuple[Sample, ...],
    *,
    exactness: Exactness = "exact",
    ties: str = "",
    domain: str = "",
    tex: Mapping[str, str] | None = None,
    special: tuple[float, ...] = (),
) -> Callable[[Callable[[Context], Gradients]], Callable[[Context], Gradients]]:
    """Register the rule of an operator. A rule without samples is refused: they are its tests."""

    def register(vjp: Callable[[Context], Gradients]) -> Callable[[Context], Gradients]:
        add(Rule(op, vjp, samples, exactness, ties, domain, tex or {}, special))
        return vjp

    return register


def add(new: Rule) -> None:
    """Put a rule into the registry; refuses a second rule, an unknown operator, no samples."""
    get_op(new.op)
    if not new.samples:
        raise ProgramError(f"the rule for {new.op} has no samples")
    if new.op in RULES or new.op in NONDIFFERENTIABLE:
        raise ProgramError(f"a second rule for {new.op}")
    RULES[new.op] = new


def unary(
    op: str,
    derivative: Callable[[Var, Var, Var], Var],
    samples: tuple[Sample, ...],
    *,
    tex: str = "",
    exactness: Exactness = "exact",
    domain: str = "",
    special: tuple[float, ...] = (),
) -> None:
    """Register an elementwise rule ``(g, x, y) -> gradient of x``."""
    add(
        Rule(
            op,
            lambda c: {"x": derivative(c.g, c.x, c.y)},
            samples,
            exactness,
            "",
            domain,
            {"x": tex},
            special,
        )
    )


def nondifferentiable(reason: str, *ops: str) -> None:
    """Declare operators that have no gradient, with the reason."""
    for op in ops:
        get_op(op)
        if op in RULES or op in NONDIFFERENTIABLE:
            raise ProgramError(f"a second rule for {op}")
        NONDIFFERENTIABLE[op] = reason


def plain(op: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the formula that an operator stands for, argument by argument of the op table."""

    def register(formula: Callable[..., Any]) -> Callable[..., Any]:
        get_op(op)
        if op in PLAIN:
            raise ProgramError(f"a second formula for {op}")
        PLAIN[op] = formula
        return formula

    return register


def kernel(reason: str, *ops: str) -> None:
    """Declare gradient kernels that are printed as they are and not differentiated again."""
    for op in ops:
        get_op(op)
        if op in KERNELS:
            raise ProgramError(f"a second reason for {op}")
        KERNELS[op] = reason


def unruled() -> Iterator[str]:
    """Operators of the table that have no rule, no formula and no reason for having neither."""
    for name in table():
        if not any(name in known for known in (RULES, NONDIFFERENTIABLE, PLAIN, KERNELS)):
            yield name
