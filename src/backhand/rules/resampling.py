"""Interpolation, sampling at grid points, padding by reflection, and rearranging pixels."""

from __future__ import annotations

from typing import Any

from ..program.build import Var, many, op
from .base import Context, Gradients, T, kernel, rule, sample

# (mode, antialias) -> the kernel's name without its dimension
KERNELS = {
    ("nearest", False): "upsample_nearest",
    ("nearest-exact", False): "_upsample_nearest_exact",
    ("linear", False): "upsample_linear",
    ("bilinear", False): "upsample_bilinear",
    ("bicubic", False): "upsample_bicubic",
    ("trilinear", False): "upsample_trilinear",
    ("bilinear", True): "_upsample_bilinear2d_aa",
    ("bicubic", True): "_upsample_bicubic2d_aa",
}
WEIGHTS = "w_{ij},\\ y_i = \\textstyle\\sum_j w_{ij} x_j"


@rule(
    "interpolate",
    (
        sample(T((1, 2, 3, 4)), None, 2.0),
        sample(T((1, 2, 3, 4)), (5, 6), None, "bilinear", False),
        sample(T((1, 2, 3, 4)), (5, 6), None, "bicubic", True),
        sample(T((1, 2, 5)), 3, None, "linear", False),
        sample(T((1, 2, 3, 4, 2)), None, 2.0, "trilinear", False),
    ),
    tex={"x": WEIGHTS},
)
def _interpolate(c: Context) -> Gradients:
    x, n = c.x, c.x.rank - 2
    kernel = KERNELS[c["mode"], c["antialias"]]
    back = getattr(op, f"{kernel}_backward" if c["antialias"] else f"{kernel}{n}d_backward")
    scale = c["scale_factor"]
    scales = scale if isinstance(scale, tuple) else (scale,) * n
    corners = () if "nearest" in c["mode"] else (bool(c["align_corners"]),)
    return {"x": back(c.g, c.y.shape[2:], x.shape, *corners, *scales)}


@rule(
    "pad_edges",
    (
        sample(T((2, 3, 4)), (1, 2), "reflect"),
        sample(T((2, 3, 4)), (1, 2), "replicate"),
        sample(T((1, 2, 3, 4)), (1, 2, 2, 1), "reflect"),
    ),
    tex={"x": "\\sum \\text{ over the copies}"},
)
def _pad_edges(c: Context) -> Gradients:
    kind = {"reflect": "reflection", "replicate": "replication"}[c["mode"]]
    back = getattr(op, f"{kind}_pad{len(c['pad']) // 2}d_backward")
    return {"x": back(c.g, c.x, c["pad"])}


@rule("pixel_shuffle", (sample(T((1, 8, 2, 3)), 2),), tex={"x": "1"})
def _pixel_shuffle(c: Context) -> Gradients:
    return {"x": op.pixel_unshuffle(c.g, c["upscale_factor"])}


@rule("pixel_unshuffle", (sample(T((1, 2, 4, 6)), 2),), tex={"x": "1"})
def _pixel_unshuffle(c: Context) -> Gradients:
    return {"x": op.pixel_shuffle(c.g, c["downscale_factor"])}


@rule("channel_shuffle", (sample(T((1, 6, 2, 2)), 2),), tex={"x": "1"})
def _channel_shuffle(c: Context) -> Gradients:
    return {"x": op.channel_shuffle(c.g, c.x.shape[1] // c["groups"])}


@rule("im2col", (sample(T((1, 2, 4, 5)), (2, 2)), sample(T((1, 2, 4, 5)), (2, 3), 1, 1, 2)),
      tex={"x": "\\sum \\text{ over the windows that hold } x_i"})
def _im2col(c: Context) -> Gradients:
    how = (c["kernel_size"], c["dilation"], c["padding"], c["stride"])
    return {"x": op.col2im(c.g, c.x.shape[-2:], *how)}


@rule("col2im", (sample(T((1, 8, 12)), (4, 5), (2, 2)),), tex={"x": "g \\text{ window by window}"})
def _col2im(c: Context) -> Gradients:
    return {"x": op.im2col(c.g, c["kernel_size"], c["dilation"], c["padding"], c["stride"])}


@rule("affine_grid_generator", (sample(T((2, 2, 3)), (2, 3, 4, 5)),),
      tex={"theta": "g^\\top B,\\ y = B\\,\\theta^\\top"})
def _affine_grid(c: Context) -> Gradients:
    return {"theta": op.affine_grid_generator_backward(c.g, c["size"], c["align_corners"])}


MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
PADDINGS = {"zeros": 0, "border": 1, "reflection": 2}


@rule(
    "grid_sample",
    (
        sample(T((1, 2, 3, 4)), T((1, 3, 3, 2), "unit")),
        sample(T((1, 2, 3, 4)), T((1, 3, 3, 2), "unit"), "nearest", "border", True),
    ),
    exactness="almost everywhere",
    tex={
        "x": WEIGHTS,
        "grid": "\\textstyle\\sum_j x_j\\,\\partial w_{ij}/\\partial\\text{grid}_i",
    },
    domain="nearest: the grid gets 0; on a line between two cells the slope is the second one's",
)
def _grid_sample(c: Context) -> Gradients:
    x, grid = c.x, c["grid"]
    back = many.grid_sampler_2d_backward if x.rank == 4 else many.grid_sampler_3d_backward
    how = (MODES[c["mode"]], PADDINGS[c["padding_mode"]], bool(c["align_corners"]))
    out: tuple[Any, ...] = back(c.g, x, grid, *how, (c.needs("x"), c.needs("grid")))
    found: dict[str, Var] = {}
    if c.needs("x"):
        found["x"] = out[0]
    if c.needs("grid"):
        found["grid"] = out[1]
    return found


kernel(
    "linear in the upstream, with weights of the kernel's own: its own gradient has no rule",
    *(f"{name}{n}d_backward" for name in ("upsample_nearest", "_upsample_nearest_exact")
      for n in (1, 2, 3)),
    "upsample_linear1d_backward",
    "upsample_bilinear2d_backward",
    "upsample_bicubic2d_backward",
    "upsample_trilinear3d_backward",
    "_upsample_bilinear2d_aa_backward",
    "_upsample_bicubic2d_aa_backward",
    *(f"{kind}_pad{n}d_backward" for kind in ("reflection", "replication") for n in (1, 2, 3)),
    "affine_grid_generator_backward",
)
kernel("its own gradient has no rule", "grid_sampler_2d_backward", "grid_sampler_3d_backward")
