"""Rewrites that make a backward program shorter to read and change no bit of any result.

``a + -b`` is ``a - b``, a transpose of a transpose is what it was, a sum that keeps an axis only to
lose it does not keep it, and what broadcasts by itself is not spread first. Float arithmetic is not
reordered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from ..program.ir import Arg, Node, Program, Step, Value, map_arg, without_dead_nodes

TRANSPOSES = frozenset({"t", "transpose", "permute"})
# Operators that broadcast their operands, with the arguments that may be smaller than the result.
BROADCAST = {
    "add": (0, 1),
    "sub": (0, 1),
    "mul": (0, 1),
    "div": (0,),
    "where": (1, 2),
    "masked_fill": (0,),
    "index_put": (2,),
}


def tidy(program: Program) -> tuple[Program, dict[str, str]]:
    """The program with these rewrites made; its inputs are those that it still reads.

    Also tells which value stands for one that was spread and no longer is.
    """
    reads = Counter(v.name for node in program.nodes() for v in node.operands())
    reads.update(v.name for v in program.outputs)
    spread: dict[str, str] = {}
    steps = tuple(_Step(step, reads, spread).run() for step in program.steps)
    pruned = without_dead_nodes(replace(program, steps=steps))
    used = {v.name for node in pruned.nodes() for v in node.operands()}
    used |= {v.name for v in pruned.outputs}
    inputs = tuple(v for v in program.inputs if v.name in used)
    alive = {v.name for v in pruned.values()}
    gone = {big: small for big, small in spread.items() if big not in alive}
    return replace(pruned, inputs=inputs), gone


class _Step:
    """One step, node by node. Values that other steps read are never renamed."""

    def __init__(self, step: Step, reads: Counter[str], spread: dict[str, str]) -> None:
        self.step = step
        self.reads = reads  # as they are by now
        inside = Counter(v.name for node in step.nodes for v in node.operands())
        # anonymous, made in this step and read in this step only
        self.local = {
            o.name
            for node in step.nodes
            for o in node.outs
            if o.var is None and inside[o.name] == reads[o.name]
        }
        self.spread = spread
        self.nodes: list[Node] = []
        self.made: dict[str, Node] = {}  # the node that makes an anonymous value of this step
        self.instead: dict[str, Value] = {}

    def run(self) -> Step:
        for node in self.step.nodes:
            args = tuple(map_arg(a, lambda v: self.instead.get(v.name, v)) for a in node.args)
            node = replace(node, args=args)
            before = list(node.operands())
            for rewrite in _REWRITES.get(node.op, ()):
                node = rewrite(self, node)
            self.reads.update(v.name for v in node.operands())
            for value in before:
                self._unread(value)
            self._keep(node)
        return replace(self.step, nodes=tuple(self.nodes))

    def _keep(self, node: Node) -> None:
        out = node.outs[0]
        if node.op == "identity" and isinstance(node.args[0], Value):
            source = node.args[0]
            if out.name in self.local:
                self.instead[out.name] = source
                self.reads[source.name] += self.reads[out.name] - 1
                return
            if source.name in self.local and self.reads[source.name] == 1:
                self._rename(source, out)
                return
        self.nodes.append(node)
        if len(node.outs) == 1 and out.var is None:
            self.made[out.name] = node

    def _unread(self, value: Value) -> None:
        """One reader less; what nobody reads any more reads nothing either."""
        self.reads[value.name] -= 1
        node = self.made.get(value.name)
        if node is not None and not self.reads[value.name]:
            for operand in node.operands():
                self._unread(operand)

    def _rename(self, old: Value, new: Value) -> None:
        for i, node in enumerate(self.nodes):
            if any(o.name == old.name for o in node.outs):
                outs = tuple(new if o.name == old.name else o for o in node.outs)
                self.nodes[i] = replace(node, outs=outs)
        self.made.pop(old.name, None)

    def source(self, arg: Arg, *ops: str) -> Node | None:
        """The node that makes this anonymous value of the step, if it is one of ``ops``."""
        node = self.made.get(arg.name) if isinstance(arg, Value) else None
        return node if node is not None and node.op in ops else None


def _signs(s: _Step, node: Node) -> Node:
    """``a + -b`` is ``a - b`` and ``a - -b`` is ``a + b``."""
    a, b = node.args
    negative = s.source(b, "neg")
    if negative is not None:
        op = "sub" if node.op == "add" else "add"
        return replace(node, op=op, args=(a, negative.args[0]))
    negative = s.source(a, "neg")
    if node.op == "add" and negative is not None and isinstance(b, Value):
        return replace(node, op="sub", args=(b, negative.args[0]))
    return node


def _minus_one(s: _Step, node: Node) -> Node:
    """``-1 * x`` is ``-x``."""
    for number, x in (node.args, node.args[::-1]):
        if type(number) in (int, float) and number == -1 and isinstance(x, Value) and x.floating:
            return replace(node, op="neg", args=(x,))
    return node


def _transposed(s: _Step, node: Node) -> Node:
    """Two permutations of the axes are one, or none."""
    order = _order(node)
    x = node.args[0]
    while (inner := s.source(x, *TRANSPOSES)) is not None:
        before = _order(inner)
        order = tuple(before[axis] for axis in order)
        x = inner.args[0]
    if x is node.args[0] or not isinstance(x, Value):
        return node
    rank = len(order)
    moved = [i for i, axis in enumerate(order) if axis != i]
    if not moved:
        return replace(node, op="identity", args=(x,))
    if rank == 2:
        return replace(node, op="t", args=(x,))
    if len(moved) == 2:
        last = moved == [rank - 2, rank - 1]
        return replace(node, op="transpose", args=(x, *((-2, -1) if last else moved)))
    return replace(node, op="permute", args=(x, order))


def _order(node: Node) -> tuple[int, ...]:
    """Which axis of the operand each axis of the result is."""
    x, *rest = node.args
    assert isinstance(x, Value)
    rank = len(x.shape)
    order = list(range(rank))
    if node.op == "permute":
        dims = rest[0]
        assert isinstance(dims, tuple)
        return tuple(int(d) % rank for d in dims)
    a, b = (0, 1) if node.op == "t" else (rest[0], rest[1])
    assert isinstance(a, int) and isinstance(b, int)
    if rank > 1:
        order[a], order[b] = order[b], order[a]
    return tuple(order)


def _squeezed(s: _Step, node: Node) -> Node:
    """A sum over one axis that is kept and then squeezed is a sum that does not keep it."""
    x, dim = node.args
    inner = s.source(x, "sum")
    if inner is None or s.reads[inner.outs[0].name] != 1:
        return node
    operand, axes, keepdim, dtype = inner.args
    assert isinstance(operand, Value)
    rank = len(operand.shape)
    if isinstance(axes, int) and isinstance(dim, int) and keepdim and axes % rank == dim % rank:
        return replace(node, op="sum", args=(operand, axes, False, dtype))
    return node


def _unspread(s: _Step, node: Node) -> Node:
    """An operand that broadcasts by itself need not be expanded first."""
    args = list(node.args)
    out = node.outs[0]
    for i in BROADCAST[node.op]:
        inner = s.source(args[i], "expand")
        if inner is None:
            continue
        small = inner.args[0]
        others = [a for j, a in enumerate(args) if j != i and isinstance(a, Value)]
        full = node.op == "index_put" or _spans([small, *others], out)
        # Mixed dtypes are promoted by rank, which the expansion may have changed.
        same = all(
            a.dtype == out.dtype for a in (small, *others) if isinstance(a, Value) and a.floating
        )
        if full and same and isinstance(small, Value):
            args[i] = small
            s.spread[inner.outs[0].name] = small.name
    return replace(node, args=tuple(args))


def _spans(operands: list[Arg], out: Value) -> bool:
    """Whether these operands broadcast to the shape of ``out``."""
    shapes = [a.shape for a in operands if isinstance(a, Value)]
    return all(
        any(len(shape) >= i and shape[-i] == out.shape[-i] for shape in shapes)
        for i in range(1, len(out.shape) + 1)
    )


_REWRITES: dict[str, tuple[Callable[[_Step, Node], Node], ...]] = {
    "add": (_unspread, _signs),
    "sub": (_unspread, _signs),
    "mul": (_unspread, _minus_one),
    "div": (_unspread,),
    "where": (_unspread,),
    "masked_fill": (_unspread,),
    "index_put": (_unspread,),
    "squeeze": (_squeezed,),
    **{op: (_transposed,) for op in TRANSPOSES},
}
