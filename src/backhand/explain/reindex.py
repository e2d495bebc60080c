"""Operators that copy elements, explained by one rule: ask who read a cell.

``y[i] = x[σ(i)]`` means ``dx[j] = Σ dy[i]`` over all ``i`` with ``σ(i) = j``. What σ is for an
operator is said in the author's names; which cells read which is taken from the executed tiny case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from ..program.ir import Node, Value
from ..program.ops import get_op
from ..program.sizes import Dim
from ..shorthand.notation import LETTERS
from .blocks import Block, Formula, Reader, Readers, Ruler, Section, Strip, code, para, spans
from .notation import texname
from .source import Reading, Source
from .tiny import PICKS, Move, Tiny
from .versions import versions

RULE = (
    r"\mathrm{y}_{i} = \mathrm{x}_{\sigma(i)} \Rightarrow "
    r"\mathrm{dx}_{j} = \sum_{i : \sigma(i) = j} \mathrm{dy}_{i}"
)
MOST_ROWS = 12


def reindexing(reading: Reading, tiny: Tiny | None, node: Node) -> list[Block]:
    """The section on a node that copies elements; none for one that does not."""
    move = next((m for m in tiny.moved if m.node is node), None) if tiny is not None else None
    if move is None:
        return []
    source = reading.source
    operand, result = move.operand, move.result
    x, y = source.name(operand), source.name(result)
    dx, dy = source.gradient_name(operand), source.gradient_name(result)
    blocks = [_copies(move, x, y), Formula(RULE, "ask who read cell j, and add up their gradients")]
    here = sigma(source, node)
    if here is not None:
        forward, backward = here
        blocks += [para("Here:"), Formula(forward), Formula(backward)]
    blocks.append(para(_consequence(move, x, dx, dy)))
    if get_op(node.op).kind == "view" and _one_strip(move):
        blocks += _strip(move, source)
    blocks.append(_readers(move, source))
    blocks += versions(source, node, dx, dy)
    title = "Selection: which cells of " if move.chosen else "Re-indexing: who reads each cell of "
    ending = " are chosen" if move.chosen else ""
    return [Section(spans(title, code(x), ending), tuple(blocks))]


def _copies(move: Move, x: str, y: str) -> Block:
    if move.chosen:
        return para(
            "Every element of ", code(y), " is a copy of an element of ", code(x), ". The values "
            "decide which one; a small change of them does not change the choice, so the choice "
            "itself has no gradient, and what remains is the rule for copies:",
        )  # fmt: skip
    return para(
        "Nothing is computed here: every element of ", code(y), " is a copy of an element of ",
        code(x), ". Whatever way the copies were made, one rule gives the gradient:",
    )  # fmt: skip


def _consequence(move: Move, x: str, dx: str, dy: str) -> str:
    counts = np.zeros(move.shape, dtype=int)
    for place in move.reads.values():
        counts[place] += 1
    if (counts == 1).all():
        return (
            f"Every cell of {x} has exactly one reader, so nothing is added up: {dx} is {dy}, each "
            "element moved back to where its value came from."
        )
    if move.chosen:
        often = " (of several, their sum)" if (counts > 1).any() else ""
        return (
            f"A cell of {x} that is chosen gets the gradient of the element that it became{often}. "
            "Changing one of the others a little changes nothing, and its gradient is 0."
        )
    if (counts <= 1).all():
        return (
            f"Some cells of {x} have one reader, and their gradient moves back to them. The others "
            "are read by nobody: changing them changes nothing, and their gradient is 0."
        )
    if (counts > 1).all():
        return (
            f"Every cell of {x} has several readers, and gets the sum of their gradients: what is "
            "repeated on the way forward is summed on the way back."
        )
    by_data = any(not v.floating for v in move.node.operands())
    decided = "Which cells are read, and how often, is decided by the data. " if by_data else ""
    return (
        f"{decided}A cell of {x} that is read several times gets the sum of all its readers' "
        "gradients; one that nobody reads gets 0."
    )


def cell_tex(name: str, place: Sequence[int]) -> str:
    return rf"{texname(name)}_{{{','.join(map(str, place))}}}" if place else texname(name)


def _readers(move: Move, source: Source) -> Readers:
    """Counted from 0, as indices are in code."""
    x, y = source.name(move.operand), source.name(move.result)
    dy = source.gradient_name(move.result)
    rows = []
    for place in list(np.ndindex(*move.shape))[:MOST_ROWS]:
        who = [index for index, read in move.reads.items() if read == place]
        total = " + ".join(cell_tex(dy, i) for i in who) or "0"
        rows.append(Reader(cell_tex(x, place), tuple(cell_tex(y, i) for i in who), total))
    return Readers(x, y, tuple(rows))


def _one_strip(move: Move) -> bool:
    """Whether the elements lie in memory in one order, whatever the shape."""
    places = [np.ravel_multi_index(i, move.result_shape) for i in move.reads] if move.shape else []
    read = [np.ravel_multi_index(p, move.shape) for p in move.reads.values()] if places else []
    return len(read) > 1 and list(places) == list(read) and len(read) == int(np.prod(move.shape))


def _strip(move: Move, source: Source) -> list[Block]:
    x, y = source.name(move.operand), source.name(move.result)
    count = int(np.prod(move.shape))
    shown = min(count, 8)
    cells = tuple(f"v_{{{k}}}" for k in range(shown))
    above = [np.unravel_index(k, move.shape) for k in range(shown)]
    below = [np.unravel_index(k, move.result_shape) for k in range(shown)]
    marks = [tuple(",".join(str(int(p)) for p in place) for place in row) for row in (above, below)]
    more = "" if shown == count else f" (the first {shown} of {count} elements)"
    return [
        para(
            "In memory nothing moves. There is one strip of numbers with two rulers, and only the "
            f"labels differ{more}:"
        ),
        Strip(cells, Ruler(x, marks[0]), Ruler(y, marks[1])),
    ]


# what σ is, in index notation


def sigma(source: Source, node: Node) -> tuple[str, str] | None:
    """``y[…] = x[…]`` and ``dx[…] = …`` for operators whose σ has a formula."""
    args = get_op(node.op).named(node.args)
    x, y = next(v for v in node.operands() if v.floating), node.outs[0]
    maker = _SIGMA.get(node.op)
    found = maker(source, x, y, args) if maker is not None else None
    if found is None:
        return None
    left, right, back = found
    forward = f"{_at(source.name(y), left)} = {_at(source.name(x), right)}"
    dx, dy = source.gradient_name(x), source.gradient_name(y)
    if back is None:  # one to one: the same equation read from right to left
        return forward, f"{_at(dx, right)} = {_at(dy, left)}"
    over, free = back
    return forward, rf"{_at(dx, free)} = {over} {_at(dy, left)}"


def _at(name: str, index: Sequence[str]) -> str:
    return rf"{texname(name)}_{{{', '.join(index)}}}" if index else texname(name)


Found = tuple[list[str], list[str], tuple[str, list[str]] | None]


def _view(source: Source, x: Value, y: Value, args: dict[str, Any]) -> Found | None:
    """Axes taken together in one shape and apart in the other: ``y[i, 10·p + e] = x[i, p, e]``."""
    left: list[str] = []
    right: list[str] = []
    letters = iter(LETTERS)
    for ours, theirs in _groups(source, x.shape, y.shape):
        longer, shorter = (ours, theirs) if len(ours) >= len(theirs) else (theirs, ours)
        if len(shorter) > 1:
            return None
        names = ["0" if d == 1 else next(letters, "i") for d in longer]
        joined = _joined(source, names, longer)
        single = [joined] if shorter else []
        (right if longer is ours else left).extend(names)
        (left if longer is ours else right).extend(single)
    return left, right, None


def _joined(source: Source, names: Sequence[str], dims: Sequence[Dim]) -> str:
    """One index made of several: ``(i·3 + j)·10 + k``."""
    out = ""
    for name, dim in zip(names, dims, strict=True):
        if name == "0":
            continue
        size = source.size(dim)
        if out:
            inner = f"({out})" if "+" in out else out
            out = rf"{size if size.isdigit() else texname(size)} \cdot {inner} + {name}"
        else:
            out = name
    return out or "0"


def _groups(
    source: Source, a: Sequence[Dim], b: Sequence[Dim]
) -> Iterator[tuple[list[Dim], list[Dim]]]:
    """Stretches of axes of two shapes with the same number of elements, from left to right."""
    i = j = 0
    while i < len(a) or j < len(b):
        ours = [a[i]] if i < len(a) else []
        theirs = [b[j]] if j < len(b) else []
        i, j = i + len(ours), j + len(theirs)
        while _size(source, ours) != _size(source, theirs):
            if _size(source, ours) < _size(source, theirs) and i < len(a):
                ours.append(a[i])
                i += 1
            elif j < len(b):
                theirs.append(b[j])
                j += 1
            else:
                ours.append(a[i])
                i += 1
        yield ours, theirs


def _size(source: Source, dims: Sequence[Dim]) -> int:
    return prod(map(source.hint, dims))


def _letters(rank: int) -> list[str]:
    return list(LETTERS[:rank])


def _permute(source: Source, x: Value, y: Value, args: dict[str, Any]) -> Found | None:
    rank = len(x.shape)
    if "dims" in args:
        order = [d % rank for d in args["dims"]]
    elif rank < 2:
        order = list(range(rank))
    else:
        order = list(range(rank))
        first, second = args.get("dim0", 0) % rank, args.get("dim1", 1) % rank
        order[first], order[second] = order[second], order[first]
    left = _letters(rank)
    right = [""] * rank
    for k, axis in enumerate(order):
        right[axis] = left[k]
    return left, right, None


def _slice(source: Source, x: Value, y: Value, args: dict[str, Any]) -> Found | None:
    rank, start, step = len(x.shape), args["start"] or 0, args["step"]
    dim = args["dim"] % rank
    if not isinstance(start, int) or not isinstance(step, int):
        return None
    left = _letters(rank)
    right = list(left)
    if start < 0:
        right[dim] = f"{source.size(x.shape[dim])} - {-start}"
        right[dim] += f" + {left[dim]}" if step == 1 else rf" + {step} \cdot {left[dim]}"
    else:
        place = left[dim] if step == 1 else rf"{step} \cdot {left[dim]}"
        right[dim] = f"{place} + {start}" if start else place
    return left, right, None


def _select(source: Source, x: Value, y: Value, args: dict[str, Any]) -> Found | None:
    rank, index = len(x.shape), args["index"]
    dim = args["dim"] % rank
    if not isinstance(index, int):
        return None
    left = _letters(rank - 1)
    place = str(index) if index >= 0 else f"{source.size(x.shape[dim])} - {-index}"
    return left, [*left[:dim], place, *left[dim:]], None


def _expand(source: Source, x: Value, y: Value, args: dict[str, Any]) -> Found | None:
    rank, offset = len(y.shape), len(y.shape) - len(x.shape)
    left = _letters(rank)
    right, summed = [], left[:offset]
    for k, dim in enumerate(x.shape):
        stretched = source.hint(dim) == 1 and source.hint(y.shape[offset + k]) != 1
        right.append("0" if stretched else left[offset + k])
        summed += [left[offset + k]] if stretched else []
    if not summed:
        return left, right, None
    return left, right, (rf"\sum_{{{','.join(summed)}}}", right)


def _picked(source: Source, x: Value, y: Value, args: dict[str, Any]) -> Found | None:
    """Rows picked by an index of the data: ``y[i, p, :] = C[Xb[i, p], :]``."""
    found = args.get("indices", args.get("index"))
    dim = args.get("dim", 0) % max(len(x.shape), 1)
    if isinstance(found, tuple):
        if any(not isinstance(t, Value) or not t.dtype.startswith("int") for t in found):
            return None
        return _picked_axes(source, x, y, found)
    if not isinstance(found, Value):
        return None
    return _pick(source, x, found, dim)


def _picked_axes(source: Source, x: Value, y: Value, found: tuple[Value, ...]) -> Found | None:
    if len(found) == 1:
        return _pick(source, x, found[0], 0)
    rank = max(len(t.shape) for t in found)
    if rank != 1 or len(found) != len(x.shape):
        return None
    left = _letters(rank)
    right = [left[0] if t.name in source.counters else _at(source.name(t), left) for t in found]
    free = ["j", "k", "l", "m"][: len(found)]
    where = r",\, ".join(f"{r} = {f}" for r, f in zip(right, free, strict=True))
    return left, right, (rf"\sum_{{i : {where}}}", free)


def _pick(source: Source, x: Value, index: Value, dim: int) -> Found:
    inside = _letters(len(index.shape))
    spare = [c for c in LETTERS if c not in inside]
    rest = spare[: len(x.shape) - 1]
    place = _at(source.name(index), inside)
    left = [*rest[:dim], *inside, *rest[dim:]]
    right = [*rest[:dim], place, *rest[dim:]]
    free = [*rest[:dim], "v", *rest[dim:]]
    which = ",".join(inside)
    over = rf"\sum_{{{which} : {place} = v}}" if inside else ""
    return left, right, (over, free)


_SIGMA = {
    **dict.fromkeys(("view", "reshape", "flatten", "unsqueeze", "squeeze"), _view),
    **dict.fromkeys(("permute", "transpose", "t"), _permute),
    "slice": _slice,
    "select": _select,
    "expand": _expand,
    **dict.fromkeys((*PICKS,), _picked),
}

__all__ = ["cell_tex", "reindexing", "sigma"]
