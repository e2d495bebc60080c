"""From evidence to causes: the finders in the order of diagnosis.

A later finder is asked only where no earlier one explains the numbers. The last resorts are the
smallest single edit that makes the line right, and the terms by which it differs from the gradient
in index notation; where there are none, the largest difference is told and no cause is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import first_line
from .evidence import Evidence
from .finders_algebra import by_algebra
from .finders_numbers import caused, constant_ratio, wrong_shape
from .finders_patterns import (
    another_gradient,
    nothing_written,
    rearranged,
    softmax_diagonal,
    tied,
    unselected,
)
from .finders_uses import paths_counted, uses_counted
from .mend import Mend, longhand, smallest
from .result import CLOSE, Cause


@dataclass(frozen=True)
class Found:
    """The causes, and a verdict that says more than ``wrong`` (``partial (1 of 2 uses)``)."""

    causes: tuple[Cause, ...]
    verdict: str = ""


Finder = Callable[[Evidence], "Cause | tuple[Cause, str] | None"]


def causes_of(evidence: Evidence) -> Found:
    """Why an attempt is wrong; where nothing explains it, the largest difference."""
    for finder in FINDERS:
        found = finder(evidence)
        if isinstance(found, tuple):
            return Found((found[0],), found[1])
        if found is not None:
            return Found((found,), CLOSE if found.code == "ties" else "")
    return Found((_unknown(evidence),))


def wrong_dtype(e: Evidence) -> Cause | None:
    """The right numbers in another dtype."""
    value, truth = e.given.value, e.given.truth
    if not isinstance(value, torch.Tensor) or truth is None or value.dtype == truth.dtype:
        return None
    if value.shape != truth.shape or not all(p.right for p in e.probes):
        return None
    kinds = (str(t.dtype).removeprefix("torch.") for t in (value, truth))
    mine, theirs = kinds
    said = f"{e.candidate.name} holds {mine}, and {e.candidate.of} holds {theirs}"
    return Cause("wrong-dtype", said, longhand(e), e.statements[-1].line)


def by_edit(e: Evidence) -> Cause | None:
    """The smallest edit that makes the line right, and what kind of mistake it undoes."""
    mend = smallest(e)
    if mend is None:
        return None
    code, said = _meaning(e, mend)
    return caused(e, code, said, mend)


# The kinds of edits that undo one kind of mistake each, whatever the line: its code and the reason.
_MATMUL = "a factor of a matrix product is transposed, or the two are the wrong way round"
_KEEPDIM = "without its axis of length 1 the sum is broadcast along another axis"
PLAIN = {
    "sign": ("sign", "the sign is wrong"),
    "matmul": ("matmul-order", _MATMUL),
    "transpose": ("matmul-order", _MATMUL),
    "missing-keepdim": ("row-for-column", _KEEPDIM),
    "extra-keepdim": ("row-for-column", _KEEPDIM),
    "rank": ("rank-two-only", "this holds for matrices, and there are more axes here"),
    "exponent": ("exponent", "the exponent is wrong"),
    "mask": ("wrong-mask", "the mask is that of the forward pass"),
    "parentheses": ("precedence", "the operators bind otherwise than you meant"),
    "duplicates": (
        "duplicates-overwritten",
        "an index that occurs twice keeps its last value only; repeats have to add up",
    ),
    "view": ("view-for-transpose", "a view keeps the order in memory"),
    "flip": ("convolution", "the kernel runs the other way in the backward pass"),
    "slice": ("slice-for-element", "these are not the entries that were read"),
    "function": ("operator", "another function"),
    "operator": ("operator", "the operator is wrong"),
    "not-summed": ("axis-not-summed", "a sum over a broadcast axis is missing"),
}


def _meaning(e: Evidence, mend: Mend) -> tuple[str, str]:
    """The code of the mistake that an edit undoes, and the sentence that says so."""
    edit, of = mend.edit, e.candidate.of
    old, new = mend.old, mend.new
    change = f"In `{mend.before.strip()}`, I expected `{new}` where you wrote `{old}`"
    kind = edit.kind
    if kind in PLAIN:
        code, reason = PLAIN[kind]
        return code, f"{change}: {reason}"
    if kind == "axis":
        if _rank(e) > 2 and re.search(r"\(\d, \d", new) and not re.search(r"\(\(", old):
            return "rank-two-only", f"{change}: there are more axes than two to sum over"
        return "wrong-axis", f"{change}: the axis is not the one along which {of} was broadcast"
    if kind == "count":
        return _count(e, change, old, new)
    if kind in ("constant", "argument", "index"):
        return _constant(e, mend, change)
    if kind == "name":
        if {old.strip("()"), new.strip("()")} == {of, _output(e)}:
            return "wrong-point", f"{change}: the derivative is taken at the wrong point"
        return "wrong-name", f"{change}: that is another tensor"
    if kind == "surplus-call" and edit.factor in ("tanh", "torch.tanh", "sigmoid", "exp", "log"):
        said = "the derivative is taken at the wrong point, the function is applied already"
        return "wrong-point", f"{change}: {said}"
    if kind in ("over-summed", "surplus-call"):
        code = "wrong-axis" if kind == "over-summed" else "operator"
        return code, f"{change}: {edit.factor or 'the sum'} is too many"
    if kind == "surplus-factor":
        if edit.factor in [text for text, _ in e.sizes] or re.fullmatch(
            r"1\s*/\s*\w+", edit.factor
        ):
            return "wrong-count", f"{change}: {edit.factor} is too many"
        return "surplus-factor", f"{change}: the factor {edit.factor} is too many"
    if kind == "surplus-term":
        return "surplus-term", f"{change}: the term {edit.factor} is too many"
    if kind == "addend":
        return "term-forgotten", f"{change}: the term {edit.factor} is missing"
    return _factor(e, mend, change, edit.factor)


def _count(e: Evidence, change: str, old: str, new: str) -> tuple[str, str]:
    if "- 1" in old or "-1" in old or "- 1" in new:
        return "bessel", f"{change}: n and n − 1 are mixed up"
    return "wrong-count", f"{change}: the count is wrong"


def _constant(e: Evidence, mend: Mend, change: str) -> tuple[str, str]:
    if mend.edit.kind == "index":
        return "wrong-index", f"{change}: that is another entry"
    if re.search(r"conv|pad|stride|dilation|pool", mend.before) and mend.edit.kind == "argument":
        return "convolution", f"{change}: padding and stride are those of the forward pass"
    around = mend.before[max(0, mend.edit.start - 4) : mend.edit.end]
    if re.search(r"[\w\])]\s*-\s*\(?\d$", around) and mend.edit.old == "1":
        return "bessel", f"{change}: n and n − 1 are mixed up"
    return "constant", f"{change}: the constant is wrong"


def _factor(e: Evidence, mend: Mend, change: str, factor: str) -> tuple[str, str]:
    name, of = e.candidate.name, e.candidate.of
    label_of = e.names.of(factor) if re.fullmatch(r"[^\W\d]\w*", factor) else None
    if label_of is not None:
        said = f"{name} does not depend on the upstream: every gradient is upstream × local"
        return "upstream-forgotten", f"{said}, and the factor {factor} is missing"
    if factor in [text for text, _ in e.sizes] or re.search(r"n - 1|shape\[", factor):
        lessened = "- 1" in factor
        code = "bessel" if lessened else "wrong-count"
        return code, f"{change}: the count {factor} is missing"
    if re.fullmatch(r"-?[\d.]+", factor):
        return ("sign" if factor == "-1" else "constant"), f"{change}: the {factor} is missing"
    held = e.probes[0].setting.values.get(factor)
    if isinstance(held, float):
        scaled = "sqrt" in factor or not _masked(e)
        code = "wrong-scale" if scaled else "wrong-mask"
        return code, f"{change}: the scale {factor} is missing"
    if isinstance(held, torch.Tensor):
        if bool((held == 0).any()) and torch.unique(held).numel() <= 3:
            return "wrong-mask", f"{change}: the mask {factor} is missing"
        if any(_operand(use.reader, factor) for use in e.uses) and factor != of:
            said = f"{of} is multiplied by {factor} in the forward pass, and so is its gradient"
            return "factor-forgotten", f"{said}: the factor {factor} is missing in {name}"
    if re.search(r"\*\*\s*-?\(?0\.5|sqrt", factor) and _sizes_only(factor):
        return "wrong-scale", f"{change}: the scale {factor} is missing"
    if re.search(r"[<>]=?|==", factor):
        return "wrong-mask", f"{change}: the mask is missing"
    said = f"the local derivative {factor} is missing: every gradient is upstream × local"
    return "local-forgotten", f"In {name}, {said}"


def _sizes_only(factor: str) -> bool:
    """Whether a factor is made of sizes and numbers."""
    bare = re.sub(r"\w+\.shape\[-?\d+\]", "", factor)
    return not re.search(r"[A-Za-z_]\w{1,}", bare.replace("sqrt", "").replace("math", ""))


def _masked(e: Evidence) -> bool:
    """Whether a forward line that reads the value reads a tensor with zeros in it too."""
    for use in e.uses:
        for word in re.findall(r"[^\W\d]\w*", use.reader):
            held = e.probes[0].setting.values.get(word)
            zeros = isinstance(held, torch.Tensor) and bool((held == 0).any())
            if zeros and word != e.candidate.of:
                return True
    return False


def _operand(reader: str, name: str) -> bool:
    """Whether the forward line reads ``name``."""
    value = reader.partition("=")[2]
    return bool(re.search(rf"(?<![.\w]){re.escape(name)}(?!\w)", value))


def _output(e: Evidence) -> str:
    """What the first forward line that reads the value makes of it."""
    return e.uses[0].reader.partition("=")[0].strip() if e.uses else ""


def _rank(e: Evidence) -> int:
    ranks = [g.dim() for g in e.probes[0].setting.gradients.values() if g is not None]
    return max(ranks, default=0)


def _unknown(e: Evidence) -> Cause:
    probe, line = e.given, e.statements[-1].line
    value, truth = probe.value, probe.truth
    if probe.alone.error is not None:
        said = first_line(probe.alone.error, "")
        return Cause("cannot-run", f"this line fails: {said}", line=line)
    if not isinstance(value, torch.Tensor) or truth is None:
        said = f"{e.candidate.name} is a {type(value).__name__}, not a tensor"
        return Cause("no-known-pattern", said, line=line)
    if value.shape != truth.shape:
        shapes = f"shape {list(value.shape)}, {e.candidate.of} {list(truth.shape)}"
        said = f"no known pattern: {e.candidate.name} has {shapes}"
        return Cause("no-known-pattern", said, line=line)
    if value.is_complex():
        said = f"{e.candidate.name} is complex: a negative number was raised to a fractional power"
        return Cause("no-known-pattern", said, line=line)
    off = torch.nan_to_num((value.double() - truth.double()).abs(), float("inf"))
    place = int(off.reshape(-1).argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(place), truth.shape)]
    said = (
        f"no known pattern: the largest difference is {float(off.reshape(-1)[place]):.3g}, "
        f"at {index}: {float(value[tuple(index)]):.6g} where autograd has "
        f"{float(truth[tuple(index)]):.6g}"
    )
    if e.allowance.refused:
        said += " (not compared by algebra: too many lines of this review were already)"
    return Cause("no-known-pattern", said, line=line)


FINDERS: tuple[Finder, ...] = (
    wrong_dtype,
    nothing_written,
    wrong_shape,
    constant_ratio,
    uses_counted,
    paths_counted,
    softmax_diagonal,
    tied,
    unselected,
    rearranged,
    another_gradient,
    by_edit,
    by_algebra,
)
