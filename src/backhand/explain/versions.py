"""The gradient of a gather, written three ways and run: wrong, as a loop, and as one call."""

from __future__ import annotations

from typing import Any

import torch

from ..program.ir import Node, Value
from .blocks import Block, Code, Equation, Matrix, Section, code, para, spans
from .cells import number_tex
from .notation import texname
from .source import Source

INDICES = (1, 0, 3, 0)
ROWS = 4


def versions(source: Source, node: Node, dx: str, dy: str) -> list[Block]:
    """The three versions for a gather of rows, each run on four indices with a repeat."""
    index = _index(node)
    if index is None:
        return []
    x, by = source.name(next(v for v in node.operands() if v.floating)), source.name(index)
    names = {x, by, dx, dy}
    if len(names - {"torch", "range", "i", "p"}) < 4 or not all(map(str.isidentifier, names)):
        return []  # these names would not run
    nested = len(index.shape)
    wrong = f"{dx} = torch.zeros_like({x})\n{dx}[{by}] += {dy}"
    loop = _loop(x, by, dx, dy, nested)
    flat = by if nested == 1 else f"{by}.reshape(-1)"
    rows = dy if nested == 1 else f"{dy}.reshape(-1, {x}.shape[1])"
    added = f"{dx} = torch.zeros_like({x}).index_add_(0, {flat}, {rows})"
    results = {text: _run(text, x, by, dx, dy, nested) for text in (wrong, loop, added)}
    upstream = [[float(k + 1)] for k in range(len(INDICES))]
    return [
        Section(
            spans("Three ways to write it, for ", code(f"{by} = {_indices(nested).tolist()}")),
            (
                para(
                    "Rows 1, 2, 3, 4 arrive from above. Index 0 occurs twice, so row 0 has two "
                    "readers, and its gradient is 2 + 4 = 6."
                ),
                Equation(_column(upstream, dy)),
                para(
                    "Wrong: an assignment to a repeated index keeps only one of the sums; row 0 "
                    "gets 4 here, and the 2 is lost."
                ),
                Code(wrong, "example"),
                Equation(_column(results[wrong], dx)),
                para("Right, reader by reader:"),
                Code(loop, "example"),
                Equation(_column(results[loop], dx)),
                para("Right, in one call that adds up repeats:"),
                Code(added, "example"),
                Equation(_column(results[added], dx)),
            ),
        )
    ]


def _index(node: Node) -> Value | None:
    """The index tensor of a gather of rows that the data decides."""
    if node.op == "index":
        found = node.args[1]
        one = found[0] if isinstance(found, tuple) and len(found) == 1 else None
    elif node.op in ("embedding", "index_select"):
        one = node.args[1] if node.op == "embedding" else node.args[2]
        if node.op == "index_select" and node.args[1] != 0:
            return None
    else:
        return None
    x = next(v for v in node.operands() if v.floating)
    if not isinstance(one, Value) or not one.dtype.startswith("int") or len(x.shape) != 2:
        return None
    return one if 1 <= len(one.shape) <= 2 else None


def _loop(x: str, by: str, dx: str, dy: str, nested: int) -> str:
    if nested == 1:
        return (
            f"{dx} = torch.zeros_like({x})\n"
            f"for i in range({by}.shape[0]):\n"
            f"    {dx}[{by}[i]] += {dy}[i]"
        )
    return (
        f"{dx} = torch.zeros_like({x})\n"
        f"for i in range({by}.shape[0]):\n"
        f"    for p in range({by}.shape[1]):\n"
        f"        {dx}[{by}[i, p]] += {dy}[i, p]"
    )


def _indices(nested: int) -> torch.Tensor:
    return torch.tensor(INDICES).reshape((len(INDICES),) if nested == 1 else (2, 2))


def _run(text: str, x: str, by: str, dx: str, dy: str, nested: int) -> list[list[float]]:
    """What the text computes on the four indices: it is run as it is shown."""
    index = _indices(nested)
    space: dict[str, Any] = {
        "torch": torch,
        x: torch.zeros(ROWS, 1),
        by: index,
        dy: torch.arange(1.0, len(INDICES) + 1).reshape(*index.shape, 1),
    }
    exec(text, space)
    found: list[list[float]] = space[dx].tolist()
    return found


def _column(values: list[list[float]], name: str) -> tuple[str, Matrix]:
    cells = tuple(tuple(number_tex(v) for v in row) for row in values)
    return f"{texname(name)} =", Matrix(cells, role="gradient")


__all__ = ["versions"]
