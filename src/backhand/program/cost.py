"""What a backward pass costs: statements, passes over large tensors, bytes, operations.

All of it is arithmetic on programs: nothing runs. ``loops`` says how memory is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from ..errors import InputError
from .ir import Node, Program, Value, folded_values
from .loops import Extent, base, loops, role
from .ops import get_op

# A tensor is large if it has at least this part of the elements of the largest one.
LARGE = 0.25
ITEM_BYTES = {"bool": 1, "bfloat16": 2, "complex64": 8, "complex128": 16}


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one backward pass at given sizes.

    Attributes:
        statements: Printed lines, sizes and the upstream of a loss not counted.
        passes: How often a large tensor is read from or written to memory if everything that can
            be fused is. Large is what has at least a quarter of the elements of the largest tensor
            that the forward pass reads or makes.
        bytes_moved: The bytes of all those reads and writes, small tensors included.
        bytes_saved: The memory of the inputs and forward values that the backward pass reads; views
            of one tensor count once, what is read for its shape only does not count.
        flops: One per element for each operator, two per product in a product of matrices.
    """

    statements: int
    passes: int
    bytes_moved: int
    bytes_saved: int
    flops: int


def cost(forward: Program, backward: Program, at: Mapping[str, int] | None = None) -> Cost:
    """The cost of a backward program.

    ``at`` gives values of symbolic sizes by name; the others have the example's. Raises
    ``InputError`` for a name that is no size of the program.
    """
    hints = {**forward.hints(), **backward.hints()}
    unknown = [name for name in at or {} if name not in hints]
    if unknown:
        known = ", ".join(hints) or "none, all are fixed"
        raise InputError(f"there is no symbolic size {unknown[0]!r}: there are {known}")
    extent = Extent({**hints, **(at or {})})
    producers = forward.producers()
    stored = (v for v in forward.values() if base(v, producers) is v)
    threshold = LARGE * max([1, *(extent.elements(v) for v in stored)])
    found = loops(backward, extent.sizes, int(threshold))
    folded = folded_values(backward)
    dtypes = {v.name: v.dtype for v in backward.values()}
    moved = [part for loop in found for part in (*loop.reads.items(), *loop.writes.items())]
    return Cost(
        statements=sum(n.outs[0].name not in folded for n in backward.nodes()),
        passes=sum(elements >= threshold for _, elements in moved),
        bytes_moved=sum(n * item_bytes(dtypes[name.partition("%")[0]]) for name, n in moved),
        bytes_saved=sum(weight(v, extent) for v in saved(forward, backward)),
        flops=sum(flops(node, extent) for node in backward.nodes()),
    )


def saved(forward: Program, backward: Program) -> Iterator[Value]:
    """The tensors that must outlive the forward pass, a view by the tensor whose memory it has."""
    known = {v.name: v for v in forward.values()}
    kept = saved_names(known, forward.producers(), backward)
    return (v for name, v in known.items() if name in kept)


def saved_names(
    known: Mapping[str, Value], producers: Mapping[str, Node], backward: Program
) -> set[str]:
    """The names of those tensors; ``known`` are the forward pass's."""
    read = {v.name for n in backward.nodes() if role(n.op) != "creation" for v in n.operands()}
    read.update(v.name for v in backward.outputs)
    return {base(known[name], producers).name for name in read if name in known}


def weight(value: Value, extent: Extent) -> int:
    """The bytes of a tensor."""
    return extent.elements(value) * item_bytes(value.dtype)


def item_bytes(dtype: str) -> int:
    """Bytes of one element: ``float32`` has four."""
    bits = re.search(r"\d+", dtype)
    return ITEM_BYTES.get(dtype) or int(bits[0] if bits else 8) // 8


def flops(node: Node, extent: Extent) -> int:
    """Floating-point operations of one node, as an estimate."""
    if role(node.op) in ("view", "creation", "gather"):
        return 0
    operands = list(node.operands())
    made = max(extent.elements(v) for v in node.outs)
    if node.op == "einsum":
        return 2 * _einsum_products(node, extent)
    if get_op(node.op).kind == "contraction":
        inner = operands[_LEFT.get(node.op, 0)]
        if node.op in _INNER or node.op in _LEFT:
            return 2 * made * (extent.shape(inner) or (1,))[-1]
    if "conv" in node.op or node.op.startswith("transposed"):
        return 2 * _convolution_products(node, extent)
    return max([made, *(extent.elements(v) for v in operands)])


# Products of matrices: the last axis of this operand is the one that is summed over.
_INNER = frozenset(("matmul", "mm", "bmm", "mv", "dot", "vdot", "linear"))
_LEFT = {"addmm": 1, "baddbmm": 1, "addbmm": 1, "addmv": 1}


def _einsum_products(node: Node, extent: Extent) -> int:
    equation, operands = node.args
    assert isinstance(equation, str)
    assert isinstance(operands, tuple)
    sizes: dict[str, int] = {}
    for term, v in zip(equation.partition("->")[0].split(","), operands, strict=True):
        letters = term.replace(" ", "")
        assert isinstance(v, Value)
        shape = extent.shape(v)
        before, dots, after = letters.partition("...")
        middle = shape[len(before) : len(shape) - len(after)] if dots else ()
        named = [*before, *(f".{len(middle) - i}" for i in range(len(middle))), *after]
        for letter, n in zip(named, shape, strict=True):
            sizes[letter] = max(n, sizes.get(letter, 1))
    return prod(sizes.values())


def _convolution_products(node: Node, extent: Extent) -> int:
    """Every element of the smaller resolution meets the whole window of one output channel."""
    op = get_op(node.op)
    shapes = {
        p.name: extent.shape(arg)
        for p, arg in zip(op.params, node.args, strict=True)
        if isinstance(arg, Value)
    }
    for p, arg in zip(op.params, node.args, strict=True):
        if p.name in ("input_size", "weight_size") and isinstance(arg, tuple):
            shapes[p.name.removesuffix("_size")] = tuple(
                extent.dim(d) for d in arg if not isinstance(d, (Value, str, float, tuple))
            )
    weight = shapes.get("weight", (1,))
    through = prod(weight[1:])
    if node.op.startswith("transposed"):
        return prod(shapes["x"]) * through
    count = prod(shapes["g"]) if "g" in shapes else prod(extent.shape(node.outs[0]))
    times = 2 if node.op == "convolution_backward" else 1
    return times * count * through


def comparison(costs: Mapping[str, Cost]) -> list[tuple[str, ...]]:
    """Rows of a table: a line per quantity, a column per form, the last as a part of the first.

    >>> a, b = Cost(5, 9, 4_000_000, 2_000_000, 10_000), Cost(1, 3, 1_000_000, 2_000_000, 500)
    >>> for row in comparison({"longhand": a, "shorthand": b}):
    ...     print("|".join(row))
    |longhand|shorthand|ratio
    statements|5|1|0.20
    passes over large tensors|9|3|0.33
    bytes moved|4.0 MB|1.0 MB|0.25
    bytes saved|2.0 MB|2.0 MB|1.00
    operations|10.0 k|500|0.05
    """
    columns = list(costs.values())
    rows: list[tuple[str, ...]] = [("", *costs, *(["ratio"] if len(columns) > 1 else []))]
    for label, attribute, unit in _QUANTITIES:
        numbers = [getattr(c, attribute) for c in columns]
        cells = [amount(n, unit) if unit is not None else str(n) for n in numbers]
        if len(columns) > 1:
            cells.append(f"{numbers[-1] / numbers[0]:.2f}" if numbers[0] else "")
        rows.append((label, *cells))
    return rows


_QUANTITIES = (
    ("statements", "statements", None),
    ("passes over large tensors", "passes", None),
    ("bytes moved", "bytes_moved", "B"),
    ("bytes saved", "bytes_saved", "B"),
    ("operations", "flops", ""),
)


def amount(n: float, unit: str) -> str:
    """A number with three figures: ``4.1 MB``."""
    for prefix in ("", "k", "M", "G"):
        if n < 1000 or prefix == "G":
            break
        n /= 1000
    text = f"{n:.1f}" if prefix else str(n)
    return f"{text} {prefix}{unit}".rstrip()
