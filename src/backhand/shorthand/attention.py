"""Attention that is spelled out, found by algebra, to be handed to the library's kernel.

Read in index notation, the weights of a product with the values are ``E / Σ E`` along the keys,
with ``E = exp(c · scores)``, in whatever words the author wrote them: a softmax, exponentials with
or without the largest subtracted, scores scaled before or after. Then the product is scaled
dot-product attention, for which torch has a kernel that keeps no scores at all. A mask is taken if
it is causal; one that data decide may rule out a whole row, of which the kernel makes something
else than a softmax does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ..algebra import coefficients as co
from ..algebra.expr import Atom, Expr, Fn, Mono, Red, Ref, inner_atoms
from ..algebra.normal import TooLarge, mul, power, reduce
from ..algebra.read import Reader, Unreadable, axis, leaf
from ..errors import ProgramError
from ..program.build import Builder, SizeContext, Var, op
from ..program.ir import Node, Program, Step, Value, cone, map_arg, without_dead_nodes
from ..program.ops import get_op
from ..program.sizes import Dim, Number
from .gates import Gates
from .numbers import NotWorthwhile, as_number

HEADS = 4  # axes that the kernel wants: batch, heads, positions, width
ONE = Fraction(1)
DTYPES = frozenset({"float64", "float32", "bfloat16", "float16"})


@dataclass(frozen=True)
class Attention:
    """``y = softmax(scale · query keyᵀ) value``, the values as they are in the program.

    ``key`` is transposed there, the last two axes as the columns of the scores. ``scale`` is None
    where it is one over the root of the width.
    """

    y: Value
    query: Value
    turned: Value
    value: Value
    scale: Number | None
    causal: bool
    weights: Value
    scores: Value

    @property
    def widths(self) -> tuple[Dim, Dim]:
        """The width of the queries and of the values, which the kernel wants to be one."""
        return self.query.shape[-1], self.value.shape[-1]


def attentions(program: Program) -> list[Attention]:
    """Every attention in a program, by algebra alone."""
    return _Finder(program).found()


class _Finder:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.producers = program.producers()
        self.values = {v.name: v for v in program.values()}
        self.reader = Reader()
        self.inputs = {v.name for v in program.inputs}
        for node in program.nodes():
            self._read(node)

    def _read(self, node: Node) -> None:
        try:
            found = () if get_op(node.op).kind == "contraction" else self.reader.node(node)
        except (Unreadable, TooLarge, ProgramError):
            found = ()
        for i, value in enumerate(node.outs):
            self.reader.known[value.name] = found[i] if i < len(found) else leaf(value)

    def found(self) -> list[Attention]:
        out = []
        for node in self.program.nodes():
            if node.op in ("matmul", "bmm"):
                attention = self._attention(node)
                if attention is not None and self._alone(attention):
                    out.append(attention)
        return out

    def _attention(self, node: Node) -> Attention | None:
        weights, value = node.args
        assert isinstance(weights, Value) and isinstance(value, Value)
        if node.outs[0].dtype not in DTYPES or weights.dtype != value.dtype:
            return None
        exponential, masks = self._softmax(weights)
        if exponential is None or not all(map(self._constant, masks)):
            return None
        found = self._scores(exponential, weights)
        if found is None:
            return None
        product, c = found
        query, turned = product.args
        assert isinstance(query, Value) and isinstance(turned, Value)
        query, factor = self._unscaled(query)
        c = co.times(c, factor)
        batch = {v.shape[:-2] for v in (query, turned, weights, value)}
        if len(batch) > 1 or not 2 <= len(query.shape) <= HEADS:
            return None
        try:
            scale = None if c == _usual(query) else as_number(c)
        except NotWorthwhile:
            return None
        scores = product.outs[0]
        y = node.outs[0]
        return Attention(y, query, turned, value, scale, bool(masks), weights, scores)

    def _softmax(self, weights: Value) -> tuple[Fn | None, list[Atom]]:
        """The exponential that is divided by its sum along the last axis, and what masks it."""
        nothing: tuple[None, list[Atom]] = (None, [])
        expr = self.reader.known.get(weights.name)
        if expr is None or len(expr.terms) != 1:
            return nothing
        (mono, c), *_ = expr.terms
        above = [(a, q) for a, q in mono.factors if not (isinstance(a, Red) and q == -1)]
        exponentials = [a for a, _ in above if isinstance(a, Fn) and a.name == "exp"]
        masks = [a for a, _ in above if a not in exponentials]
        whole = all(q == 1 for _, q in above) and all(a.flag for a in masks)
        if c != co.ONE or len(exponentials) != 1 or not whole:
            return nothing
        numerator = Expr([(Mono(above), co.ONE)])
        last = len(weights.shape) - 1
        try:
            total = reduce(numerator, axis(last), weights.shape[last])
            proved = mul(numerator, power(total, -1)) == expr
        except (TooLarge, ProgramError):
            return nothing
        return (exponentials[0], masks) if proved else nothing

    def _scores(self, exponential: Fn, weights: Value) -> tuple[Node, co.Coefficient] | None:
        """The product of matrices that is scaled and exponentiated, and the scale."""
        (inside,) = exponential.args
        if len(inside.terms) != 1:
            return None
        (mono, c), *_ = inside.terms
        if len(mono.factors) != 1:
            return None
        ((atom, q),) = mono.factors
        node = self.producers.get(atom.name) if isinstance(atom, Ref) and q == 1 else None
        if node is None or node.op not in ("matmul", "bmm"):
            return None
        here = leaf(node.outs[0]) == Expr([(mono, co.ONE)])
        return (node, c) if here and node.outs[0].shape == weights.shape else None

    def _unscaled(self, value: Value) -> tuple[Value, co.Coefficient]:
        """A value that is a number times another: that one, and the number."""
        expr = self.reader.known.get(value.name)
        if expr is None or len(expr.terms) != 1 or len(expr.terms[0][0].factors) != 1:
            return value, co.ONE
        (mono, c), *_ = expr.terms
        ((atom, _),) = mono.factors
        before = self.values.get(atom.name) if isinstance(atom, Ref) else None
        if before is None or (before.shape, before.dtype) != (value.shape, value.dtype):
            return value, co.ONE
        return (before, c) if leaf(before) == Expr([(mono, co.ONE)]) else (value, co.ONE)

    def _constant(self, atom: Atom) -> bool:
        """Whether no input has a part in it."""
        inside = inner_atoms(Expr([(Mono([(atom, ONE)]), co.ONE)]))
        names = {a.name for a in inside if isinstance(a, Ref)}
        made = [v for v in self.program.values() if v.name in names]
        nodes = cone(list(self.program.nodes()), made)
        read = {v.name for n in nodes for v in n.operands()}
        return len(made) == len(names) and not (names | read) & self.inputs

    def _alone(self, found: Attention) -> bool:
        """Whether nothing else reads the scores or what is made of them."""
        inner = {found.scores.name}
        for node in self.program.nodes():
            if found.y.name in {v.name for v in node.outs}:
                continue
            if any(v.name in inner for v in node.operands()):
                inner |= {v.name for v in node.outs}
        return not inner & {v.name for v in self.program.outputs} and found.y.name not in inner


def _usual(query: Value) -> co.Coefficient:
    return co.power(co.number(query.shape[-1]), Fraction(-1, 2))


@dataclass(frozen=True)
class OnKernels:
    """A program that calls kernels of the library, and a variable for each of its values.

    It holds where the two sizes of each pair in ``equal`` are one.
    """

    program: Program
    vars: Mapping[str, Var]
    equal: tuple[tuple[Dim, Dim], ...]


def on_kernels(
    program: Program,
    context: SizeContext,
    variables: Mapping[str, Var],
    holds: Callable[[Mapping[str, int]], bool] | None = None,
) -> OnKernels | None:
    """The program with every attention as one operator, where the gates let it pass.

    None where there is none, or where the example's widths are not the same.
    """
    equal: dict[tuple[Dim, Dim], None] = {}
    seen: dict[str, bool] = {}
    known = dict(variables)
    found = program
    for attention in attentions(program):
        if len(set(map(context.hint, attention.widths))) > 1:
            continue
        builder = Builder(context, {v.name for v in found.values()})
        nodes = _called(attention, builder, known)
        longhand = _longhand(program, attention)
        form = _form(longhand)
        if form not in seen:
            gates = Gates(program, (), (), (), holds)
            given = [attention.query, attention.turned, attention.value]
            seen[form] = gates.refusal(longhand, nodes, given, [attention.y]) is None
        if seen[form]:
            found = _placed(found, attention, _unturned(nodes, found.producers()))
            known |= builder.vars | {attention.y.name: known[attention.y.name]}
            if attention.widths[0] != attention.widths[1]:
                equal[attention.widths] = None
    if found is program:
        return None
    return OnKernels(without_dead_nodes(found), known, tuple(equal))


def _called(
    found: Attention,
    builder: Builder,
    variables: Mapping[str, Var],
) -> list[Node]:
    """The nodes that call the kernel; the last one makes the attention's result."""

    def var(value: Value) -> Var:
        return Var(builder, value, variables[value.name].fake)

    key = op.transpose(var(found.turned), -2, -1)
    parts = [var(found.query), key, var(found.value)]
    missing = HEADS - len(found.query.shape)
    for _ in range(missing):
        parts = [op.unsqueeze(x, 0) for x in parts]
    y = op.attention(*parts, None, 0.0, found.causal, scale=found.scale)
    for _ in range(missing):
        y = op.squeeze(y, 0)
    builder.nodes[-1] = replace(builder.nodes[-1], outs=(found.y,))
    return builder.nodes


def _unturned(nodes: Sequence[Node], producers: Mapping[str, Node]) -> list[Node]:
    """The nodes with what is transposed twice as it was."""
    first, *rest = nodes
    (turned,) = first.operands()
    before = producers.get(turned.name)
    if before is None or not _turns(before):
        return list(nodes)
    key, (original,) = first.outs[0].name, before.operands()
    return [
        replace(
            n, args=tuple(map_arg(a, lambda v: original if v.name == key else v) for a in n.args)
        )
        for n in rest
    ]


def _turns(node: Node) -> bool:
    """Whether a node exchanges the last two axes."""
    rank = len(node.outs[0].shape)
    if node.op == "t":
        return rank == 2
    axes = {d % rank for d in node.args[1:] if isinstance(d, int)}
    return node.op == "transpose" and axes == {rank - 2, rank - 1}


def _longhand(program: Program, found: Attention) -> list[Node]:
    stops = {found.query.name, found.turned.name, found.value.name}
    return cone(list(program.nodes()), [found.y], stops)


def _form(nodes: Sequence[Node]) -> str:
    """The nodes but for their names: what was judged once holds for all that are alike."""
    names: dict[str, str] = {}

    def called(v: Value) -> str:
        return names.setdefault(v.name, f"_{len(names)} {v.dtype}")

    return ";".join(f"{n.op}{map_arg((*n.args, *n.outs), called)!r}" for n in nodes)


def _placed(program: Program, found: Attention, nodes: Sequence[Node]) -> Program:
    """The program with these nodes in the place of the one that makes the result."""
    steps: list[Step] = []
    for step in program.steps:
        at = [i for i, n in enumerate(step.nodes) if found.y in n.outs]
        if at:
            i = at[0]
            mine = (*step.nodes[:i], *nodes, *step.nodes[i + 1 :])
            step = replace(step, nodes=mine, source=f"{step.source}  # attention, by one kernel")
        steps.append(step)
    return replace(program, steps=tuple(steps))


__all__ = ["Attention", "OnKernels", "attentions", "on_kernels"]
