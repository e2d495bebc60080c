"""The printer: nodes become Python expressions, steps become statements.

Anonymous values that are read once are folded into the expression that reads them; all others get a
statement. What is printed is what runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..program.ir import Node, Program, Step, Value, dims_in, folded_values
from ..program.ops import INFIX, PREFIX, PREFIX_STRENGTH, Op, get_op
from ..program.sizes import ATOM, PRODUCT, UNARY, Scalar, Size, wrap
from .shapes import Shapes

Piece = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One printed statement: its text, the values it assigns and reads, the step it belongs to."""

    text: str
    assigns: tuple[Value, ...]
    reads: tuple[str, ...]
    step: Step | None

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(printed_name(v) for v in self.assigns)


def printed_name(value: Value) -> str:
    """The name of a value in printed source."""
    return value.var or value.name


class Printer:
    """Prints one program. ``sizes`` gives the source text of every symbolic size.

    ``inline=False`` gives every node a statement of its own. ``forward`` are values whose shapes
    the text may read (text for people; elsewhere it would keep them in memory).
    """

    def __init__(
        self,
        program: Program,
        sizes: Mapping[str, str],
        inline: bool = True,
        forward: Iterable[Value] = (),
    ) -> None:
        self.program = program
        self.shapes = Shapes(program, sizes, forward)
        self.foldable = folded_values(program) if inline else frozenset()
        self.reads: Counter[str] = Counter(
            v.name for node in program.nodes() for v in node.operands()
        )
        self.outputs = {v.name for v in program.outputs}
        self.folded: dict[str, Piece] = {}
        self.fresh: set[str] = set()
        self.folded_reads: dict[str, tuple[str, ...]] = {}

    def lines(self) -> list[Line]:
        """Every statement in order."""
        return [line for step in self.program.steps for line in self.step_lines(step)]

    def step_lines(self, step: Step) -> list[Line]:
        """The statements of one step."""
        out: list[Line] = []
        self.shapes.enter_step(step)
        for node in step.nodes:
            self.shapes.enter(node)
            piece = self.expression(node)
            reads = (*self._reads(node), *self.shapes.read)
            if node.outs[0].name in self.foldable:
                self.folded[node.outs[0].name] = piece
                if get_op(node.op).kind == "creation":
                    self.fresh.add(node.outs[0].name)
                self.folded_reads[node.outs[0].name] = reads
                continue
            out.append(Line(self._statement(node, piece), self._assigned(node), reads, step))
        return out

    def _assigned(self, node: Node) -> tuple[Value, ...]:
        return tuple(v for v in node.outs if self._wanted(v) or len(node.outs) == 1)

    def _wanted(self, value: Value) -> bool:
        return value.name in self.outputs or self.reads[value.name] > 0 or value.var is not None

    def _statement(self, node: Node, piece: Piece) -> str:
        wanted = [v for v in node.outs if self._wanted(v)]
        if len(node.outs) == 1 and get_op(node.op).outs == 1:
            return f"{printed_name(node.outs[0])} = {piece[0]}"
        if len(wanted) == 1:
            field = _FIELDS.get(node.op)
            i = node.outs.index(wanted[0])
            pick = f".{field[i]}" if field else f"[{i}]"
            return f"{printed_name(wanted[0])} = {wrap(piece, ATOM)}{pick}"
        names = ", ".join(printed_name(v) if v in wanted else "_" for v in node.outs)
        return f"{names}{',' if len(node.outs) == 1 else ''} = {piece[0]}"

    def _reads(self, node: Node) -> tuple[str, ...]:
        out: list[str] = []
        for v in node.operands():
            out.extend(self.folded_reads.get(v.name, (printed_name(v),)))
        return tuple(out)

    # expressions

    def expression(self, node: Node) -> Piece:
        """The source text of a node's operation."""
        op = get_op(node.op)
        if op.name in CUSTOM:
            return CUSTOM[op.name](self, node)
        if op.name in ("transpose", "permute") and _swaps_a_matrix(node):
            return _transposed(self, node)
        if op.spelling in INFIX and len(node.args) == 2:
            return self._infix(op, node)
        if op.spelling in PREFIX and len(node.args) == 1:
            operand = wrap(self.piece(node.args[0]), PREFIX_STRENGTH)
            return f"{op.spelling}{operand}", UNARY
        positional, keywords = op.written(node.args)
        names = [p.name for p in op.params]
        texts = []
        for name, arg in zip(names, positional, strict=False):
            if name == op.spread and isinstance(arg, tuple) and arg:
                whole = self.shapes.whole(arg)
                texts += (
                    [whole] if whole else [self.piece(a)[0] for a in self._spread(op, node, arg)]
                )
            else:
                texts.append(self.argument(name, arg))
        texts += [f"{k}={self.argument(k, v)}" for k, v in keywords.items()]
        if op.spelling == "method" or op.spelling.startswith("."):
            method = op.name if op.spelling == "method" else op.spelling[1:]
            receiver = wrap(self.piece(positional[0]), ATOM)
            if op.name in FILLS and isinstance(node.args[0], Value):
                # a tensor of zeros that was made for this and has no name may be written to
                method += "_" if node.args[0].name in self.fresh else ""
            return f"{receiver}.{method}({', '.join(texts[1:])})", ATOM
        if op.spelling.startswith("new."):
            of = node.args[0]
            made = isinstance(of, Value) and of.name in self.fresh  # for this, and has no name
            blank = wrap(self.piece(of), ATOM) if made else f"torch.empty_like({texts[0]})"
            return f"{blank}{op.spelling.removeprefix('new')}({', '.join(texts[1:])})", ATOM
        return f"{op.spelling}({', '.join(texts)})", ATOM

    def _spread(self, op: Op, node: Node, sizes: tuple[Any, ...]) -> tuple[Any, ...]:
        """Sizes as written out; an ``expand`` says -1 for an axis that it keeps."""
        if op.name != "expand" or not isinstance(node.args[0], Value):
            return sizes
        shape = node.args[0].shape
        extra = len(sizes) - len(shape)
        return tuple(
            -1 if i >= extra and isinstance(s, Size) and s == shape[i - extra] else s
            for i, s in enumerate(sizes)
        )

    def _infix(self, op: Op, node: Node) -> Piece:
        strength = INFIX[op.spelling][0]
        left, right = node.args
        if op.name == "mul" and isinstance(right, (int, float, Size, Scalar)):
            left, right = right, left  # 2 * x: the same product, as people write it
        a, b = self.piece(left), self.piece(right)
        if op.spelling == "**":
            return f"{wrap(a, ATOM)}**{wrap(b, UNARY)}", strength
        # a product of sizes with operators of its own is set apart from the tensors
        return f"{wrap(a, strength)} {op.spelling} {wrap(b, strength + 1)}", strength

    def argument(self, name: str, arg: Any) -> str:
        """One argument of a call."""
        if isinstance(arg, str) and name in ("dtype", "input_dtype"):
            return f"torch.{arg}"
        if name == "device" and isinstance(arg, Value):
            return f"{wrap(self.piece(arg), ATOM)}.device"
        return self.piece(arg)[0]

    def piece(self, arg: Any) -> Piece:
        """The source of one argument, with its binding strength."""
        if isinstance(arg, Value):
            return self.folded.get(arg.name) or (printed_name(arg), ATOM)
        if arg is None or isinstance(arg, bool):
            return repr(arg), ATOM
        if isinstance(arg, str):
            return repr(arg), ATOM
        if isinstance(arg, tuple):
            whole = self.shapes.whole(arg)
            if whole:
                return whole, ATOM
            inner = ", ".join(self.piece(a)[0] for a in arg)
            return f"({inner}{',' if len(arg) == 1 else ''})", ATOM
        return self.shapes.number(arg)


# Operators that start from a tensor and write into it, and have a form that writes in place.
FILLS = frozenset(
    {"index_put", "scatter", "scatter_add", "index_add", "index_copy", "masked_scatter"}
)

_FIELDS = {
    op: ("values", "indices")
    for op in (
        "max_dim",
        "min_dim",
        "sort",
        "topk",
        "cummax",
        "cummin",
        "median_dim",
        "kthvalue",
        "mode",
    )
}


def _index(p: Printer, node: Node) -> Piece:
    indices = node.args[1]
    assert isinstance(indices, tuple)
    inside = ", ".join(":" if i is None else p.piece(i)[0] for i in indices)
    return f"{wrap(p.piece(node.args[0]), ATOM)}[{inside}]", ATOM


def _slice(p: Printer, node: Node) -> Piece:
    x, dim, start, end, step = node.args
    part = f"{'' if start is None else p.piece(start)[0]}:{'' if end is None else p.piece(end)[0]}"
    if step != 1:
        part += f":{p.piece(step)[0]}"
    assert isinstance(dim, int) and isinstance(x, Value)
    return f"{wrap(p.piece(x), ATOM)}[{_along(dim, len(x.shape), part)}]", ATOM


def _select(p: Printer, node: Node) -> Piece:
    x, dim, index = node.args
    assert isinstance(dim, int) and isinstance(x, Value)
    return f"{wrap(p.piece(x), ATOM)}[{_along(dim, len(x.shape), p.piece(index)[0])}]", ATOM


def _along(dim: int, rank: int, part: str) -> str:
    """A subscript for one axis: ``:, part``, or ``..., part`` for the last of many."""
    axis = dim % rank
    return f"..., {part}" if axis == rank - 1 and rank > 2 else ", ".join([":"] * axis + [part])


def _einsum(p: Printer, node: Node) -> Piece:
    equation, operands = node.args
    assert isinstance(operands, tuple)
    inner = ", ".join(p.piece(o)[0] for o in operands)
    return f"torch.einsum({equation!r}, {inner})", ATOM


def _arange(p: Printer, node: Node) -> Piece:
    start, end, step, dtype, device = node.args
    parts = [p.piece(a)[0] for a in (start, end, step)]
    if step == 1:
        parts = parts[1:2] if start == 0 else parts[:2]
    if dtype is not None:
        parts.append(f"dtype=torch.{dtype}")
    if device is not None:
        parts.append(f"device={p.argument('device', device)}")
    return f"torch.arange({', '.join(parts)})", ATOM


def _transposed(p: Printer, node: Node) -> Piece:
    return f"{wrap(p.piece(node.args[0]), ATOM)}.T", ATOM


def _swaps_a_matrix(node: Node) -> bool:
    """Whether a permutation is the transpose of a matrix, ``x.T``."""
    x, *dims = node.args
    if not isinstance(x, Value) or len(x.shape) != 2:
        return False
    if node.op == "permute":
        return dims[0] in ((1, 0), (-1, 0), (1, -2), (-1, -2))
    return set(dims) in ({0, 1}, {0, -1}, {-2, 1}, {-2, -1})


def _full(p: Printer, node: Node) -> Piece:
    size, fill, dtype, device = node.args
    kind = None
    if isinstance(fill, (bool, int, float)) and fill in (0, 1):
        kind = "ones" if fill else "zeros"
    texts = [p.piece(size)[0]]
    if kind is None or dtype is None:
        kind = "full"
        texts.append(p.piece(fill)[0])
    texts += [] if dtype is None else [f"dtype=torch.{dtype}"]
    texts += [] if device is None else [f"device={p.argument('device', device)}"]
    return f"torch.{kind}({', '.join(texts)})", ATOM


def _copy(p: Printer, node: Node) -> Piece:
    x, src = node.args
    return f"{wrap(p.piece(x), ATOM)}.clone().copy_({p.piece(src)[0]})", ATOM


CUSTOM: dict[str, Callable[[Printer, Node], Piece]] = {
    "identity": lambda p, node: p.piece(node.args[0]),
    "index": _index,
    "slice": _slice,
    "select": _select,
    "einsum": _einsum,
    "arange": _arange,
    "t": _transposed,
    "full": _full,
    "copy": _copy,
}


__all__ = ["PRODUCT", "Line", "Printer", "dims_in", "printed_name"]
