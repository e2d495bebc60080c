"""Indexing, gathering and scattering: what is read several times collects a sum, what is written
over gets nothing."""

from __future__ import annotations

from ..errors import UnsupportedError
from ..program.build import Var, op
from ..program.sizes import number_value
from .base import Context, Gradients, T, nondifferentiable, plain, rule, sample
from .views import zeros_for


def _places(shape: tuple[int, ...], high: int) -> T:
    return T(shape, "index", high=high, grad=False)


ROWS = _places((5,), 4)
ROW_OF_TWO = _places((2,), 2)
DUPLICATES = "an element that is read several times gets the sum of all their gradients"
LATER_WINS = (
    "where the same place is written several times, every written value gets the gradient of that "
    "place, also the ones that were overwritten"
)


@rule("index", (sample(T((4, 3)), (ROWS,)),
                sample(T((5, 6)), (_places((5,), 5), _places((5,), 6))),
                sample(T((4, 3)), (_places((2, 5), 4),)),
                sample(T((4, 3)), (None, _places((2,), 3))),
                sample(T((4, 3, 5)), (_places((2, 1), 4), None, _places((3,), 5))),
                sample(T((4, 3)), (_places((0,), 4),)),
                sample(T((4, 3)), (_places((), 4),))),
      ties=DUPLICATES, tex={"x": "\\sum_{\\sigma(i)=j} g_i"})
def _index(c: Context) -> Gradients:
    if any(isinstance(i, Var) and i.dtype in ("bool", "uint8") for i in c["indices"]):
        raise UnsupportedError(
            "indexing with a mask gives as many elements as the data decide",
            hint="use torch.where(mask, x, 0), or masked_fill, which keep the shape",
        )
    return {"x": put_at(zeros_for(c.x, c.g), c["indices"], c.g, accumulate=True)}


def put_at(x: Var, indices: tuple[Var | None, ...], values: Var, accumulate: bool) -> Var:
    """``x`` with ``values`` written (or added) at ``indices``; None stands for a whole axis."""
    if None not in indices:
        out: Var = op.index_put(x, indices, values, accumulate=accumulate)
        return out
    last = indices[-1]
    if accumulate and last is not None and last.rank == 1 and set(indices[:-1]) == {None}:
        axis = len(indices) - 1
        # index_add takes no negative positions, an index does
        out = op.index_add(x, axis, op.remainder(last, x.shape[axis]), values)
        return out
    out = op.index_put_at(x, indices, values, accumulate=accumulate)
    return out


@rule("index_put", (sample(T((4, 3)), (_places((2,), 4),), T((2, 3))),
                    sample(T((4, 3)), (ROWS,), T((5, 3)), accumulate=True),
                    sample(T((4, 3)), (ROWS, _places((5,), 3)), T((5,))),
                    sample(T((4, 3)), (ROWS,), T(()))),
      ties=LATER_WINS, tex={"x": "g \\text{ except where written}", "values": "g_{\\sigma}"})
@rule("index_put_at", (sample(T((4, 3)), (None, _places((2,), 3)), T((4, 1)), accumulate=True),
                       sample(T((4, 3, 2)), (_places((2,), 4), None, ROW_OF_TWO), T((2, 3)))),
      ties=LATER_WINS, tex={"x": "g \\text{ except where written}", "values": "g_{\\sigma}"})
def _index_put(c: Context) -> Gradients:
    g, indices, values = c.g, c["indices"], c["values"]
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = g if c["accumulate"] else put_at(g, indices, zeros_for(values, g), False)
    if c.needs("values"):
        out["values"] = op.index(g, indices)
    return out


@rule("gather", (sample(T((4, 3)), 0, _places((2, 3), 4)), sample(T((4, 3)), 1, _places((4, 5), 3)),
                 sample(T(()), 0, _places((), 1)), sample(T((4, 3)), -1, _places((2, 1), 3))),
      ties=DUPLICATES, tex={"x": "\\sum_{\\sigma(i)=j} g_i"})
def _gather(c: Context) -> Gradients:
    return {"x": op.scatter_add(zeros_for(c.x, c.g), c["dim"], c["index"], c.g)}


@rule("index_select", (sample(T((4, 3)), 0, ROWS), sample(T((2, 4)), -1, ROWS),
                       sample(T((4, 3)), 0, _places((0,), 4))),
      ties=DUPLICATES, tex={"x": "\\sum_{\\sigma(i)=j} g_i"})
def _index_select(c: Context) -> Gradients:
    return {"x": op.index_add(zeros_for(c.x, c.g), c["dim"], c["index"], c.g)}


def _picked(c: Context) -> Var:
    """The upstream at the places that ``source`` was written to, in the shape of ``source``."""
    source, index = c["source"], c["index"]
    if source.rank == 0:
        out: Var = op.index_select(c.g, c["dim"], op.squeeze(index, 0) if index.rank else index)
        return out
    out = op.index_select(c.g, c["dim"], index)
    return out


@rule("index_add", (sample(T((4, 3)), 0, ROWS, T((5, 3))),
                    sample(T((2, 4)), 1, ROWS, T((2, 5)), alpha=0.5)),
      tex={"x": "1", "source": "\\alpha\\, g_{\\sigma}"})
def _index_add(c: Context) -> Gradients:
    out: dict[str, Var] = {"x": c.g}
    if c.needs("source"):
        alpha = c["alpha"]
        out["source"] = _picked(c) if alpha == 1 else _picked(c) * alpha
    return out


@rule("index_copy", (sample(T((4, 3)), 0, _places((2,), 4), T((2, 3))),
                     sample(T((2, 4)), 1, _places((2,), 4), T((2, 2)))),
      ties=LATER_WINS, tex={"x": "g \\text{ except where written}", "source": "g_{\\sigma}"})
def _index_copy(c: Context) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.index_fill(c.g, c["dim"], c["index"], 0)
    if c.needs("source"):
        out["source"] = _picked(c)
    return out


@rule("index_fill", (sample(T((4, 3)), 0, ROWS, 0.5),
                     sample(T((4, 3)), 1, _places((2,), 3), T(()))),
      tex={"x": "g \\text{ except where written}", "value": "\\sum g_{\\sigma}"})
def _index_fill(c: Context) -> Gradients:
    g, dim, index = c.g, c["dim"], c["index"]
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.index_fill(g, dim, index, 0)
    if c.needs("value"):
        kept = op.index_fill(op.ones_like(g), dim, index, 0)
        out["value"] = op.sum(op.where(op.eq(kept, 0), g, 0.0))
    return out


@rule("take", (sample(T((4, 3)), _places((5,), 12)), sample(T((6,)), _places((2, 2), 6))),
      ties=DUPLICATES, tex={"x": "\\sum_{\\sigma(i)=j} g_i"})
def _take(c: Context) -> Gradients:
    return {"x": op.put(zeros_for(c.x, c.g), c["index"], c.g, accumulate=True)}


@rule("put", (sample(T((4, 3)), _places((3,), 12), T((3,))),
              sample(T((4, 3)), _places((5,), 12), T((5,)), accumulate=True)),
      ties=LATER_WINS, tex={"x": "g \\text{ except where written}", "source": "g_{\\sigma}"})
def _put(c: Context) -> Gradients:
    g, index, source = c.g, c["index"], c["source"]
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = g if c["accumulate"] else op.put(g, index, zeros_for(source, g))
    if c.needs("source"):
        taken = op.take(g, index)
        out["source"] = taken if taken.shape == source.shape else op.reshape(taken, source.shape)
    return out


def _from_places(c: Context) -> Var:
    """The upstream at the places that ``src`` was written to."""
    return in_the_shape_of_src(c, op.gather(c.g, c["dim"], c["index"]))


def in_the_shape_of_src(c: Context, out: Var) -> Var:
    """A gradient for ``src`` that was gathered by the index: autograd has it for one shape only."""
    src, index = c["src"], c["index"]
    if src.shape == index.shape:
        return out
    hints = c.g.builder.context.hints()
    if [number_value(d, hints) for d in src.shape] != [number_value(d, hints) for d in index.shape]:
        raise UnsupportedError(
            f"{c.node.op} has a gradient for its source only if source and index have one shape",
            hint="slice the source to the shape of the index first",
        )
    out = op.expand(out, src.shape)  # equal in the example; fails where it is not
    return out


@rule("scatter", (sample(T((4, 3)), 0, _places((2, 3), 4), T((2, 3))),
                  sample(T((4, 3)), 1, _places((4, 2), 3), 0.5),
                  sample(T((4, 3)), 1, _places((2, 2), 3), 0.5)),
      ties=LATER_WINS, tex={"x": "g \\text{ except where written}", "src": "g_{\\sigma}"})
def _scatter(c: Context) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.scatter(c.g, c["dim"], c["index"], 0)
    if c.needs("src"):
        out["src"] = _from_places(c)
    return out


@rule("scatter_add", (sample(T((4, 3)), 0, _places((5, 3), 4), T((5, 3))),
                      sample(T((4, 3)), 1, _places((2, 6), 3), T((2, 6)))),
      tex={"x": "1", "src": "g_{\\sigma}"})
def _scatter_add(c: Context) -> Gradients:
    out: dict[str, Var] = {"x": c.g}
    if c.needs("src"):
        out["src"] = _from_places(c)
    return out


@rule("embedding", (sample(T((4, 3)), ROWS), sample(T((4, 3)), _places((2, 5), 4)),
                    sample(T((4, 3)), ROWS, 1)),
      ties=DUPLICATES + "; the row padding_idx gets none",
      tex={"weight": "\\sum_{\\sigma(i)=j} g_i"})
def _embedding(c: Context) -> Gradients:
    if c["scale_grad_by_freq"]:
        raise UnsupportedError("embedding is not supported with scale_grad_by_freq=True")
    if c["sparse"]:
        raise UnsupportedError("embedding is not supported with sparse=True: gradients are dense")
    w = c["weight"]
    rows = w.shape[0]
    padding = c["padding_idx"]
    return {"weight": op.embedding_backward(c.g, c["indices"], rows, padding, False)}


@plain("embedding_backward")
def _embedding_backward(
    g: Var, indices: Var, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Var:
    if not (type(padding_idx) is int and padding_idx < 0):
        g = op.masked_fill(g, op.unsqueeze(op.eq(indices, padding_idx), -1), 0)
    zeros = op.new_zeros(g, (num_weights, g.shape[-1]))
    out: Var = op.index_put(zeros, (indices,), g, accumulate=True)
    return out


@rule("slice_scatter", (sample(T((5, 3)), T((2, 3)), 0, 1, 3),
                        sample(T((3, 6)), T((3, 3)), 1, None, None, 2)),
      tex={"x": "g \\text{ outside the slice}", "src": "g \\text{ in the slice}"})
def _slice_scatter(c: Context) -> Gradients:
    g, src = c.g, c["src"]
    place = (c["dim"], c["start"], c["end"], c["step"])
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.slice_scatter(g, zeros_for(src, g), *place)
    if c.needs("src"):
        out["src"] = op.slice(g, place[0] % g.rank, *place[1:])
    return out


@rule("select_scatter", (sample(T((5, 3)), T((3,)), 0, 2), sample(T((5, 3)), T((5,)), 1, -1)),
      tex={"x": "g \\text{ outside the place}", "src": "g \\text{ in the place}"})
def _select_scatter(c: Context) -> Gradients:
    g, src, dim, index = c.g, c["src"], c["dim"], c["index"]
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.select_scatter(g, zeros_for(src, g), dim, index)
    if c.needs("src"):
        out["src"] = op.select(g, dim % g.rank, index)
    return out


@rule("diagonal_scatter", (sample(T((3, 4)), T((3,))), sample(T((2, 3, 3)), T((2, 2)), 1, 1, 2)),
      tex={"x": "g \\text{ off the diagonal}", "src": "g \\text{ on the diagonal}"})
def _diagonal_scatter(c: Context) -> Gradients:
    g, src = c.g, c["src"]
    place = (c["offset"], c["dim1"], c["dim2"])
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.diagonal_scatter(g, zeros_for(src, g), *place)
    if c.needs("src"):
        out["src"] = op.diagonal(g, *place)
    return out


@rule("masked_scatter", (sample(T((3, 4)), T((3, 4), "bool", grad=False), T((12,))),
                         sample(T((3, 4)), T((4,), "bool", grad=False), T((3, 5)))),
      tex={"x": "g \\text{ where the mask is false}", "source": "g \\text{ where it went}"})
def _masked_scatter(c: Context) -> Gradients:
    g, mask, source = c.g, c["mask"], c["source"]
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.masked_fill(g, mask, 0)
    if c.needs("source"):
        # the k-th true element of the mask took the k-th element of the source; what was not taken
        # from goes to one place past the end, which is then dropped
        flat = op.flatten(op.expand(mask, g.shape) if mask.shape != g.shape else mask)
        size = op.flatten(source).shape[0]
        order = op.where(flat, op.cumsum(flat, 0) - 1, size)
        placed = op.scatter(op.new_zeros(g, (size + 1,)), 0, order, op.flatten(g))
        taken = op.slice(placed, 0, None, size)
        out["source"] = taken if source.rank == 1 else op.reshape(taken, source.shape)
    return out


nondifferentiable("its values are integers, made from integers", "one_hot")
