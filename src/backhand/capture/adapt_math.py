"""ATen calls of elementwise operators and reductions to the op table, beyond plain renaming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedError
from ..program.build import Builder, Var, many, op

Bound = dict[str, Any]


def _rsub(b: Builder, a: Bound) -> Any:
    if a.get("alpha", 1) == 1:
        return op.sub(a["other"], a["x"])
    return op.rsub_alpha(a["x"], a["other"], alpha=a["alpha"])


def _norm(b: Builder, a: Bound) -> Any:
    """The older ``norm`` is the vector norm under another name."""
    order = 2 if a.get("p") is None else a["p"]
    dim = a.get("dim")
    if isinstance(dim, tuple):
        dim = dim[0] if len(dim) == 1 else (dim or None)
    return op.vector_norm(a["x"], order, dim, keepdim=a.get("keepdim", False), dtype=a.get("dtype"))


def _log_sigmoid_forward(b: Builder, a: Bound) -> Any:
    return (op.logsigmoid(a["x"]),)


def _rrelu(b: Builder, a: Bound) -> Any:
    lower, upper = a["lower"], a["upper"]
    if a["training"]:
        raise UnsupportedError(
            "rrelu draws random slopes",
            hint="draw the slopes as a tensor and use torch.where(x >= 0, x, slopes * x)",
        )
    return op.leaky_relu(a["x"], (float(lower) + float(upper)) / 2)


def _with_mean(name: str) -> Callable[[Builder, Bound], Any]:
    """A spread and its mean: no correction means 1, one axis is an int, none all of them."""

    def build(b: Builder, a: Bound) -> Any:
        dim = a.get("dim")
        if isinstance(dim, tuple):
            dim = dim[0] if len(dim) == 1 else (dim or None)
        correction = 1 if a.get("correction") is None else a["correction"]
        keepdim = a.get("keepdim", False)
        return getattr(many, name)(a["x"], dim, correction=correction, keepdim=keepdim)

    return build


def _real(b: Builder, a: Bound) -> Var:
    x: Var = a["x"]
    return x


SPECIAL_MATH: dict[str, Callable[[Builder, Bound], Any]] = {
    "rsub": _rsub,
    "norm": _norm,
    "log_sigmoid_forward": _log_sigmoid_forward,
    "rrelu": _rrelu,
    "var_mean": _with_mean("var_mean"),
    "std_mean": _with_mean("std_mean"),
    "real": _real,
    "conj_physical": _real,
    "conj": _real,
    "resolve_conj": _real,
    "resolve_neg": _real,
}
# Overloads that the table knows under other names.
RENAMED_MATH = {
    "median.dim": "median_dim",
    "nanmedian.dim": "nanmedian_dim",
    "log_sigmoid.default": "logsigmoid",
    "_prelu_kernel.default": "prelu",
    "_euclidean_dist.default": "euclidean_dist",
}
# Composite overloads whose arguments are not the table's.
DECOMPOSED_MATH = frozenset(
    {
        "prelu.default",
        "var_mean.default",
        "var_mean.dim",
        "std_mean.dim",
        "var_mean.names_dim",
        "std_mean.names_dim",
        "cummax.dimname",
        "cummin.dimname",
        "logcumsumexp.dimname",
        "median.names_dim",
        "nanmedian.names_dim",
        "kthvalue.dimname",
        "mode.dimname",
        "norm.names_ScalarOpt_dim",
        "norm.names_ScalarOpt_dim_dtype",
    }
)
