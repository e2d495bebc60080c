"""The reverse walk itself.

Steps are taken from the last to the first, and so are the uses of a value: that is the order in
which autograd's engine adds them, and float addition must not be reordered. Undoing broadcasts,
adding up uses and casting to the operand's dtype live here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from ..errors import CaptureError, InputError, UnsupportedError, own_faults
from ..program.build import Builder, SizeContext, Var, op
from ..program.ir import Node, Program, Step, Value, map_arg, values_in, without_dead_nodes
from ..program.ops import get_op
from ..rules import NONDIFFERENTIABLE, RULES, Context, Rule
from ..rules.base import LastFirst


@dataclass(frozen=True, slots=True)
class Use:
    """One place that reads a value, and what its rule says there, for those who explain it.

    ``operand`` is the value's name, ``param`` the argument that it is; ``formula`` the local
    gradient, ``letters`` what the formula's letters stand for.
    """

    operand: str
    param: str
    node: Node
    step: str
    formula: str
    letters: Mapping[str, str]
    exactness: str
    ties: str
    domain: str


@dataclass(frozen=True)
class Backward:
    """A backward program and which of its values is whose gradient.

    ``upstream`` names the program inputs that carry the gradients of the forward outputs (one per
    differentiable output, in order). ``gradients`` maps a forward value's name to the name of its
    finished gradient; ``vars`` has the variable that every value was made as; ``uses`` counts the
    uses of each value, and ``trail`` has them in the order in which they were added.
    """

    program: Program
    gradients: Mapping[str, str]
    upstream: tuple[Value, ...]
    upstream_of: tuple[str, ...]
    vars: Mapping[str, Var]
    uses: Mapping[str, int]
    trail: tuple[Use, ...] = ()


def active_values(program: Program, wrt: Collection[str]) -> set[str]:
    """Values through which a gradient can flow: they depend on ``wrt`` differentiably."""
    active = {v.name for v in program.inputs if v.name in wrt and v.floating}
    for node in program.nodes():
        if node.op in NONDIFFERENTIABLE:
            continue
        if any(v.name in active for v in _flowing(node)):
            active.update(out.name for out in node.outs if out.floating)
    return active


def _flowing(node: Node) -> Iterator[Value]:
    """The operands of a node, without one whose device alone is read."""
    for p, arg in zip(get_op(node.op).params, node.args, strict=True):
        if p.name != "device":
            yield from values_in(arg)


def backward(
    program: Program,
    context: SizeContext,
    variables: Mapping[str, Var],
    wrt: Collection[str] | None = None,
) -> Backward:
    """Derive the backward program of ``program``.

    ``variables`` has one for every value of the program.
    ``wrt``: names of the inputs whose gradients are asked for; all floating ones if left out.
    Raises ``InputError`` for one that cannot have a gradient, ``UnsupportedError`` with the user's
    line for an operator without a rule.
    """
    known = {v.name: v for v in program.inputs}
    if wrt is None:
        wrt = [v.name for v in program.inputs if v.floating]
    for name in wrt:
        if name not in known:
            raise InputError(f"there is no input named {name!r}: the inputs are {', '.join(known)}")
        if not known[name].floating:
            raise InputError(
                f"{name} holds {known[name].dtype}: only floating-point inputs have gradients. "
                f"Pass it as a float tensor if it is meant to be differentiated"
            )
    return _Walk(program, context, variables, wrt).run()


class _Walk:
    def __init__(
        self,
        program: Program,
        context: SizeContext,
        variables: Mapping[str, Var],
        wrt: Collection[str],
    ) -> None:
        self.program = program
        self.wrt = set(wrt)
        self.active = active_values(program, wrt)
        self.values = {v.name: v for v in program.values()}
        self.b = Builder(context, set(self.values) | {s.name for s in context.symbols})
        self.vars = {name: Var(self.b, v, variables[name]) for name, v in self.values.items()}
        self.b.producers, self.b.known = program.producers(), self.vars
        self.grads: dict[str, Var] = {}
        self.uses: dict[str, int] = {}
        self.trail: list[Use] = []
        self.steps: list[Step] = []
        self.renamed: dict[str, Var] = {}
        self.claimed: set[str] = set()  # values that are some operand's gradient already
        self.labels = self._labels()
        # What an update in place computes has the dtype of its storage only once it is stored
        # there; autograd knows no such step, and goes on in the storage's dtype.
        inputs = {v.name for v in program.inputs}
        self.stored = {
            v.name for n in program.nodes() if n.op == "stored" for v in n.operands()
        } - inputs

    def _labels(self) -> dict[str, str]:
        """The printed name of each value's gradient: ``d{x}``, made unique."""
        taken = set(self.values)
        labels: dict[str, str] = {}
        for value in self.values.values():
            label, i = f"d{value.name}", 2
            while label in taken:
                label, i = f"d{value.name}_{i}", i + 1
            taken.add(label)
            labels[value.name] = label
        return labels

    def run(self) -> Backward:
        upstream: list[Value] = []
        upstream_of: list[str] = []
        for out in self.program.outputs:
            if out.name in upstream_of or out.name not in self.active:
                continue
            label = self.labels[out.name]
            value = Value(self._fresh(label), out.shape, out.dtype, label)
            upstream.append(value)
            upstream_of.append(out.name)
            self.grads[out.name] = Var(self.b, value, self.vars[out.name])
            self.uses[out.name] = 1
        if not upstream:
            steps = [s for s in self.program.steps if s.where is not None]
            raise CaptureError(
                "no output depends on an input that has a gradient",
                steps[-1].where if steps else None,
                "return a floating-point result, and leave out what cuts it off from the inputs: "
                "detach, no_grad, argmax, comparisons, conversions to integers",
            )
        for step in reversed(self.program.steps):
            before = len(self.b.nodes)
            with own_faults("differentiating this line", step.where):
                for node in reversed(step.nodes):
                    self._node(node, step)
            if len(self.b.nodes) > before:
                made = tuple(self.b.nodes[before:])
                self.steps.append(Step(step.name, made, step.source, step.where))
        gradients = {name: var.value.name for name, var in self.grads.items()}
        outputs = tuple(self.grads[n].value for n in self._ordered_inputs() if n in self.grads)
        inputs = (*self.values.values(), *upstream)
        program = Program(
            f"d{self.program.name}", inputs, tuple(self.steps), outputs, self.program.symbols
        )
        program = without_dead_nodes(program)
        alive = {v.name for node in program.nodes() for v in (*node.outs, *node.operands())}
        alive |= {v.name for v in upstream}
        used = {v.name for node in program.nodes() for v in node.operands()}
        used |= {v.name for v in outputs}
        return Backward(
            replace(program, inputs=tuple(v for v in inputs if v.name in used)),
            {k: v for k, v in gradients.items() if v in alive},
            tuple(upstream),
            tuple(upstream_of),
            {**self.b.vars, **{var.value.name: var for var in self.grads.values()}},
            self.uses,
            tuple(self.trail),
        )

    def _ordered_inputs(self) -> list[str]:
        return [v.name for v in self.program.inputs if v.name in self.wrt]

    def _fresh(self, stem: str) -> str:
        return self.b.fresh(stem)

    def _node(self, node: Node, step: Step) -> None:
        gs = tuple(self.grads.get(out.name) for out in node.outs)
        if all(g is None for g in gs):
            return
        needed = self._needed(node)
        if not needed:
            return
        found = RULES.get(node.op)
        if found is None:
            raise UnsupportedError(
                f"there is no rule for the operator {node.op}",
                step.where,
                "`backhand ops` lists the operators that have one",
            )
        row = get_op(node.op)
        args = {
            p.name: map_arg(a, lambda v: self.vars[v.name])
            for p, a in zip(row.params, node.args, strict=True)
        }
        ys = tuple(self.vars[out.name] for out in node.outs)
        context = Context(node, args, ys, gs, frozenset(needed))
        try:
            gradients = found.vjp(context)
        except UnsupportedError as error:
            raise UnsupportedError(error.message, step.where, error.hint) from None
        uses: list[tuple[Value, Var, str]] = []
        for p, arg in zip(row.params, node.args, strict=True):
            gradient = gradients.get(p.name)
            if gradient is None or p.name not in needed:
                continue
            operands = list(values_in(arg))
            pieces = gradient if isinstance(gradient, (tuple, list)) else (gradient,)
            for operand, piece in zip(operands, pieces, strict=True):
                if piece is not None and operand.name in self.active:
                    uses.append((operand, piece, p.name))
        if isinstance(gradients, LastFirst) and len({o.name for o, *_ in uses}) < len(uses):
            uses.reverse()
        for operand, piece, param in uses:
            self._add(operand, piece)
            self.trail.append(_use(operand, param, node, step, found))

    def _needed(self, node: Node) -> set[str]:
        row = get_op(node.op)
        return {
            p.name
            for p, arg in zip(row.params, node.args, strict=True)
            if p.name != "device" and any(v.name in self.active for v in values_in(arg))
        }

    def _add(self, operand: Value, gradient: Var) -> None:
        """One more use of ``operand``: undo the broadcast, cast, add to what is there."""
        gradient = self.renamed.get(gradient.value.name, gradient)
        known = self.grads.get(operand.name)
        if known is not None and known.shape == operand.shape:
            # an addition broadcasts by itself: there is no need to spread this use first
            gradient = self._before_expand(gradient)
            fits = gradient.shape == operand.shape or _smaller(gradient, operand.shape)
        else:
            fits = False
        piece = gradient if fits else reduce_to(gradient, operand.shape)
        if piece.dtype != operand.dtype and operand.name not in self.stored:
            piece = op.to(piece, operand.dtype)
        self.uses[operand.name] = self.uses.get(operand.name, 0) + 1
        total = piece if known is None else known + piece
        self.grads[operand.name] = self._named(operand, total)

    def _before_expand(self, gradient: Var) -> Var:
        """What was spread, if the last thing done to ``gradient`` was to spread it."""
        if not self.b.nodes or self.b.nodes[-1].op != "expand":
            return gradient
        if gradient.value.name in self.claimed:
            return gradient
        node = self.b.nodes[-1]
        source = next(node.operands())
        if node.outs[0].name != gradient.value.name or len(source.shape) != gradient.rank:
            return gradient
        var = self.b.vars.get(source.name)
        if var is None:
            return gradient
        self.b.nodes.pop()
        return var

    def _named(self, operand: Value, total: Var) -> Var:
        """Give a gradient its printed name; a value that has one already is passed on as it is."""
        label = self.labels[operand.name]
        is_last = bool(self.b.nodes) and any(
            out.name == total.value.name for out in self.b.nodes[-1].outs
        )
        taken = total.value.var is not None or total.value.name in self.claimed
        if taken or not is_last or len(self.b.nodes[-1].outs) > 1:
            if operand.var is None:
                return total
            total = op.identity(total)
        value = replace(
            total.value,
            name=self._fresh(label),
            var=label if operand.var is not None else None,
        )
        node = self.b.nodes[-1]
        outs = tuple(value if o.name == total.value.name else o for o in node.outs)
        self.b.nodes[-1] = replace(node, outs=outs)
        var = self.b.register(Var(self.b, value, total))
        self.renamed[total.value.name] = var
        self.claimed.add(value.name)
        return var


def _use(operand: Value, param: str, node: Node, step: Step, rule: Rule) -> Use:
    formula = rule.tex.get(param, "")
    return Use(
        operand.name,
        param,
        node,
        step.name,
        formula,
        rule.letters,
        rule.exactness,
        rule.ties,
        rule.domain,
    )


def reduce_to(g: Var, shape: tuple[object, ...]) -> Var:
    """Sum ``g`` over the axes along which its operand was broadcast; spread it if it is smaller."""
    if g.shape == shape:
        return g
    if g.rank < len(shape) or _smaller(g, shape):
        out: Var = op.expand(g, shape)
        return out
    leading = g.rank - len(shape)
    # An open size may be one, as in (d + 1)//2 - 1 at d = 3: capture noted that it has to be.
    hint = g.builder.context.hint
    ones = [
        leading + i for i, d in enumerate(shape) if hint(d) == 1 != hint(g.shape[leading + i])
    ]
    lead = list(range(leading))
    if not lead and not ones:
        return g  # the same sizes in other words, as 4*(d//4) and d
    if lead and not ones:
        total: Var = op.sum(g, _axes(lead))
        return total
    total = op.sum(g, _axes(lead + ones), keepdim=True)
    if lead:
        total = op.reshape(total, shape)
    return total


def _smaller(g: Var, shape: tuple[object, ...]) -> bool:
    return g.rank == len(shape) and any(
        mine == 1 and theirs != 1 for mine, theirs in zip(g.shape, shape, strict=True)
    )


def _axes(dims: list[int]) -> int | tuple[int, ...]:
    return dims[0] if len(dims) == 1 else tuple(dims)
