"""ATen calls of neural-network operators to the op table, where names alone do not do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedError
from ..program.build import Builder, Var, op

Bound = dict[str, Any]
Adapter = Callable[[Builder, Bound], Any]

REDUCTIONS = ("none", "mean", "sum")


def _one(values: Any) -> Any:
    """Equal sizes along every axis are written as one number."""
    return values[0] if isinstance(values, tuple) and len(set(values)) == 1 else values


def _loss(name: str, *names: str) -> Adapter:
    def build(b: Builder, a: Bound) -> Any:
        args = [a[n] for n in ("x", "target", *names)]
        return getattr(op, name)(*args, reduction=REDUCTIONS[a["reduction"]], **_extra(a))

    return build


def _extra(a: Bound) -> Bound:
    return {k: a[k] for k in ("beta", "delta", "pos_weight") if k in a}


def _nll_loss(b: Builder, a: Bound) -> Any:
    reduction, ignored = REDUCTIONS[a["reduction"]], a["ignore_index"]
    loss = op.nll(a["x"], a["target"], a["weight"], ignore_index=ignored, reduction=reduction)
    return (loss,)


def _convolution(b: Builder, a: Bound) -> Any:
    x: Var = a["x"]
    n = x.rank - 2
    if n not in (1, 2, 3):
        raise UnsupportedError(f"a convolution over {n} axes is not supported")
    how = {k: _one(a[k]) for k in ("stride", "padding", "dilation", "groups")}
    if a["transposed"]:
        how["output_padding"] = _one(a["output_padding"])
        return getattr(op, f"transposed{n}d")(x, a["weight"], a["bias"], **how)
    return getattr(op, f"convolution{n}d")(x, a["weight"], a["bias"], **how)


def _pool(name: str) -> Adapter:
    def build(b: Builder, a: Bound) -> Any:
        how = {k: _one(v) if k in _SIZES else v for k, v in a.items() if k != "x"}
        if "stride" in how and how["stride"] == how["kernel_size"]:
            how["stride"] = ()
        return getattr(op, name)(a["x"], **how)

    return build


_SIZES = frozenset({"kernel_size", "stride", "padding", "dilation", "output_size"})


def _batch_norm(b: Builder, a: Bound) -> Any:
    # In training the running statistics are only written to: state, no part of the result.
    stats = (None, None) if a["training"] else (a["running_mean"], a["running_var"])
    momentum = 0.0 if a["training"] else a["momentum"]
    return op.native_batch_norm(
        a["x"], a["weight"], a["bias"], *stats, a["training"], momentum, a["eps"]
    )


def _instance_norm(b: Builder, a: Bound) -> Any:
    """A batch norm in which every channel of every image is a channel; statistics are state."""
    x: Var = a["x"]
    images, channels = x.shape[:2]

    def each(v: Any) -> Any:
        return None if v is None else op.repeat(v, (images,))

    joined = op.reshape(op.contiguous(x), (1, images * channels, *x.shape[2:]))
    out = _batch_norm(
        b,
        {
            "x": joined,
            "training": a["use_input_stats"],
            **{k: each(a[k]) for k in ("weight", "bias", "running_mean", "running_var")},
            **{k: a[k] for k in ("momentum", "eps")},
        },
    )
    return op.view(out[0], x.shape)


def _interpolate(mode: str, antialias: bool = False) -> Adapter:
    def build(b: Builder, a: Bound) -> Any:
        corners = a.get("align_corners")
        scales = a.get("scale_factors")
        if "scale_factors" not in a:
            found = [a.get(k) for k in ("scales", "scales_d", "scales_h", "scales_w")]
            if any(s is not None for s in found):
                raise UnsupportedError("an upsampling kernel called with both sizes and scales")
        size = None if scales is not None else a["output_size"]
        return op.interpolate(
            a["x"],
            None if size is None else tuple(size),
            _one(scales),
            mode,
            corners if corners or "nearest" not in mode else None,
            antialias=antialias,
        )

    return build


def _pad(mode: str) -> Adapter:
    return lambda b, a: op.pad_edges(a["x"], a["padding"], mode)


def _grid_sample(b: Builder, a: Bound) -> Any:
    mode = ("bilinear", "nearest", "bicubic")[a["interpolation_mode"]]
    padding = ("zeros", "border", "reflection")[a["padding_mode"]]
    return op.grid_sample(a["x"], a["grid"], mode, padding, a["align_corners"])


def _attention(b: Builder, a: Bound) -> Any:
    if a["dropout_p"]:
        raise UnsupportedError("the attention kernel is not supported with dropout")
    qkv = (a["query"], a["key"], a["value"])
    out = op.attention(*qkv, a["attn_mask"], 0.0, a["is_causal"], scale=a["scale"])
    return (out,)


def _softmax(name: str) -> Adapter:
    def build(b: Builder, a: Bound) -> Any:
        x: Var = a["x"]
        dtype = a.get("dtype")
        if dtype is not None and dtype != x.dtype:
            x = op.to(x, dtype)
        return getattr(op, name)(x, a["dim"])

    return build


def _native_dropout(b: Builder, a: Bound) -> Any:
    x: Var = a["x"]
    p = a["p"]
    if a["train"] is False:
        return x, op.full(x.shape, True, dtype="bool", builder=b)
    keep = op.bernoulli_mask(x, 1 - p)
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return x * keep * scale, op.to(keep, "bool")


def _native_dropout_backward(b: Builder, a: Bound) -> Any:
    return a["grad_output"] * a["mask"] * a["scale"]


def _max_pool2d_backward(b: Builder, a: Bound) -> Any:
    """As the formula that it is, so that it can be differentiated in its turn."""
    x: Var = a["x"]
    places, g = op.flatten(a["indices"], -2), op.flatten(a["grad_output"], -2)
    # filled rather than made of zeros: torch's gradient for x is 0, not none
    return op.view(op.scatter_add(op.flatten(op.fill(x, 0), -2), -1, places, g), x.shape)


def _trilinear(b: Builder, a: Bound) -> Any:
    names = ("i1", "i2", "i3", "expand1", "expand2", "expand3", "sumdim")
    return op.trilinear(*(a[k] for k in names))


SPECIAL_NN: dict[str, Adapter] = {
    "softmax": _softmax("softmax"),
    "log_softmax": _softmax("log_softmax"),
    "_safe_softmax": _softmax("safe_softmax"),
    "mse_loss": _loss("mse_loss"),
    "smooth_l1_loss": _loss("smooth_l1_loss"),
    "huber_loss": _loss("huber_loss"),
    "soft_margin_loss": _loss("soft_margin_loss"),
    "multi_margin_loss": _loss("multi_margin_loss", "p", "margin", "weight"),
    "binary_cross_entropy": _loss("binary_cross_entropy", "weight"),
    "binary_cross_entropy_with_logits": _loss("binary_cross_entropy_with_logits", "weight"),
    "nll_loss_forward": _nll_loss,
    "nll_loss2d_forward": _nll_loss,
    "convolution": _convolution,
    "native_batch_norm": _batch_norm,
    "max_pool2d_with_indices": _pool("max_pool2d_with_indices"),
    "max_pool3d_with_indices": _pool("max_pool3d_with_indices"),
    "avg_pool2d": _pool("avg_pool2d"),
    "avg_pool3d": _pool("avg_pool3d"),
    "_adaptive_avg_pool2d": _pool("_adaptive_avg_pool2d"),
    "_adaptive_avg_pool3d": _pool("_adaptive_avg_pool3d"),
    "upsample_nearest1d": _interpolate("nearest"),
    "upsample_nearest2d": _interpolate("nearest"),
    "upsample_nearest3d": _interpolate("nearest"),
    "_upsample_nearest_exact1d": _interpolate("nearest-exact"),
    "_upsample_nearest_exact2d": _interpolate("nearest-exact"),
    "_upsample_nearest_exact3d": _interpolate("nearest-exact"),
    "upsample_linear1d": _interpolate("linear"),
    "upsample_bilinear2d": _interpolate("bilinear"),
    "upsample_bicubic2d": _interpolate("bicubic"),
    "upsample_trilinear3d": _interpolate("trilinear"),
    "_upsample_bilinear2d_aa": _interpolate("bilinear", antialias=True),
    "_upsample_bicubic2d_aa": _interpolate("bicubic", antialias=True),
    "reflection_pad1d": _pad("reflect"),
    "reflection_pad2d": _pad("reflect"),
    "reflection_pad3d": _pad("reflect"),
    "replication_pad1d": _pad("replicate"),
    "replication_pad2d": _pad("replicate"),
    "replication_pad3d": _pad("replicate"),
    "grid_sampler_2d": _grid_sample,
    "grid_sampler_3d": _grid_sample,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "native_dropout": _native_dropout,
    "native_dropout_backward": _native_dropout_backward,
    "max_pool2d_with_indices_backward": _max_pool2d_backward,
    "instance_norm": _instance_norm,
    "_trilinear": _trilinear,
    "_cdist_forward": lambda b, a: op.cdist_forward(a["x1"], a["x2"], a["p"], a["compute_mode"]),
    "_pdist_forward": lambda b, a: op.pdist(a["x"], a["p"]),
}
