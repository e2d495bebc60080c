"""A program as loops over memory: what a compiler that fuses all it may would read and write.

The model, for which the hand counts in the tests are the reference:

- A tensor is *in memory* if it comes from outside, is given back, is the result of a reduction, or
  is an operand or a result of a kernel that cannot be fused (a product of matrices, a sort, ...).
- Everything elementwise is computed where it is read and never stored, gathers, shifts, triangles
  and joined pieces included; views cost nothing. An elementwise value is stored all the same if
  that moves less than computing it again in every loop that needs it.
- A reduction, and an elementwise tensor that is stored, are each made by a *loop*. Loops over the
  same elements are one loop, so that what they read is read once, unless one needs the finished
  result of a reduction in the other: then it comes after it. Reductions that keep different axes go
  through the elements in different orders and are never one loop.
- A softmax is a reduction and an elementwise division by it; so is its gradient.
- Writing at positions (``index_put``, ``scatter``) is a loop of its own that writes its whole
  result and reads what it writes over, which zeros are not.

The assignment of loops is greedy, not searched: first what others wait for, at the earliest moment;
then what nobody waits for, where it adds the fewest reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from .ir import Node, Program, Value
from .ops import get_op
from .sizes import Dim

SOFTMAXES = frozenset(
    ("softmax", "log_softmax", "safe_softmax", "softmax_backward", "log_softmax_backward")
)
# Gradient kernels of functions of one element: torch runs them as one, a compiler takes them apart.
POINTWISE = frozenset(
    ("tanh_backward", "sigmoid_backward", "sgn_backward", "threshold_backward", "pad_backward",
     "log_sigmoid_backward",
     "silu_backward", "mish_backward", "gelu_backward", "softplus_backward", "elu_backward",
     "leaky_relu_backward", "hardtanh_backward", "hardsigmoid_backward", "hardswish_backward",
     "logit_backward", "log_sigmoid_forward", "contiguous", "one_hot", "slice_scatter",
     "select_scatter", "diagonal_scatter")
)  # fmt: skip
GATHERS = frozenset(("index", "gather", "index_select", "take", "embedding"))
SCATTERS = frozenset(
    ("index_put", "index_put_at", "scatter", "scatter_add", "index_add", "index_copy", "index_fill",
     "put", "masked_scatter", "embedding_backward")
)  # fmt: skip
# Reductions that a loop cannot finish with a running value per result: scans and selections.
KERNELS = frozenset(
    ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "sort", "argsort", "topk", "median",
     "nanmedian", "median_dim", "nanmedian_dim", "kthvalue", "mode", "renorm", "euclidean_dist")
)  # fmt: skip
ALIASES = frozenset(("identity", "stop_gradient"))


def role(op: str) -> str:
    """What an operator does to memory: one of the words below, or ``kernel``."""
    kind = get_op(op).kind
    if op in SOFTMAXES:
        return "softmax"
    if kind == "view" or op in ALIASES:
        return "view"
    if op in GATHERS:
        return "gather"
    if op in SCATTERS:
        return "scatter"
    if op in KERNELS:
        return "kernel"
    if op in POINTWISE or kind in ("elementwise", "movement"):
        return "pointwise"
    return kind if kind in ("creation", "reduction") else "kernel"


class Extent:
    """How many elements values have at given sizes."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._dims: dict[Dim, int] = {}

    def dim(self, dim: Dim) -> int:
        if isinstance(dim, int):
            return dim
        if dim not in self._dims:
            self._dims[dim] = dim.evaluate(self.sizes)
        return self._dims[dim]

    def shape(self, value: Value) -> tuple[int, ...]:
        return tuple(self.dim(d) for d in value.shape)

    def elements(self, value: Value) -> int:
        return prod(self.shape(value))


Elements: TypeAlias = dict[str, int]  # how many elements of each tensor, by its name
Order: TypeAlias = "tuple[tuple[int, ...], tuple[int, ...]] | None"  # shape, kept axes; None: any


@dataclass(frozen=True, slots=True)
class Root:
    """Something written to memory: ``map`` (elementwise), ``fold`` (reduction), or another role.

    ``domain`` is the number of elements that its loop goes over.
    """

    kind: str
    name: str
    reads: Elements
    writes: Elements
    domain: int = 0
    order: Order = None

    @property
    def fusible(self) -> bool:
        return self.kind in ("map", "fold")


@dataclass(slots=True)
class Loop:
    """One pass: the tensors it reads and writes. ``level``: it comes after all with less."""

    level: int
    domain: int
    fusible: bool
    order: Order = None
    reads: Elements = field(default_factory=dict)
    writes: Elements = field(default_factory=dict)

    def takes(self, root: Root) -> bool:
        if not (self.fusible and root.fusible and self.domain == root.domain):
            return False
        return self.order is None or root.order is None or self.order == root.order

    def added(self, root: Root) -> int:
        """How many more elements the loop would read with this root."""
        reads = root.reads.items()
        return sum(max(0, n - self.reads.get(x, 0)) for x, n in reads if x not in self.writes)

    def take(self, root: Root) -> None:
        self.order = root.order or self.order
        _join(self.reads, {x: n for x, n in root.reads.items() if x not in self.writes})
        self.writes.update(root.writes)


def loops(program: Program, sizes: Mapping[str, int], large: int = 0) -> list[Loop]:
    """The loops of a program at the given sizes, in order.

    ``large``: the elements from which on a tensor counts when it is decided what to store.
    """
    roots = _Roots(program, Extent(sizes))
    stored = roots.must_store()
    best = place(roots.all(stored))

    def moved(found: list[Loop]) -> tuple[int, int]:
        parts = [n for loop in found for n in (*loop.reads.values(), *loop.writes.values())]
        return sum(n >= large for n in parts), sum(parts)

    for name in roots.could_store(large) if len(best) > 1 else ():
        other = place(roots.all(stored | {name}))
        if moved(other) < moved(best):
            best, stored = other, stored | {name}
    return best


class _Roots:
    """What a program writes to memory, given which elementwise values it stores."""

    def __init__(self, program: Program, extent: Extent) -> None:
        self.program, self.extent = program, extent
        self.values = {v.name: v for v in program.values()}
        self.size = {name: extent.elements(v) for name, v in self.values.items()}
        self.producer = program.producers()
        self.reads = Counter(v.name for node in program.nodes() for v in set(node.operands()))
        self.outputs = {self.base(v) for v in program.outputs}

    def base(self, value: Value) -> str:
        """The value whose memory this one shares."""
        return base(value, self.producer).name

    def must_store(self) -> frozenset[str]:
        """Elementwise values that are given back or that a kernel reads."""
        wanted = set(self.outputs)
        for node in self.program.nodes():
            if role(node.op) == "kernel":
                wanted.update(self.base(v) for v in node.operands())
        return frozenset(name for name in wanted if self._elementwise(name))

    def could_store(self, large: int) -> list[str]:
        """Elementwise values that several operators read."""
        return [
            name
            for name, n in self.size.items()
            if n >= large and self.reads[name] > 1 and self._elementwise(name)
        ]

    def _elementwise(self, name: str) -> bool:
        node = self.producer.get(name)
        return node is not None and role(node.op) in ("pointwise", "gather", "softmax", "creation")

    def all(self, stored: frozenset[str]) -> list[Root]:
        """Every root that the outputs need, in the program's order."""
        cones: dict[str, Elements] = {v.name: self._self(v) for v in self.program.inputs}
        roots = [r for node in self.program.nodes() for r in self._node(node, cones, stored)]
        made_by = {name: root for root in roots for name in root.writes}
        needed: set[str] = set()
        todo = [made_by[name] for name in self.outputs if name in made_by]
        while todo:
            root = todo.pop()
            if root.name not in needed:
                needed.add(root.name)
                todo += [made_by[x] for x in root.reads if x in made_by]
        return [root for root in roots if root.name in needed]

    def _self(self, *values: Value) -> Elements:
        return {v.name: self.size[v.name] for v in values}

    def _node(
        self, node: Node, cones: dict[str, Elements], stored: frozenset[str]
    ) -> Iterator[Root]:
        """The roots of one node; ``cones`` says what has to be read for each value."""
        kind = role(node.op)
        operands = [] if kind == "creation" else list(node.operands())  # only their shape is read
        used = [v for v in node.outs if self.reads[v.name] or v.name in self.outputs]
        reads: Elements = {}
        for i, v in enumerate(operands):
            cone = cones[v.name]
            if (kind == "gather" and i == 0) or kind == "view":
                cone = _at_most(cone, self.size[node.outs[0].name])
            _join(reads, {self.base(v): max(cone.values())} if kind == "kernel" and cone else cone)
        if kind in ("reduction", "kernel", "scatter"):
            cones.update((v.name, self._self(v)) for v in node.outs)
            if not used:
                return
            fold = (self.size[operands[0].name], self._order(node)) if kind == "reduction" else ()
            kind = "fold" if fold else kind
            yield Root(kind, used[0].name, reads, self._self(*used), *fold)
            return
        if kind == "softmax":
            order, total = self._order(node), f"{node.outs[0].name}%total"
            size = prod(order[0][axis] for axis in order[1]) if order else 1
            yield Root("fold", total, dict(reads), {total: size}, self.size[used[0].name], order)
            reads[total] = size
        for out in node.outs:
            cones[out.name] = reads if kind == "view" else _at_most(reads, self.size[out.name])
            if out.name in stored:
                yield Root("map", out.name, cones[out.name], self._self(out), self.size[out.name])
                cones[out.name] = self._self(out)

    def _order(self, node: Node) -> Order:
        """The shape that a reduction goes over and the axes that it keeps."""
        op, shape = get_op(node.op), self.extent.shape(next(node.operands()))
        dim = node.args[op.index("dim")] if any(p.name == "dim" for p in op.params) else None
        dims = dim if isinstance(dim, tuple) else (dim,)
        gone = {d % max(len(shape), 1) for d in dims if isinstance(d, int)} or range(len(shape))
        kept = tuple(axis for axis, n in enumerate(shape) if axis not in gone and n != 1)
        return (shape, kept) if kept else None


def base(value: Value, producers: Mapping[str, Node]) -> Value:
    """The value whose memory a view shares; the value itself if it is no view."""
    while (node := producers.get(value.name)) is not None and role(node.op) == "view":
        value = next(node.operands())
    return value


def _at_most(reads: Elements, most: int) -> Elements:
    return {name: min(n, most) for name, n in reads.items()}


def _join(into: Elements, more: Elements) -> None:
    for name, n in more.items():
        into[name] = max(into.get(name, 0), n)


def place(roots: list[Root]) -> list[Loop]:
    """A loop for every root."""
    made_by = {name: root for root in roots for name in root.writes}
    awaited = {made_by[x].name for root in roots for x in root.reads if x in made_by}
    loop_of: dict[str, Loop] = {}
    found: list[Loop] = []

    def sources(root: Root) -> list[Root]:
        return [made_by[x] for x in root.reads if x in made_by]

    def least(root: Root) -> int:
        """The first level at which everything is there; elements of its own loop may be read."""
        free = [s.kind == "map" and root.fusible for s in sources(root)]
        levels = [loop_of[s.name].level for s in sources(root)]
        return max([0, *(at if ok else at + 1 for at, ok in zip(levels, free, strict=True))])

    def put(root: Root, late: bool) -> None:
        first = least(root)
        beside = [loop_of[s.name] for s in sources(root) if s.kind == "map"]
        fitting = [
            loop
            for loop in found
            if loop.takes(root)
            and (loop.level == first or (late and loop.level > first))
            and all(other is loop or other.level < loop.level for other in beside)
        ]
        loop = min(fitting, key=lambda o: (o.added(root), o.level), default=None)
        if loop is None:
            level = max([first, *(other.level + 1 for other in beside)])
            loop = Loop(level, root.domain, root.fusible)
            found.append(loop)
        loop.take(root)
        loop_of[root.name] = loop

    for root in roots:
        if root.name in awaited:
            put(root, late=False)
    ends = [root for root in roots if root.name not in awaited]
    for root in sorted(ends, key=least, reverse=True):
        put(root, late=True)
    return sorted(found, key=lambda loop: loop.level)
