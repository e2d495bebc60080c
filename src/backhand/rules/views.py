"""Views: all elements in another shape, or some of them; gradients go back the way they came."""

from __future__ import annotations

from typing import Any

from ..program.build import Var, op
from ..program.sizes import Dim
from .base import Context, Gradients, T, plain, rule, sample
from .linalg import swapped


def zeros_for(x: Var, g: Var) -> Var:
    """Zeros in the shape of ``x``, in the dtype and on the device of ``g``.

    Reads ``x`` only where the forward pass has a name for it.
    """
    out: Var = op.zeros_like(x) if x.value.var is not None else op.new_zeros(g, x.shape)
    return out


@rule("view", (sample(T((3, 4)), (2, 6)), sample(T((3, 4)), (12,)), sample(T(()), (1, 1)),
               sample(T((0, 3)), (3, 0))), tex={"x": "1"})
def _view(c: Context) -> Gradients:
    return {"x": reshaped(c.g, c.x.shape)}


@rule("reshape", (sample(T((3, 4)), (2, 6)), sample(T((3, 4)), (-1,)), sample(T((1,)), ())),
      tex={"x": "1"})
def _reshape(c: Context) -> Gradients:
    return {"x": reshaped(c.g, c.x.shape)}


@rule("flatten", (sample(T((2, 3, 4))), sample(T((2, 3, 4)), 1), sample(T((2, 3, 4)), 0, 1),
                  sample(T(()))), tex={"x": "1"})
def _flatten(c: Context) -> Gradients:
    return {"x": reshaped(c.g, c.x.shape)}


def reshaped(g: Var, shape: tuple[Dim, ...]) -> Var:
    """``g`` in another shape, and ``g`` itself if it has it already."""
    out: Var = g if g.shape == shape else op.reshape(g, shape)
    return out


@rule("permute", (sample(T((2, 3, 4)), (2, 0, 1)), sample(T((2, 3, 4)), (-1, 0, 1)),
                  sample(T(()), ())), tex={"x": "1"})
def _permute(c: Context) -> Gradients:
    rank = c.x.rank
    order = [d % rank for d in c["dims"]]
    return {"x": op.permute(c.g, tuple(order.index(i) for i in range(rank)))}


@rule("transpose", (sample(T((2, 3, 4)), 0, 2), sample(T((3, 4)), -2, -1), sample(T(()), 0, -1)),
      tex={"x": "1"})
def _transpose(c: Context) -> Gradients:
    return {"x": op.transpose(c.g, c["dim0"], c["dim1"])}


@rule("t", (sample(T((3, 4))), sample(T((3,))), sample(T(()))), tex={"x": "1"})
def _t(c: Context) -> Gradients:
    return {"x": swapped(c.g) if c.x.rank == 2 else c.g}


@rule("expand", (sample(T((3, 1)), (3, 4)), sample(T((4,)), (2, 3, 4)),
                 sample(T((1, 4)), (2, 3, 4)), sample(T(()), (2,))),
      tex={"x": "\\sum \\text{ over what was repeated}"})
def _expand(c: Context) -> Gradients:
    return {"x": c.g}  # the walk sums over the axes along which it was broadcast


@rule("unsqueeze", (sample(T((3, 4)), 1), sample(T((3, 4)), -1), sample(T(()), 0)), tex={"x": "1"})
def _unsqueeze(c: Context) -> Gradients:
    return {"x": op.squeeze(c.g, c["dim"])}


@rule("squeeze", (sample(T((3, 1, 4)), 1), sample(T((1, 3, 1, 4))), sample(T((1, 3, 1)), (0, 2)),
                  sample(T((3, 1, 4)), 0), sample(T(()))), tex={"x": "1"})
def _squeeze(c: Context) -> Gradients:
    x, g, dim = c.x, c.g, c["dim"]
    if isinstance(dim, int) and x.rank == g.rank + 1:
        return {"x": op.unsqueeze(g, dim)}
    return {"x": reshaped(g, x.shape)}


@rule("slice", (sample(T((5, 3)), 0, 1, 4), sample(T((5, 6)), 1, None, -1, 2),
                sample(T((5,)), 0, 3, 3), sample(T((5,)), 0, -3, None)),
      tex={"x": "g \\text{ in the slice}, 0 \\text{ elsewhere}"})
def _slice(c: Context) -> Gradients:
    place = (c["dim"], c["start"], c["end"], c["step"])
    return {"x": op.slice_scatter(zeros_for(c.x, c.g), c.g, *place)}


@rule("select", (sample(T((5, 3)), 0, 2), sample(T((5, 3)), 1, -1), sample(T((4,)), 0, 0)),
      tex={"x": "g \\text{ in its place}, 0 \\text{ elsewhere}"})
def _select(c: Context) -> Gradients:
    return {"x": op.select_scatter(zeros_for(c.x, c.g), c.g, c["dim"], c["index"])}


@rule("diagonal", (sample(T((3, 4))), sample(T((3, 4)), 1), sample(T((2, 3, 4)), -1, 1, 2),
                   sample(T((2, 3)), 5)),
      tex={"x": "g \\text{ on the diagonal}, 0 \\text{ elsewhere}"})
def _diagonal(c: Context) -> Gradients:
    place = (c["offset"], c["dim1"], c["dim2"])
    return {"x": op.diagonal_scatter(zeros_for(c.x, c.g), c.g, *place)}


@rule("unfold", (sample(T((7,)), 0, 3, 2), sample(T((2, 6, 2)), 1, 2, 1), sample(T((5,)), 0, 2, 3)),
      tex={"x": "\\sum \\text{ over the windows that hold } x_i"})
def _unfold(c: Context) -> Gradients:
    if c.x.rank == 0:
        return {"x": reshaped(c.g, ())}
    dim = c["dimension"] % c.x.rank
    return {"x": op.unfold_backward(c.g, c.x.shape, dim, c["size"], c["step"])}


@plain("unfold_backward")
def _unfold_backward(g: Var, input_sizes: tuple[Dim, ...], dim: int, size: int, step: int) -> Var:
    # element k of window w is x[w * step + k]
    starts = op.arange(0, g.shape[dim], device=g)
    if step != 1:
        starts = starts * step
    places = op.unsqueeze(starts, 1) + op.arange(0, size, device=g)
    last = g.rank - 1
    if dim + 1 != last:
        order = [i for i in range(last) if i <= dim] + [last] + [i for i in range(last) if i > dim]
        g = op.permute(g, tuple(order))
    windows = op.flatten(g, dim, dim + 1)
    out: Var = op.index_add(op.new_zeros(g, input_sizes), dim, op.flatten(places), windows)
    return out


def _joined(c: Context, dim: int) -> Var:
    """The upstreams side by side, zeros for the parts that nothing was made from."""
    g = next(g for g in c.gs if g is not None)
    like = c.x if c.x.value.var is not None else g
    parts = [
        op.new_zeros(like, y.shape) if found is None else found
        for y, found in zip(c.ys, c.gs, strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    out: Var = op.cat(tuple(parts), dim)
    return out


@rule("split", (sample(T((6, 2)), 2), sample(T((2, 5)), 2, 1), sample(T((4,)), 4)),
      tex={"x": "(g_1, g_2, \\dots)"})
def _split(c: Context) -> Gradients:
    return {"x": _joined(c, c["dim"])}


@rule("split_with_sizes", (sample(T((6, 2)), (1, 2, 3)), sample(T((2, 5)), (5, 0), 1)),
      tex={"x": "(g_1, g_2, \\dots)"})
def _split_with_sizes(c: Context) -> Gradients:
    return {"x": _joined(c, c["dim"])}


@rule("chunk", (sample(T((6, 2)), 3), sample(T((2, 5)), 2, 1), sample(T((4,)), 7)),
      tex={"x": "(g_1, g_2, \\dots)"})
def _chunk(c: Context) -> Gradients:
    return {"x": _joined(c, c["dim"])}


@rule("unbind", (sample(T((3, 2))), sample(T((2, 4)), 1)), tex={"x": "(g_1, g_2, \\dots)"})
def _unbind(c: Context) -> Gradients:
    found: Any = next(g for g in c.gs if g is not None)
    parts = tuple(op.zeros_like(found) if g is None else g for g in c.gs)
    return {"x": op.stack(parts, c["dim"])}
