"""How PyTorch spells the operators: what the op table says, and what it cannot say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..program.ir import Node, Value
from ..program.ops import Op
from ..program.sizes import ATOM, Size, wrap
from .backend import Backend, Piece, Speaker


def _call(p: Speaker, op: Op, node: Node) -> Piece:
    positional, keywords = op.written(node.args)
    names = [p.name for p in op.params]
    texts = []
    for name, arg in zip(names, positional, strict=False):
        if name == op.spread and isinstance(arg, tuple) and arg:
            whole = p.shapes.whole(arg)
            texts += (
                [whole] if whole else [p.piece(a)[0] for a in _spread(op, node, arg)]
            )
        else:
            texts.append(_argument(p, name, arg))
    texts += [f"{k}={_argument(p, k, v)}" for k, v in keywords.items()]
    if op.spelling == "method" or op.spelling.startswith("."):
        method = op.name if op.spelling == "method" else op.spelling[1:]
        receiver = wrap(p.piece(positional[0]), ATOM)
        if op.name in FILLS and isinstance(node.args[0], Value):
            # a tensor of zeros that was made for this and has no name may be written to
            method += "_" if node.args[0].name in p.fresh else ""
        return f"{receiver}.{method}({', '.join(texts[1:])})", ATOM
    if op.spelling.startswith("new."):
        of = node.args[0]
        made = isinstance(of, Value) and of.name in p.fresh  # for this, and has no name
        blank = wrap(p.piece(of), ATOM) if made else f"torch.empty_like({texts[0]})"
        return f"{blank}{op.spelling.removeprefix('new')}({', '.join(texts[1:])})", ATOM
    return f"{op.spelling}({', '.join(texts)})", ATOM


def _argument(p: Speaker, name: str, arg: Any) -> str:
    if name == "device" and isinstance(arg, Value):
        return f"{wrap(p.piece(arg), ATOM)}.device"
    return p.argument(name, arg)


def _spread(op: Op, node: Node, sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sizes as written out; an ``expand`` says -1 for an axis that it keeps."""
    if op.name != "expand" or not isinstance(node.args[0], Value):
        return sizes
    shape = node.args[0].shape
    extra = len(sizes) - len(shape)
    return tuple(
        -1 if i >= extra and isinstance(s, Size) and s == shape[i - extra] else s
        for i, s in enumerate(sizes)
    )


# Operators that start from a tensor and write into it, and have a form that writes in place.
FILLS = frozenset(
    {"index_put", "scatter", "scatter_add", "index_add", "index_copy", "masked_scatter"}
)

_FIELDS = {
    op: ("values", "indices")
    for op in (
        "max_dim",
        "min_dim",
        "sort",
        "topk",
        "cummax",
        "cummin",
        "median_dim",
        "kthvalue",
        "mode",
    )
}


def subscripted(p: Speaker, node: Node) -> Piece:
    indices = node.args[1]
    assert isinstance(indices, tuple)
    inside = ", ".join(":" if i is None else p.piece(i)[0] for i in indices)
    return f"{wrap(p.piece(node.args[0]), ATOM)}[{inside}]", ATOM


def sliced(p: Speaker, node: Node) -> Piece:
    x, dim, start, end, step = node.args
    part = f"{'' if start is None else p.piece(start)[0]}:{'' if end is None else p.piece(end)[0]}"
    if step != 1:
        part += f":{p.piece(step)[0]}"
    assert isinstance(dim, int) and isinstance(x, Value)
    return f"{wrap(p.piece(x), ATOM)}[{along(dim, len(x.shape), part)}]", ATOM


def selected(p: Speaker, node: Node) -> Piece:
    x, dim, index = node.args
    assert isinstance(dim, int) and isinstance(x, Value)
    return f"{wrap(p.piece(x), ATOM)}[{along(dim, len(x.shape), p.piece(index)[0])}]", ATOM


def along(dim: int, rank: int, part: str) -> str:
    """A subscript for one axis: ``:, part``, or ``..., part`` for the last of many."""
    axis = dim % rank
    return f"..., {part}" if axis == rank - 1 and rank > 2 else ", ".join([":"] * axis + [part])


def _einsum(p: Speaker, node: Node) -> Piece:
    equation, operands = node.args
    assert isinstance(operands, tuple)
    inner = ", ".join(p.piece(o)[0] for o in operands)
    return f"torch.einsum({equation!r}, {inner})", ATOM


def _arange(p: Speaker, node: Node) -> Piece:
    start, end, step, dtype, device = node.args
    parts = [p.piece(a)[0] for a in (start, end, step)]
    if step == 1:
        parts = parts[1:2] if start == 0 else parts[:2]
    if dtype is not None:
        parts.append(f"dtype=torch.{dtype}")
    if device is not None:
        parts.append(f"device={_argument(p, 'device', device)}")
    return f"torch.arange({', '.join(parts)})", ATOM


def transposed(p: Speaker, node: Node) -> Piece:
    return f"{wrap(p.piece(node.args[0]), ATOM)}.T", ATOM


def swaps_a_matrix(node: Node) -> bool:
    """Whether a permutation is the transpose of a matrix, ``x.T``."""
    x, *dims = node.args
    if not isinstance(x, Value) or len(x.shape) != 2:
        return False
    if node.op == "permute":
        return dims[0] in ((1, 0), (-1, 0), (1, -2), (-1, -2))
    return set(dims) in ({0, 1}, {0, -1}, {-2, 1}, {-2, -1})


def _full(p: Speaker, node: Node) -> Piece:
    size, fill, dtype, device = node.args
    kind = None
    if isinstance(fill, (bool, int, float)) and fill in (0, 1):
        kind = "ones" if fill else "zeros"
    texts = [p.piece(size)[0]]
    if kind is None or dtype is None:
        kind = "full"
        texts.append(p.piece(fill)[0])
    texts += [] if dtype is None else [f"dtype=torch.{dtype}"]
    texts += [] if device is None else [f"device={_argument(p, 'device', device)}"]
    return f"torch.{kind}({', '.join(texts)})", ATOM


def _zero_for_good(p: Speaker, node: Node) -> Piece:
    """A zero that stays zero whatever it is multiplied by: autograd's gradient of ``sgn``."""
    g = wrap(p.piece(node.args[0]), ATOM)
    return f"torch._efficientzerotensor({g}.shape, dtype={g}.dtype, device={g}.device)", ATOM


def _cropped(p: Speaker, node: Node) -> Piece:
    g, pad = node.args
    assert isinstance(pad, tuple)
    inwards = tuple(-n for n in pad)
    return f"torch.nn.functional.pad({p.piece(g)[0]}, {inwards})", ATOM


def _copy(p: Speaker, node: Node) -> Piece:
    x, src = node.args
    return f"{wrap(p.piece(x), ATOM)}.clone().copy_({p.piece(src)[0]})", ATOM


CUSTOM: dict[str, Callable[[Speaker, Node], Piece]] = {
    "identity": lambda p, node: p.piece(node.args[0]),
    "index": subscripted,
    "slice": sliced,
    "select": selected,
    "einsum": _einsum,
    "arange": _arange,
    "t": transposed,
    "full": _full,
    "copy": _copy,
    "pad_backward": _cropped,
    "sgn_backward": _zero_for_good,
}


TORCH = Backend("torch", _call, CUSTOM, lambda name: f"torch.{name}", "numel()", _FIELDS)
