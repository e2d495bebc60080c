"""What a few lines of a backward pass cost, to choose between two spellings of the same region.

A compiler runs neighbouring elementwise operators as one loop; a sum that a later line needs ends
the loop. So what counts is how often a large tensor is read or written, then what has to be saved,
then how many operators there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import total_ordering

from ..program.build import SizeContext
from ..program.ir import Node, Value
from ..program.ops import get_op

ITEM = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "bfloat16": 2, "float16": 2, "bool": 1}


@total_ordering
@dataclass(frozen=True)
class Weight:
    """Passes over large tensors, bytes saved, operators (small ones count a tenth)."""

    passes: int
    saved: int
    operators: float

    def __lt__(self, other: Weight) -> bool:
        return (self.passes, self.saved, self.operators) < (
            other.passes,
            other.saved,
            other.operators,
        )


def weigh(
    nodes: Sequence[Node],
    targets: Sequence[Value],
    context: SizeContext,
    sources: Callable[[Value], Collection[Value]],
) -> Weight:
    """The cost of a region's nodes. ``sources``: the forward values that one is kept as."""

    def elements(value: Value) -> int:
        return int(math.prod(context.hint(d) for d in value.shape))

    made = {v.name for n in nodes for v in n.outs}
    values = {v.name: v for n in nodes for v in (*n.operands(), *n.outs)}
    largest = max([elements(v) for v in (*values.values(), *targets)], default=0)

    def large(value: Value) -> bool:
        return 2 * elements(value) > largest

    level: dict[str, int] = {}
    reads: set[tuple[int, str]] = set()
    operators = 0.0
    for node in nodes:
        here = max([level.get(v.name, 0) for v in node.operands()], default=0)
        kind = get_op(node.op).kind
        wide = any(large(v) for v in (*node.operands(), *node.outs))
        if kind not in ("view",) and node.op != "identity":
            operators += 1.0 if wide else 0.1
        for v in node.operands():
            if large(v) and (v.name not in made or level.get(v.name, 0) < here):
                reads.add((here, v.name))
        shrinks = any(large(v) for v in node.operands()) and not any(map(large, node.outs))
        for v in node.outs:
            level[v.name] = here + 1 if shrinks else here
    kept = {v.name for v in targets}
    passed_on = {name for _, name in reads if name in made}
    writes = {v.name for v in values.values() if large(v) and v.name in made}
    writes &= kept | passed_on
    read = [v for v in values.values() if v.name not in made]
    kept_as = {v.name: v for value in read for v in sources(value)}
    saved = sum(elements(v) * ITEM.get(v.dtype, 4) for v in kept_as.values())
    return Weight(len(reads) + len(writes), saved, round(operators, 3))
