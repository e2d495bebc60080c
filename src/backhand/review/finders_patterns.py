"""Finders of well-known mistakes: nothing written, wrong entries, ties, softmax, wrong names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from .evidence import Evidence
from .finders_numbers import caused, tensors
from .mend import smallest
from .reference import MAXIMA, near
from .result import Cause

MASKS = frozenset(
    {"relu", "threshold", "where", "clamp", "hardtanh", "masked_fill", "leaky_relu", "dropout"}
)


def readers(e: Evidence) -> set[str]:
    """The operators that read the value."""
    return {
        node.op
        for node in e.reference.program.nodes()
        if any(v.name == e.candidate.of for v in node.operands())
    }


def nothing_written(e: Evidence) -> Cause | None:
    """``None``, or zeros where the gradient is not zero."""
    name = e.candidate.name
    if e.given.alone.error is None and e.given.value is None and e.given.truth is not None:
        return caused(e, "never-written", f"{name} is None: no gradient was stored in it")
    pairs = tensors(e)
    if pairs is None or any(bool(v.any()) for v, _ in pairs):
        return None
    if not all(bool(t.any()) for _, t in pairs):
        return None
    return caused(e, "never-written", f"{name} is zero everywhere: nothing was written into it")


def softmax_diagonal(e: Evidence) -> Cause | None:
    """``p * (1 - p) * g``: only the diagonal of a softmax's Jacobian."""
    pairs = tensors(e)
    if pairs is None:
        return None
    for name, p in e.probes[0].setting.values.items():
        if not isinstance(p, torch.Tensor) or p.shape != pairs[0][1].shape or p.dim() == 0:
            continue
        if not bool(((p >= 0) & (p <= 1)).all()):
            continue
        fits = True
        for (v, t), probe in zip(pairs, e.probes, strict=True):
            q = probe.setting.values[name]
            g = probe.setting.gradients.get(name)
            if g is None or g.shape != t.shape or q.shape != t.shape:
                fits = False
                break
            full = any(near(q * (g - (q * g).sum(k, keepdim=True)), t) for k in range(q.dim()))
            fits = fits and full and near(v, q * (1 - q) * g)
        if fits:
            of, mine = e.candidate.of, e.candidate.name
            said = (
                f"{mine} is {name} * (1 - {name}) times the upstream: that is the diagonal of the "
                f"softmax's Jacobian. Every entry of {name} depends on every {of} of its row, so "
                f"the row's Σ {name}·d{name} has to be taken off"
            )
            up = e.names.label(name)
            fix = f"{mine} = {name} * ({up} - ({up} * {name}).sum(-1, keepdim=True))"
            return replace(caused(e, "softmax-diagonal", said), fix=fix)
    return None


def unselected(e: Evidence) -> Cause | None:
    """Right where the forward pass selected, and not zero elsewhere."""
    pairs = tensors(e)
    if pairs is None or any(v.shape != t.shape for v, t in pairs):
        return None
    if not any(_beyond_support(p) for p in (pairs, *_without_others(e, pairs))):
        return None
    mend = smallest(e)
    if mend is not None and mend.edit.kind == "slice":
        return None
    name, of = e.candidate.name, e.candidate.of
    if readers(e) & MASKS or _multiplied_by_mask(e):
        said = f"{name} is not zero where the forward pass let nothing of {of} through: its mask"
        return caused(e, "wrong-mask", f"{said} is missing", mend)
    said = f"{name} is not zero at entries of {of} that the forward pass did not pick"
    return caused(e, "unselected-entries", said, mend)


Pairs = Sequence[tuple[torch.Tensor, torch.Tensor]]


def _beyond_support(pairs: Pairs) -> bool:
    """Whether a value is right where the truth is not zero, and not zero elsewhere."""
    for v, t in pairs:
        support = t != 0
        if bool(support.all()) or not bool(support.any()):
            return False
        if not near(v[support], t[support]) or not bool((v[~support].abs() > 1e-12).any()):
            return False
    return True


def _without_others(e: Evidence, pairs: Pairs) -> Iterator[Pairs]:
    """For each use: the value less all other uses, beside that use."""
    if len(e.uses) < 2 or any(len(terms) != len(e.uses) for terms in e.terms):
        return
    for i in range(len(e.uses)):
        yield [
            (v - (t - terms[i]), terms[i].expand(t.shape))
            for (v, t), terms in zip(pairs, e.terms, strict=True)
        ]


def _multiplied_by_mask(e: Evidence) -> bool:
    """Whether the value is multiplied by a tensor of few values, zero among them."""
    for node in e.reference.program.nodes():
        operands = [v.name for v in node.operands()]
        if node.op != "mul" or e.candidate.of not in operands:
            continue
        for name in operands:
            held = e.probes[0].setting.values.get(name)
            if isinstance(held, torch.Tensor) and name != e.candidate.of:
                zeros = held == 0
                if bool(zeros.any()) and not bool(zeros.all()):
                    return True
    return False


def tied(e: Evidence) -> Cause | None:
    """Different only where a maximum is reached more than once: a convention."""
    if not readers(e) & MAXIMA:
        return None
    off_somewhere = False
    for p in e.probes:
        if p.right:
            continue
        held = p.setting.values.get(e.candidate.of)
        if not isinstance(held, torch.Tensor) or not isinstance(p.value, torch.Tensor):
            return None
        if p.truth is None or p.value.shape != p.truth.shape:
            return None
        off = (p.value - p.truth).abs() > 1e-9 * max(p.scale, 1e-300)
        if not any(_only_ties(held, off, axis) for axis in range(held.dim())):
            return None
        off_somewhere = True
    if not off_somewhere:
        return None
    name = e.candidate.name
    said = (
        f"{name} differs from autograd only where the maximum is reached more than once: you give "
        "every tied entry the whole gradient. That is a convention (autograd splits it evenly, or "
        "takes the first), not an error"
    )
    return caused(e, "ties", said)


def _only_ties(held: torch.Tensor, off: torch.Tensor, axis: int) -> bool:
    for extreme in (held.amax(axis, keepdim=True), held.amin(axis, keepdim=True)):
        top = held == extreme
        several = top & (top.sum(axis, keepdim=True) > 1)
        if bool((off & ~several).any()):
            continue
        return True
    return False


def rearranged(e: Evidence) -> Cause | None:
    """The right numbers in the wrong places: a view where a transpose was meant."""
    pairs = tensors(e)
    if pairs is None or any(v.shape != t.shape or t.numel() < 4 for v, t in pairs):
        return None
    if any(torch.unique(t).numel() < t.numel() // 2 for _, t in pairs):
        return None
    for v, t in pairs:
        a, b = v.reshape(-1).sort().values, t.reshape(-1).sort().values
        if not near(a, b):
            return None
    name = e.candidate.name
    mend = smallest(e, {"matmul", "transpose", "view", "axis", "flip"})
    if mend is not None and mend.edit.kind in ("matmul", "flip"):
        return None
    said = (
        f"{name} has the right numbers in the wrong places: a view keeps the order in memory, a "
        "transpose changes it"
    )
    return caused(e, "view-for-transpose", said, mend)


def another_gradient(e: Evidence) -> Cause | None:
    """Equal to the gradient of another value."""
    pairs = tensors(e)
    if pairs is None or (e.terms and len(e.uses) > 1):
        return None
    for of in e.probes[0].setting.gradients:
        if of == e.candidate.of:
            continue
        others = [p.setting.gradients.get(of) for p in e.probes]
        if all(
            o is not None and o.shape == v.shape and bool(o.any()) and near(v, o)
            for (v, _), o in zip(pairs, others, strict=True)
        ):
            mend = smallest(e, {"name"})
            if mend is None:
                return None
            other = e.names.label(of)
            said = f"{e.candidate.name} is the gradient of {of}, {other}: a name is wrong here"
            return caused(e, "wrong-name", said, mend)
    return None
