"""The printer: nodes become Python expressions, steps become statements.

Anonymous values that are read once are folded into the expression that reads them; all others get a
statement. What is printed is what runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..program.ir import Node, Program, Step, Value, dims_in, folded_values
from ..program.ops import INFIX, PREFIX, PREFIX_STRENGTH, Op, get_op
from ..program.sizes import ATOM, PRODUCT, UNARY, Scalar, Size, wrap
from .backend import Backend, Piece
from .shapes import Shapes
from .torch_spelling import TORCH, swaps_a_matrix, transposed


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
    the text may read (text for people; elsewhere it would keep them in memory). ``backend`` is the
    library that the text is for.
    """

    def __init__(
        self,
        program: Program,
        sizes: Mapping[str, str],
        inline: bool = True,
        forward: Iterable[Value] = (),
        backend: Backend = TORCH,
    ) -> None:
        self.program = program
        self.backend = backend
        self.shapes = Shapes(program, sizes, forward, backend.numel)
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
            field = self.backend.fields.get(node.op)
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
        if op.name in self.backend.custom:
            return self.backend.custom[op.name](self, node)
        if op.name in ("transpose", "permute") and swaps_a_matrix(node):
            return transposed(self, node)
        if op.spelling in INFIX and len(node.args) == 2:
            return self._infix(op, node)
        if op.spelling in PREFIX and len(node.args) == 1:
            operand = wrap(self.piece(node.args[0]), PREFIX_STRENGTH)
            return f"{op.spelling}{operand}", UNARY
        return self.backend.call(self, op, node)

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
            return self.backend.dtype(arg)
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


__all__ = ["PRODUCT", "Line", "Printer", "dims_in", "printed_name"]
