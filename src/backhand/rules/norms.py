"""Layer, group and batch normalisation.

torch runs each as one kernel that also gives the mean and the reciprocal standard deviation; the
backward kernels take both. The plain formulas are written in terms of the normalised input
``xhat = (x - mean) * rstd``.
"""

from __future__ import annotations

from typing import Any

from ..errors import UnsupportedError
from ..program.build import Var, many, op
from ..program.sizes import Dim
from .base import Context, Gradients, T, plain, rule, sample

Three = tuple[Var | None, Var | None, Var | None]
# r is the reciprocal standard deviation, n the number of elements that it is taken over
NORMALISED = {
    "x": "r\\,w_i\\,(\\delta_{ij} - 1/n - \\hat x_i \\hat x_j/n)",
    "weight": "\\hat x",
    "bias": "1",
}


def only_first(c: Context) -> Var:
    """The upstream of the output; a gradient of the saved statistics is refused."""
    if any(g is not None for g in c.gs[1:]):
        what = "a gradient through its saved statistics is not supported"
        raise UnsupportedError(f"{c.node.op}: {what}")
    return c.g


def mask(c: Context, *names: str) -> tuple[bool, ...]:
    return tuple(c.needs(name) for name in names)


def picked(c: Context, results: tuple[Any, ...], *names: str) -> Gradients:
    return {n: r if c.needs(n) else None for n, r in zip(names, results, strict=True)}


@rule(
    "native_layer_norm",
    (
        sample(T((3, 4)), (4,), T((4,)), T((4,)), 1e-5),
        sample(T((2, 3, 4)), (3, 4), None, None, 1e-5),
    ),
    tex=NORMALISED,
)
def _layer_norm(c: Context) -> Gradients:
    g, names = only_first(c), ("x", "weight", "bias")
    out = many.native_layer_norm_backward(
        g, c.x, c["normalized_shape"], c.ys[1], c.ys[2], c["weight"], c["bias"], mask(c, *names)
    )
    return picked(c, out, *names)


@plain("native_layer_norm_backward")
def _layer_norm_backward(
    g: Var,
    x: Var,
    normalized_shape: tuple[Dim, ...],
    mean: Var,
    rstd: Var,
    weight: Var | None,
    bias: Var | None,
    output_mask: tuple[bool, ...],
) -> Three:
    lead = x.rank - len(normalized_shape)
    inner, outer = _axes(range(lead, x.rank)), _axes(range(lead))
    dx = dweight = dbias = None
    xhat = x
    if output_mask[0] or output_mask[1]:
        xhat = ((x - mean) * rstd).called("xhat")
    if output_mask[0]:
        dxhat = g if weight is None else (g * weight).called("dxhat")
        dx = _through_xhat(dxhat, xhat, rstd, inner)
    if output_mask[1]:
        dweight = op.sum(g * xhat, outer) if lead else g * xhat
    if output_mask[2]:
        dbias = op.sum(g, outer) if lead else g
    return dx, dweight, dbias


def _through_xhat(dxhat: Var, xhat: Var, rstd: Var, dims: Any) -> Var:
    """The gradient of ``x`` from that of ``xhat``: what changes the mean or scale is taken out."""
    mean = op.mean(dxhat, dims, keepdim=True)
    along = op.mean(dxhat * xhat, dims, keepdim=True)
    out: Var = rstd * (dxhat - mean - xhat * along)
    return out


def _axes(dims: range) -> Any:
    return dims[0] if len(dims) == 1 else tuple(dims)


CHANNELS = (
    sample(T((2, 4, 3)), T((4,)), T((4,)), None, None, True, 0.1, 1e-5),
    sample(T((5, 4)), None, None, None, None, True, 0.1, 1e-5),
    sample(
        T((2, 4, 3)),
        T((4,)),
        T((4,)),
        T((4,), grad=False),
        T((4,), "positive", grad=False),
        False,
        0.1,
        1e-5,
    ),
)


@rule(
    "native_batch_norm",
    CHANNELS,
    domain="running statistics are state: they get no gradient and are not updated",
    tex=NORMALISED,
)
def _batch_norm(c: Context) -> Gradients:
    g, names = only_first(c), ("x", "weight", "bias")
    if c.needs("running_mean") or c.needs("running_var"):
        raise UnsupportedError(
            "batch_norm: torch has no gradient for running statistics",
            None,
            "leave them out: derive(…, wrt=[names of the others])",
        )
    out = many.native_batch_norm_backward(
        g, c.x, c["weight"], c["running_mean"], c["running_var"], c.ys[1], c.ys[2],
        c["training"], c["eps"], mask(c, *names),
    )
    return picked(c, out, *names)


@plain("native_batch_norm_backward")
def _batch_norm_backward(
    g: Var,
    x: Var,
    weight: Var | None,
    running_mean: Var | None,
    running_var: Var | None,
    mean: Var,
    rstd: Var,
    train: bool,
    eps: float,
    output_mask: tuple[bool, ...],
) -> Three:
    per_channel = (x.shape[1],) + (1,) * (x.rank - 2)
    dims = (0, *range(2, x.rank)) if x.rank > 2 else 0

    def spread(v: Var) -> Var:
        out: Var = op.reshape(v, per_channel) if x.rank > 2 else v
        return out

    if not train:
        assert running_mean is not None and running_var is not None
        mean, rstd = running_mean, op.rsqrt(running_var + eps)
    rstd = spread(rstd).called("inv_std")
    dx = dweight = dbias = None
    xhat = x
    if output_mask[1] or (train and output_mask[0]):
        xhat = ((x - spread(mean)) * rstd).called("xhat")
    if output_mask[0]:
        dxhat = g if weight is None else (g * spread(weight)).called("dxhat")
        dx = _through_xhat(dxhat, xhat, rstd, dims) if train else dxhat * rstd
    if output_mask[1]:
        dweight = op.sum(g * xhat, dims)
    if output_mask[2]:
        dbias = op.sum(g, dims)
    return dx, dweight, dbias


@rule(
    "native_group_norm",
    (
        sample(T((2, 4, 3)), T((4,)), T((4,)), 2, 4, 3, 2, 1e-5),
        sample(T((2, 4, 3)), None, None, 2, 4, 3, 4, 1e-5),
    ),
    tex=NORMALISED,
)
def _group_norm(c: Context) -> Gradients:
    g, names = only_first(c), ("x", "weight", "bias")
    sizes = (c["N"], c["C"], c["HxW"], c["group"])
    out = many.native_group_norm_backward(
        op.contiguous(g), op.contiguous(c.x), c.ys[1], c.ys[2], c["weight"], *sizes, mask(c, *names)
    )
    return picked(c, out, *names)


@plain("native_group_norm_backward")
def _group_norm_backward(
    g: Var,
    x: Var,
    mean: Var,
    rstd: Var,
    weight: Var | None,
    N: Dim,
    C: Dim,
    HxW: Dim,
    group: int,
    output_mask: tuple[bool, ...],
) -> Three:
    dims = (0, *range(2, x.rank)) if x.rank > 2 else 0
    # written out: with no elements torch cannot tell what a -1 stands for
    grouped = (N, group, C * HxW // group)
    per_group = (N, group, 1)
    dx = dweight = dbias = None
    rstd = op.reshape(rstd, per_group).called("inv_std")
    xhat = ((op.reshape(x, grouped) - op.reshape(mean, per_group)) * rstd).called("xhat")
    if output_mask[0]:
        dxhat = g if weight is None else g * op.reshape(weight, (C,) + (1,) * (x.rank - 2))
        dxhat = op.reshape(dxhat, grouped).called("dxhat")
        dx = op.reshape(_through_xhat(dxhat, xhat, rstd, 2), x.shape)
    if output_mask[1]:
        dweight = op.sum(g * op.reshape(xhat, x.shape), dims)
    if output_mask[2]:
        dbias = op.sum(g, dims)
    return dx, dweight, dbias
