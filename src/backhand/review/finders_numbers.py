"""Finders that compare numbers: shapes, constant ratios, and the sum over the uses.

Each sees one piece of evidence and names a cause only if it explains the numbers without residue,
at every probe.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

import torch

from .evidence import Evidence
from .mend import Mend, longhand, smallest
from .reference import near
from .result import Cause


def tensors(e: Evidence) -> list[tuple[torch.Tensor, torch.Tensor]] | None:
    """Value and truth at every probe, where both are tensors."""
    out = []
    for p in e.probes:
        if not isinstance(p.value, torch.Tensor) or p.truth is None:
            return None
        out.append((p.value.to(p.truth.dtype), p.truth))
    return out


def caused(e: Evidence, code: str, message: str, mend: Mend | None = None) -> Cause:
    """A cause at the line that the mend changes, or at the attempt's last line."""
    if mend is None:
        return Cause(code, message, longhand(e), e.statements[-1].line)
    statement = e.handwritten.statements[mend.statement]
    span = (mend.edit.start, mend.edit.end)
    return Cause(code, message, mend.line, statement.line, span)


# shapes


def wrong_shape(e: Evidence) -> Cause | None:
    """The numbers are right but for an axis: of length one, not summed, summed too much."""
    pairs = tensors(e)
    if pairs is None or all(v.shape == t.shape for v, t in pairs):
        return None
    name, of = e.candidate.name, e.candidate.of
    given = e.given
    shapes = ""
    if isinstance(given.value, torch.Tensor) and given.truth is not None:
        shapes = f"{name} is {list(given.value.shape)}, {of} is {list(given.truth.shape)}"
    if all(v.numel() == t.numel() and near(v.reshape(t.shape), t) for v, t in pairs):
        fewer = pairs[0][0].dim() < pairs[0][1].dim()
        code = "missing-keepdim" if fewer else "extra-keepdim"
        mend = smallest(e, {code, "axis"})
        what = "an axis of length 1 is lost" if fewer else "there is an axis of length 1 too many"
        return caused(e, code, f"{shapes}: the numbers are right, but {what}", mend)
    if all(v.dim() == 2 and near(v.T, t) for v, t in pairs):
        mend = smallest(e, {"matmul", "transpose"})
        return caused(e, "matmul-order", f"{shapes}: it is the transpose of the gradient", mend)
    for axes in _axes(pairs[0][0].dim()):
        if all(_summed(v, t, axes) for v, t in pairs):
            if _for_matrices(e):
                mend = smallest(e, {"axis", "rank"})
                said = f"this holds for matrices: with more axes all but {of}'s own are summed over"
                return caused(e, "rank-two-only", f"{shapes}: {said}", mend)
            mend = smallest(e, {"not-summed"})
            said = f"{of} was broadcast along {_said(axes)}, over which its gradient is summed"
            return caused(e, "axis-not-summed", f"{shapes}: {said}", mend)
    for axes in _axes(pairs[0][1].dim()):
        if all(_summed(t, v, axes) for v, t in pairs):
            mend = smallest(e, {"over-summed", "axis", "missing-keepdim"})
            said = f"summed over {_said(axes)} as well, along which {of} was not broadcast"
            return caused(e, "wrong-axis", f"{shapes}: {said}", mend)
    return _jacobian(e, pairs, shapes)


def _for_matrices(e: Evidence) -> bool:
    """Whether something is summed already, of an upstream with more than two axes."""
    ups = [e.probes[0].setting.gradients.get(of) for of in e.read]
    texts = " ".join(s.text for s in e.statements)
    return any(u is not None and u.dim() > 2 for u in ups) and bool(re.search(r"\.sum\(|@", texts))


def _axes(rank: int) -> list[tuple[int, ...]]:
    counts = range(1, rank + 1)
    return [axes for k in counts for axes in itertools.combinations(range(rank), k)]


def _said(axes: tuple[int, ...]) -> str:
    return ("axis " if len(axes) == 1 else "axes ") + " and ".join(map(str, axes))


def _summed(big: torch.Tensor, small: torch.Tensor, axes: tuple[int, ...]) -> bool:
    total = big.sum(axes)
    return total.numel() == small.numel() and near(total.reshape(small.shape), small)


def _jacobian(
    e: Evidence, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], shapes: str
) -> Cause | None:
    """All derivatives of an output by the operand, not yet contracted with the upstream."""
    for of in e.probes[0].setting.gradients:
        ups = [p.setting.gradients.get(of) for p in e.probes]
        if all(
            u is not None
            and v.dim() == u.dim() + t.dim()
            and v.shape == (*u.shape, *t.shape)
            and near(torch.tensordot(u, v, dims=u.dim()), t)
            for (v, t), u in zip(pairs, ups, strict=True)
        ):
            up = e.names.label(of)
            said = (
                f"this is the Jacobian of {of}, every output by every input; the gradient is its "
                f"product with the upstream {up}"
            )
            return caused(e, "jacobian", f"{shapes}: {said}")
    return None


# ratios


def constant_ratio(e: Evidence) -> Cause | None:
    """The gradient times one number: a sign, a count, a scale, a path added twice."""
    pairs = tensors(e)
    if pairs is None or any(v.shape != t.shape for v, t in pairs):
        return None
    ratios = []
    for v, t in pairs:
        bottom = float((t * t).sum())
        if not bottom:
            return None
        r = float((v * t).sum()) / bottom
        if abs(r) < 1e-9 or not near(v, r * t):
            return None
        ratios.append(r)
    name = e.candidate.name
    named = number_said(e, ratios)
    if named is None:
        return None
    kind, said = named
    if kind == "sign":
        mend = smallest(e, {"sign"})
        return caused(e, "sign", f"{name} has the wrong sign: it is −1 times the gradient", mend)
    mend = smallest(e)
    if kind == "twice":
        if mend is not None and mend.edit.kind in ("constant", "factor", "exponent"):
            return None
        said = f"{name} is twice the gradient: a use is counted twice"
        return caused(e, "added-twice", said, mend)
    if mend is not None and mend.edit.kind in ("operator", "parentheses", "name"):
        return None  # the edit says more than the number does
    code = COUNTED[kind]
    return caused(e, code, f"{name} is {said} times the gradient: {REASON[code]}", mend)


# The causes that the kinds of ``number_said`` stand for.
COUNTED = {"count": "wrong-count", "bessel": "bessel", "scale": "wrong-scale"}
REASON = {
    "wrong-count": "a mean hands each of its n entries 1/n of the upstream",
    "bessel": "a variance over n − 1 has n − 1 in its gradient too, a mean has n",
    "wrong-scale": "a scale stays in the gradient as it stood in the forward pass",
}


def number_said(e: Evidence, numbers: Sequence[float]) -> tuple[str, str] | None:
    """A number that is the same thing at every probe: its kind, and how to say it."""
    if all(abs(r + 1) < 1e-7 for r in numbers):
        return "sign", "−1"
    if all(abs(r - 2) < 1e-7 for r in numbers):
        return "twice", "2"
    sizes = [(text, values) for text, values in e.sizes if any(v > 1 for v in values)]
    # one number may be the size of several things: the one that the lines speak of is meant
    spoken = " ".join([*(s.text for s in e.statements), *(f"{u.text} {u.reader}" for u in e.uses)])
    sizes.sort(key=lambda size: not re.search(rf"(?<![\w.]){re.escape(size[0])}(?!\w)", spoken))
    forms: list[tuple[str, str, list[float]]] = []
    for text, n in sizes:
        forms.append(("count", text, [float(v) for v in n]))
        forms.append(("count", f"1/{text}", [1 / v for v in n]))
        forms.append(("bessel", f"{text}/({text} - 1)", [v / (v - 1) if v > 1 else 0 for v in n]))
        forms.append(("bessel", f"({text} - 1)/{text}", [(v - 1) / v for v in n]))
        forms.append(("count", f"({text} - 1)", [v - 1.0 for v in n]))
        forms.append(("count", f"1/({text} - 1)", [1 / (v - 1) if v > 1 else 0 for v in n]))
        forms.append(("scale", f"√{text}", [v**0.5 for v in n]))
        forms.append(("scale", f"1/√{text}", [v**-0.5 for v in n]))
    for (a, n), (b, m) in itertools.combinations(sizes, 2):
        both = list(zip(n, m, strict=True))
        forms.append(("count", f"{a}·{b}", [float(x * y) for x, y in both]))
        forms.append(("count", f"1/({a}·{b})", [1 / (x * y) for x, y in both]))
        forms.append(("count", f"{a}/{b}", [x / y for x, y in both]))
        forms.append(("count", f"{b}/{a}", [y / x for x, y in both]))
    for kind, said, values in forms:
        if all(math.isclose(r, x, rel_tol=1e-7) for r, x in zip(numbers, values, strict=True)):
            if kind == "count" and _scaled(e) and "·" not in said:
                kind = "scale"
            return kind, said
        if all(math.isclose(-r, x, rel_tol=1e-7) for r, x in zip(numbers, values, strict=True)):
            return None
    return None


def _scaled(e: Evidence) -> bool:
    """Whether the use goes through a square root of a size: 1/√d."""
    text = " ".join(f"{u.text} {u.reader}" for u in e.uses)
    return bool(re.search(r"(shape\[-?\d\]|\bd\w*)\)?\s*\*\*\s*-?\(?0\.5|sqrt", text))
