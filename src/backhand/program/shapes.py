"""Shapes that the operands' shapes tell, so that torch need not be asked with symbolic sizes.

Each of torch's own answers about symbolic sizes compares them in many ways, and remembers every
comparison for good. For these operators the answer is plain; the caller checks it with torch at the
example's sizes, where it costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .ops import Op
from .sizes import Dim, Scalar, Size

Shape = tuple[Dim, ...]
# How sizes are multiplied and added: by torch, whose spelling of the result is the one to keep.
Fold = Callable[[Shape], Dim]
_PLAIN = (int, float, str, tuple, Size, Scalar, type(None))


def told(op: Op, args: tuple[Any, ...], product: Fold, total: Fold) -> tuple[Shape, ...] | None:
    """The shape of every result, or ``None`` where torch has to be asked."""
    if op.kind == "elementwise" and op.outs == 1:
        shape = broadcast(args)
        return None if shape is None else (shape,)
    given = op.named(args)
    if op.name in LIKE:
        return (given[LIKE[op.name]].shape,)
    if op.name in REDUCTIONS:
        return (_reduced(given),)
    if op.name in RULES:
        found = RULES[op.name](given)
        return None if found is None else (found,)
    if op.name == "flatten":
        return (_flattened(given, product),)
    if op.name == "cat":
        found = _joined(given["tensors"], given["dim"], total)
        return None if found is None else (found,)
    if op.name == "native_layer_norm_backward":
        affine = tuple(given["normalized_shape"])
        return given["x"].shape, affine, affine
    if op.name == "flash_attention_backward":
        return given["query"].shape, given["key"].shape, given["value"].shape
    return None


def broadcast(args: tuple[Any, ...]) -> Shape | None:
    """The shape that elementwise operands broadcast to, if it can be told from theirs."""
    shapes = [a.shape for a in args if not isinstance(a, _PLAIN)]
    if not shapes or any(isinstance(a, tuple) for a in args):
        return None
    out: list[Dim] = []
    for i in range(1, max(map(len, shapes)) + 1):
        sizes = {s[-i] for s in shapes if len(s) >= i}
        wide = sizes - {1}
        if len(wide) > 1:
            return None
        out.append(wide.pop() if wide else 1)
    return tuple(reversed(out))


# Operators whose result has the shape of one argument.
LIKE: Mapping[str, str] = {
    **dict.fromkeys(
        ("softmax", "log_softmax", "safe_softmax", "cumsum", "cumprod", "logcumsumexp",
         "contiguous", "zeros_like", "ones_like", "full_like", "flip", "roll", "index_put",
         "index_add", "index_copy", "index_fill", "scatter", "scatter_add", "slice_scatter",
         "select_scatter", "diagonal_scatter", "nll_loss_backward", "nll_loss2d_backward",
         "threshold_backward", "silu_backward", "mish_backward", "gelu_backward",
         "softplus_backward", "elu_backward",
         "leaky_relu_backward", "hardtanh_backward", "hardsigmoid_backward", "hardswish_backward",
         "log_sigmoid_backward", "logit_backward"), "x"),
    **dict.fromkeys(("tanh_backward", "sigmoid_backward"), "y"),
    **dict.fromkeys(("softmax_backward", "log_softmax_backward", "sgn_backward"), "g"),
    "gather": "index",
}
REDUCTIONS = frozenset(
    {"sum", "mean", "nansum", "var", "std", "amax", "amin", "logsumexp", "any", "all"}
)


def _reduced(given: Mapping[str, Any]) -> Shape:
    shape, dim = given["x"].shape, given["dim"]
    every = dim is None or dim == ()
    dims = range(len(shape)) if every else dim if isinstance(dim, tuple) else (dim,)
    gone = {d % len(shape) for d in dims} if shape else set()
    if given["keepdim"]:
        return tuple(1 if i in gone else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in gone)


def _flattened(given: Mapping[str, Any], product: Fold) -> Shape:
    shape = given["x"].shape
    if not shape:
        return (1,)
    start, end = given["start_dim"] % len(shape), given["end_dim"] % len(shape)
    return (*shape[:start], product(shape[start : end + 1]), *shape[end + 1 :])


def _joined(tensors: tuple[Any, ...], dim: int, total: Fold) -> Shape | None:
    first = tensors[0].shape
    if any(len(t.shape) != len(first) for t in tensors):
        return None
    axis = dim % len(first)
    return (*first[:axis], total(tuple(t.shape[axis] for t in tensors)), *first[axis + 1 :])


def _matmul(given: Mapping[str, Any]) -> Shape | None:
    a, b = given["x"].shape, given["other"].shape
    if len(a) < 2 or len(b) < 2:
        return (*a[:-1], *b[:-2], *b[-1:]) if len(b) > 1 or len(a) > 1 else ()
    batch = _spread(a[:-2], b[:-2])
    return None if batch is None else (*batch, a[-2], b[-1])


def _spread(a: Shape, b: Shape) -> Shape | None:
    short, long = sorted((a, b), key=len)
    out = list(long)
    for i in range(1, len(short) + 1):
        if short[-i] != long[-i]:
            if 1 not in (short[-i], long[-i]):
                return None
            out[-i] = long[-i] if short[-i] == 1 else short[-i]
    return tuple(out)


def _vector_or_matrix(given: Mapping[str, Any]) -> Shape:
    return tuple(reversed(given["x"].shape))


def _transposed(given: Mapping[str, Any]) -> Shape:
    shape = list(given["x"].shape)
    if shape:
        i, j = given["dim0"] % len(shape), given["dim1"] % len(shape)
        shape[i], shape[j] = shape[j], shape[i]
    return tuple(shape)


def _expanded(given: Mapping[str, Any]) -> Shape:
    shape, size = given["x"].shape, given["size"]
    extra = len(size) - len(shape)
    return tuple(shape[i - extra] if _open(d) else d for i, d in enumerate(size))


def _viewed(size: Any) -> Shape | None:
    size = size if isinstance(size, tuple) else (size,)
    return None if any(_open(d) for d in size) else size


def _open(d: Any) -> bool:
    return isinstance(d, int) and d == -1


def _unsqueezed(given: Mapping[str, Any]) -> Shape:
    shape = given["x"].shape
    at = given["dim"] % (len(shape) + 1)
    return (*shape[:at], 1, *shape[at:])


def _squeezed(given: Mapping[str, Any]) -> Shape:
    shape, dim = given["x"].shape, given["dim"]
    dims = range(len(shape)) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    gone = {d % len(shape) for d in dims} if shape else set()
    return tuple(d for i, d in enumerate(shape) if i not in gone or d != 1)


def _stacked(given: Mapping[str, Any]) -> Shape:
    shape = given["tensors"][0].shape
    at = given["dim"] % (len(shape) + 1)
    return (*shape[:at], len(given["tensors"]), *shape[at:])


def _selected(given: Mapping[str, Any]) -> Shape:
    shape = given["x"].shape
    return tuple(d for i, d in enumerate(shape) if i != given["dim"] % len(shape))


def _cropped(given: Mapping[str, Any]) -> Shape:
    shape, pad = list(given["g"].shape), given["pad"]
    for i in range(0, len(pad), 2):
        shape[-1 - i // 2] -= pad[i] + pad[i + 1]
    return tuple(shape)


RULES: Mapping[str, Callable[[Mapping[str, Any]], Shape | None]] = {
    "matmul": _matmul,
    "mm": lambda a: (a["x"].shape[0], a["mat2"].shape[1]),
    "bmm": lambda a: (*a["x"].shape[:2], a["mat2"].shape[2]),
    "linear": lambda a: (*a["x"].shape[:-1], *a["weight"].shape[:-1]),
    "t": _vector_or_matrix,
    "transpose": _transposed,
    "permute": lambda a: tuple(a["x"].shape[d] for d in a["dims"]),
    "expand": _expanded,
    "view": lambda a: _viewed(a["size"]),
    "reshape": lambda a: _viewed(a["shape"]),
    "unsqueeze": _unsqueezed,
    "squeeze": _squeezed,
    "stack": _stacked,
    "select": _selected,
    "new_zeros": lambda a: _viewed(a["size"]),
    "full": lambda a: _viewed(a["size"]),
    "pad_backward": _cropped,
    "embedding_backward": lambda a: (a["num_weights"], a["g"].shape[-1]),
}
