"""ATen calls that move, pick and contract data, where the op table says it in another way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedError
from ..program.build import Builder, Var, op
from ..program.ops import get_op
from ..program.sizes import Dim, product

Bound = dict[str, Any]
MASK_HINT = "use torch.where(mask, a, b) or masked_fill, which keep the shape"


def _is_mask(index: Any) -> bool:
    return isinstance(index, Var) and index.dtype in ("bool", "uint8")


def _index(b: Builder, a: Bound) -> Any:
    if any(_is_mask(i) for i in a["indices"]):
        raise UnsupportedError(
            "indexing with a mask gives as many elements as the data decide", None, MASK_HINT
        )
    return op.index(a["x"], _without_trailing(a["indices"]))


def _without_trailing(indices: tuple[Any, ...]) -> tuple[Any, ...]:
    last = max(i for i, index in enumerate(indices) if index is not None)
    return indices[: last + 1]


def _index_put(b: Builder, a: Bound) -> Any:
    x, indices, values = a["x"], a["indices"], a["values"]
    if any(_is_mask(i) for i in indices):
        return _put_by_mask(x, indices, values, a["accumulate"])
    indices = _without_trailing(indices)
    put = op.index_put_at if None in indices else op.index_put
    return put(x, indices, values, accumulate=a["accumulate"])


def _put_by_mask(x: Var, indices: tuple[Any, ...], values: Var, accumulate: bool) -> Any:
    """``x[mask] = values`` has a form whose shape does not depend on the data.

    What is written must not depend on how many elements the mask selects: a scalar, something for
    the axes behind the mask, or a vector for a mask of everything, element by element.
    """
    masks = [(i, m) for i, m in enumerate(indices) if m is not None]
    leading, mask = masks[0]
    behind = x.rank - leading - mask.rank
    whole = behind == leading == 0 and values.rank == 1 and values.shape[0] != 1 and not accumulate
    if len(masks) != 1 or not (values.rank <= behind or whole):
        raise UnsupportedError(
            "writing several values through a mask depends on how many elements it selects",
            None,
            MASK_HINT,
        )
    if mask.dtype != "bool":
        raise UnsupportedError("a mask of uint8 is not supported", None, "use mask.bool()")
    if values.dtype != x.dtype:
        values = op.to(values, x.dtype)
    if whole:
        return op.masked_scatter(x, mask, values)
    for _ in range(behind):
        mask = op.unsqueeze(mask, -1)
    return op.where(mask, x + values if accumulate else values, x)


def _scatter(b: Builder, a: Bound) -> Any:
    if "reduce" in a:
        raise UnsupportedError(f"scatter is not supported with reduce={a['reduce']!r}")
    return op.scatter(a["x"], a["dim"], a["index"], a["src"] if "src" in a else a["value"])


def _roll(b: Builder, a: Bound) -> Any:
    shifts, dims = a["shifts"], a["dims"]
    if len(shifts) == 1 and len(dims) <= 1:
        return op.roll(a["x"], shifts[0], *dims)
    return op.roll(a["x"], shifts, dims)


def _squeeze(b: Builder, a: Bound) -> Any:
    dim = a.get("dim")
    return op.squeeze(a["x"], dim[0] if isinstance(dim, tuple) and len(dim) == 1 else dim)


def _permute(b: Builder, a: Bound) -> Any:
    x, dims = a["x"], a["dims"]
    if x.rank == 2 and [d % 2 for d in dims] == [1, 0]:
        return op.t(x)
    return op.permute(x, dims)


def _transpose(b: Builder, a: Bound) -> Any:
    x, first, second = a["x"], a["dim0"], a["dim1"]
    if x.rank == 2 and (first - second) % 2 == 1:
        return op.t(x)
    return op.transpose(x, first, second)


def _split(b: Builder, a: Bound) -> Any:
    return op.split(a["x"], a["split_size"], a["dim"])


def _split_with_sizes(b: Builder, a: Bound) -> Any:
    return op.split_with_sizes(a["x"], a["split_sizes"], a["dim"])


def _copied(name: str) -> Callable[[Builder, Bound], Any]:
    """A view's copying form: in a program without memory it is the view itself."""

    def build(b: Builder, a: Bound) -> Any:
        row = get_op(name)
        return b.emit(row, row.bind((), {p.name: a[p.name] for p in row.params if p.name in a}))

    return build


def _block_diag(b: Builder, a: Bound) -> Any:
    blocks = [x if x.rank == 2 else op.reshape(x, (1, product(x.shape))) for x in a["tensors"]]
    width: Dim = 0
    total: Dim = 0
    for x in blocks:
        total = total + x.shape[1]
    rows = []
    for x in blocks:
        after = total - width - x.shape[1]
        rows.append(op.constant_pad_nd(x, (width, after)) if len(blocks) > 1 else x)
        width = width + x.shape[1]
    return op.cat(tuple(rows), 0) if len(rows) > 1 else rows[0]


def _narrow(b: Builder, a: Bound) -> Any:
    x: Var = a["x"]
    start = a["start"]
    dim = a["dim"] % x.rank
    if isinstance(start, int) and start < 0:
        start = start + x.shape[dim]
    return op.slice(x, dim, start, start + a["length"])


def _clamped(a: Bound) -> tuple[Any, ...]:
    """Indices that may lie outside where the mask is false, moved inside as torch does it."""
    return tuple(
        None if i is None else op.clamp(i, 0, a["x"].shape[axis] - 1)
        for axis, i in enumerate(a["indices"])
    )


def _masked_index(b: Builder, a: Bound) -> Any:
    picked = op.index(a["x"], _without_trailing(_clamped(a)))
    return op.masked_fill(picked, op.logical_not(a["mask"]), a["fill"])


def _masked_put(b: Builder, a: Bound) -> Any:
    values = op.masked_fill(a["values"], op.logical_not(a["mask"]), 0)
    return _index_put(b, {**a, "indices": _clamped(a), "values": values, "accumulate": True})


def _as_strided(b: Builder, a: Bound) -> Any:
    raise UnsupportedError(
        "as_strided is not supported: what it reads depends on how its input lies in memory",
        None,
        "use slicing, unfold, expand or diagonal",
    )


def _einsum(b: Builder, a: Bound) -> Any:
    """Every letter written out, once per operand: ellipses spelled, repeated letters a diagonal."""
    equation, operands = a["equation"].replace(" ", ""), list(a["tensors"])
    left, arrow, right = equation.partition("->")
    inputs = left.split(",")
    free = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation]
    hidden = [
        x.rank - len(letters.replace("...", "")) if "..." in letters else 0
        for letters, x in zip(inputs, operands, strict=True)
    ]
    dots = free[: max(hidden)]
    spelled = [
        letters.replace("...", "".join(dots[len(dots) - count :]))
        for letters, count in zip(inputs, hidden, strict=True)
    ]
    if arrow:
        output = right.replace("...", "".join(dots))
    else:
        counts = Counter(c for letters in inputs for c in letters.replace("...", ""))
        output = "".join(dots) + "".join(sorted(c for c, n in counts.items() if n == 1))
    for i, letters in enumerate(spelled):
        while (repeated := next((c for c in letters if letters.count(c) > 1), None)) is not None:
            first = letters.index(repeated)
            second = letters.index(repeated, first + 1)
            operands[i] = op.diagonal(operands[i], 0, first, second)
            between, after = letters[first + 1 : second], letters[second + 1 :]
            letters = letters[:first] + between + after + repeated
        spelled[i] = letters
    return op.einsum(",".join(spelled) + "->" + output, tuple(operands))


SPECIAL_DATA: dict[str, Callable[[Builder, Bound], Any]] = {
    "index": _index,
    "_unsafe_index": _index,
    "index_put": _index_put,
    "_unsafe_index_put": _index_put,
    "scatter": _scatter,
    "roll": _roll,
    "squeeze": _squeeze,
    "permute": _permute,
    "transpose": _transpose,
    "split": _split,
    "unsafe_split": _split,
    "split_with_sizes": _split_with_sizes,
    "unsafe_split_with_sizes": _split_with_sizes,
    "_unsafe_view": lambda b, a: op.view(a["x"], a["size"]),
    "_reshape_alias": lambda b, a: op.reshape(a["x"], a["size"]),
    **{
        f"{name}_copy": _copied(name)
        for name in (
            "diagonal",
            "expand",
            "permute",
            "split",
            "split_with_sizes",
            "squeeze",
            "t",
            "transpose",
            "unbind",
            "unfold",
            "unsqueeze",
            "view",
        )
    },
    "block_diag": _block_diag,
    "as_strided": _as_strided,
    "as_strided_copy": _as_strided,
    "as_strided_scatter": _as_strided,
    "narrow_copy": _narrow,
    "_unsafe_masked_index": _masked_index,
    "_unsafe_masked_index_put_accumulate": _masked_put,
    "einsum": _einsum,
}
