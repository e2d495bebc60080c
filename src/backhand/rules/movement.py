"""Joining, padding and re-arranging: every element of the gradient goes back to its place."""

from __future__ import annotations

from typing import Any

from ..program.build import Var, op
from ..program.sizes import Dim
from .base import Context, Gradients, T, plain, rule, sample


def part(x: Var, dim: int, start: Dim | None, end: Dim | None) -> Var:
    """``x[start:end]`` along ``dim``."""
    out: Var = op.slice(x, dim, start, end)
    return out


@rule("cat", (sample((T((2, 3)), T((4, 3)))), sample((T((2, 3)), T((2, 1)), T((2, 0))), -1),
              sample((T((0,)), T((2, 3)))), sample((T((3,)),))),
      tex={"tensors": "\\text{the part of } g \\text{ that came from it}"})
def _cat(c: Context) -> Gradients:
    g = c.g
    dim = c["dim"] % g.rank
    parts: list[Var] = []
    start: Dim = 0
    for i, x in enumerate(c["tensors"]):
        if x.rank == 1 and x.shape[0] == 0 and g.rank != 1:
            parts.append(op.new_zeros(g, (0,)))  # an empty vector joins tensors of any rank
            continue
        end = start + x.shape[dim]
        last = i == len(c["tensors"]) - 1
        whole = last and start == 0
        first = None if type(start) is int and start == 0 else start
        parts.append(g if whole else part(g, dim, first, None if last else end))
        start = end
    return {"tensors": tuple(parts)}


@rule("stack", (sample((T((2, 3)), T((2, 3)))), sample((T((3,)), T((3,)), T((3,))), -1),
                sample((T(()), T(())))),
      tex={"tensors": "\\text{the part of } g \\text{ that came from it}"})
def _stack(c: Context) -> Gradients:
    dim = c["dim"] % c.g.rank
    return {"tensors": tuple(op.select(c.g, dim, i) for i in range(len(c["tensors"])))}


@rule("constant_pad_nd", (sample(T((3, 4)), (1, 2)), sample(T((3, 4)), (1, 0, 0, 2), value=0.5),
                          sample(T((3, 5)), (-1, -2)), sample(T((3, 4)), (2, -1, -1, 0))),
      tex={"x": "g \\text{ without the border}"})
def _pad(c: Context) -> Gradients:
    pad = c["pad"]
    if all(type(p) is int and p >= 0 for p in pad):
        return {"x": op.pad_backward(c.g, pad)}
    return {"x": op.constant_pad_nd(c.g, tuple(0 - p for p in pad))}


@plain("pad_backward")
def _pad_backward(g: Var, pad: tuple[int, ...]) -> Var:
    """What is inside the border, which torch copies, even if that is all."""
    for i in reversed(range(0, len(pad), 2)):
        before, after = pad[i], pad[i + 1]
        if before or after:
            g = part(g, g.rank - 1 - i // 2, before or None, -after if after else None)
    return g


@rule("flip", (sample(T((3, 4)), (0,)), sample(T((2, 3, 4)), (0, -1)), sample(T(()), ())),
      tex={"x": "1"})
def _flip(c: Context) -> Gradients:
    return {"x": op.flip(c.g, c["dims"])}


@rule("roll", (sample(T((3, 4)), 1), sample(T((3, 4)), (1, -2), (0, 1)), sample(T((3, 4)), 2, 1)),
      tex={"x": "1"})
def _roll(c: Context) -> Gradients:
    return {"x": op.roll(c.g, _backwards(c["shifts"], -1), _backwards(c["dims"], 1))}


def _backwards(numbers: Any, sign: int) -> Any:
    if isinstance(numbers, tuple):
        return tuple(_backwards(n, sign) for n in reversed(numbers))
    return numbers if sign == 1 else 0 - numbers


@rule("rot90", (sample(T((3, 4)), 1, (0, 1)), sample(T((2, 3, 4)), 2, (2, 0)),
                sample(T((3, 4)), -1, (0, 1))), tex={"x": "1"})
def _rot90(c: Context) -> Gradients:
    return {"x": op.rot90(c.g, 0 - c["k"], c["dims"])}


@rule("repeat", (sample(T((3, 4)), (2, 1)), sample(T((4,)), (3, 2)), sample(T((2, 3)), (2, 1, 3)),
                 sample(T(()), (3,)), sample(T((3,)), (0,))),
      tex={"x": "\\sum \\text{ over the copies}"})
def _repeat(c: Context) -> Gradients:
    x, g, repeats = c.x, c.g, c["repeats"]
    if 0 in repeats:
        return {"x": op.new_zeros(g, x.shape)}
    for _ in range(g.rank - x.rank):
        g = op.sum(g, 0)
    shape: list[Dim] = []
    copies: list[int] = []
    for size, times in zip(x.shape, repeats[len(repeats) - x.rank :], strict=True):
        if times != 1:
            copies.append(len(shape))
            shape.append(times)
        shape.append(size)
    if copies:
        g = op.sum(op.reshape(g, tuple(shape)), copies[0] if len(copies) == 1 else tuple(copies))
    return {"x": g}


@rule("diag_embed", (sample(T((3,))), sample(T((2, 3)), 1), sample(T((2, 3)), -1, 0, 2)),
      tex={"x": "g \\text{ on the diagonal}"})
def _diag_embed(c: Context) -> Gradients:
    return {"x": op.diagonal(c.g, c["offset"], c["dim1"], c["dim2"])}


@rule("to_device", (sample(T((3, 4)), T((2,), grad=False)), sample(T((3, 4)), "cpu")),
      tex={"x": "1"})
def _to_device(c: Context) -> Gradients:
    return {"x": op.to_device(c.g, c.x)}
