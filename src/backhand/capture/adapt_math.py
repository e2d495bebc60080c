"""ATen calls of elementwise operators and reductions to the op table, beyond plain renaming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    "var_mean": _with_mean("var_mean"),
    "std_mean": _with_mean("std_mean"),
    "alias_copy": lambda b, a: op.clone(a["x"]),
    "cholesky": lambda b, a: op.linalg_cholesky(a["x"], upper=a["upper"]),
    "_linalg_det": lambda b, a: (op.linalg_det(a["A"]),),
    "_linalg_slogdet": lambda b, a: many.linalg_slogdet(a["A"]),
    "_linalg_svd": lambda b, a: many.linalg_svd(a["A"], a["full_matrices"]),
    "_linalg_eigh": lambda b, a: many.linalg_eigh(a["A"], a["UPLO"]),
    "real": _real,
    "conj_physical": _real,
    "conj": _real,
    "resolve_conj": _real,
    "resolve_neg": _real,
}
# Operators whose gradient has one formula for tall matrices and another for wide ones.
ORIENTED = frozenset({"linalg_qr", "linalg_pinv", "linalg_svd", "_linalg_svd"})


def note_orientation(x: Var) -> None:
    """Ask which side is the longer, so that the derivation is known to rest on it."""
    rows, columns = x.fake.shape[-2:]
    bool(rows >= columns)
    bool(rows <= columns)


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
        "linalg_pinv.default",
        "linalg_pinv.rcond_tensor",
        "linalg_pinv.atol_rtol_float",
        "norm.names_ScalarOpt_dim_dtype",
    }
)
