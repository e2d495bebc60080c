"""Broadcasts in words: what was stretched, why its gradient is summed, and why with keepdim."""

from __future__ import annotations

from collections.abc import Sequence

from ..program.ir import Node, Value
from ..program.ops import get_op
from .blocks import Block, Span, code, para, strong
from .source import Source


def stretch(source: Source, operand: Value, node: Node) -> list[Block]:
    """On the broadcast of an operand in an elementwise operator; nothing where there is none."""
    if get_op(node.op).kind != "elementwise" or not node.outs[0].floating:
        return []
    out = node.outs[0]
    leading = len(out.shape) - len(operand.shape)
    if leading < 0:
        return []
    stretched = [
        leading + k
        for k, d in enumerate(operand.shape)
        if source.hint(d) == 1 and source.hint(out.shape[leading + k]) != 1
    ]
    if not leading and not stretched:
        return []
    x, shape, full = source.name(operand), source.shape(operand), source.shape(out)
    added = list(range(leading))
    count = " × ".join(source.size(out.shape[k]) for k in (*added, *stretched))
    blocks: list[Block] = [
        para(
            strong("Broadcast. "), code(x), " has ", _shaped(shape), f", and is stretched to {full}"
            f" {_along(added, stretched)}: each of its elements is read {count} times. The local "
            f"gradient has the stretched shape {full}, and so has upstream × local.",
        )
    ]  # fmt: skip
    blocks.append(para(*_summed(source, operand, added, stretched, x, shape)))
    return blocks


def _shaped(shape: str) -> str:
    return "no axes (it is a scalar)" if shape == "a scalar" else f"the shape {shape}"


def _along(added: Sequence[int], stretched: Sequence[int]) -> str:
    parts = []
    if added:
        parts.append(f"by {_axes(added, 'new axis', 'new axes')} in front")
    if stretched:
        parts.append(f"along {_axes(stretched, 'axis', 'axes')}")
    return " and ".join(parts)


def _axes(axes: Sequence[int], one: str, many: str) -> str:
    if len(axes) == 1:
        return f"{one} {axes[0]}"
    return f"{many} {', '.join(map(str, axes[:-1]))} and {axes[-1]}"


def _summed(
    source: Source,
    operand: Value,
    added: Sequence[int],
    stretched: Sequence[int],
    x: str,
    shape: str,
) -> list[str | Span]:
    axes = [*added, *stretched]
    dim = str(axes[0]) if len(axes) == 1 else f"({', '.join(map(str, axes))})"
    what: list[str | Span] = [
        strong("De-broadcast. "),
        "A broadcast forward is a sum backward: an element that is read many times gets the sum of "
        f"all that comes back to it, over {_axes(axes, 'axis', 'axes')}: ",
    ]
    if stretched and not added:
        flat = [source.size(d) for k, d in enumerate(operand.shape) if k not in stretched]
        without = f"[{', '.join(flat)}]" if flat else "no axes"
        return [
            *what, code(f".sum({dim}, keepdim=True)"), ". It keeps what it sums over, as an axis "
            "of size 1 (", code("keepdim"), "), because ", code(x), " has that axis too: without "
            f"it the sum would have {'the shape ' if flat else ''}{without} instead of {shape}.",
        ]  # fmt: skip
    if not stretched:
        return [
            *what, code(f".sum({dim})"), ". There is no ", code("keepdim"), ", because ", code(x),
            " has no such axis: with it the sum would have one axis more than ", code(x), ".",
        ]  # fmt: skip
    return [
        *what, code(f".sum({dim}, keepdim=True)"), ". It keeps the axes of size 1 that ", code(x),
        f" has; the new ones in front are then dropped, for the shape {shape}.",
    ]  # fmt: skip


__all__ = ["stretch"]
