"""Finders that know a gradient is a sum over uses: which of them are there, and how often."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from .evidence import Evidence, probe_at
from .finders_numbers import COUNTED, REASON, caused, number_said, tensors
from .mend import smallest
from .reference import near
from .result import Cause


def fitted(
    value: torch.Tensor, terms: Sequence[torch.Tensor], scale: float
) -> list[float] | None:
    """The coefficients with which the terms add up to the value; ``None`` with a residue."""
    if any(t.shape != value.shape for t in terms):
        terms = [t.expand(value.shape) if t.dim() <= value.dim() else t for t in terms]
    columns = torch.stack([t.reshape(-1) for t in terms], 1)
    if not bool(torch.isfinite(value).all() and torch.isfinite(columns).all()):
        return None
    sizes = columns.norm(dim=0)
    if not bool((sizes > 1e-12 * max(scale, 1e-300)).all()):
        return None
    scaled = columns / sizes
    if int(torch.linalg.matrix_rank(scaled, rtol=1e-7)) < len(terms):
        return None
    solution = torch.linalg.lstsq(scaled, value.reshape(-1, 1)).solution
    if not near(scaled @ solution, value.reshape(-1, 1), scale, 1e-8):
        return None
    return [float(c) for c in solution.reshape(-1) / sizes]


def coefficients(e: Evidence) -> list[list[float]] | None:
    """How often each use is in the value, at every probe where that can be told."""
    pairs = tensors(e)
    if pairs is None or len(e.uses) < 2:
        return None
    out: list[list[float]] = []
    for (v, t), terms, p in zip(pairs, e.terms, e.probes, strict=True):
        if len(terms) != len(e.uses):
            return None
        if v.shape != t.shape:
            sizes = zip(v.shape, t.shape, strict=False)
            if v.dim() != t.dim() or any(a not in (1, b) for a, b in sizes):
                return None
            v = v.expand(t.shape)  # a use that was not spread yet
        found = fitted(v, terms, p.scale)
        if found is None:
            if p.setting.noise or not any(q.setting.noise for q in e.probes):
                return None
            continue  # a term is zero in the real network: the noisy probes tell
        out.append(found)
    return out or None


def _whole(found: Sequence[Sequence[float]]) -> list[int | None]:
    """For each term its coefficient, where that is the same whole number at every probe."""
    columns = zip(*found, strict=True)
    return [
        round(c[0]) if all(abs(x - round(c[0])) < 1e-6 for x in c) else None for c in columns
    ]


def uses_counted(e: Evidence) -> tuple[Cause, str] | None:
    """The value as a sum of uses: one is missing, negative, twice there, or miscounted."""
    found = coefficients(e)
    if found is None:
        return None
    count = len(e.uses)
    whole = _whole(found)
    name, of = e.candidate.name, e.candidate.of
    if all(c in (0, 1) for c in whole):
        missing = [i for i, c in enumerate(whole) if c == 0]
        if not missing:
            return None
        verdict = f"partial ({count - len(missing)} of {count} uses)"
        return _forgotten(e, missing), verdict
    off = [i for i, c in enumerate(whole) if c != 1]
    if len(off) != 1:
        return None
    reader = e.uses[off[0]].reader
    c = whole[off[0]]
    if c == -1:
        mend = smallest(e, {"sign"})
        said = f"the use of {of} in `{reader}` enters {name} with the wrong sign"
        return caused(e, "sign", said, mend), ""
    if c == 2:
        mend = smallest(e)
        if mend is not None and mend.edit.kind in ("constant", "exponent", "factor"):
            return None
        said = f"the use of {of} in `{reader}` is in {name} twice"
        return caused(e, "added-twice", said, mend), ""
    values = [row[off[0]] for row in found]
    if len(found) != len(e.probes):
        return None
    named = number_said(e, values)
    if named is None or named[0] not in COUNTED:
        return None
    mend = smallest(e)
    if mend is not None and mend.edit.kind in ("operator", "parentheses", "name"):
        return None
    code = COUNTED[named[0]]
    said = f"the use of {of} in `{reader}` is in {name} {named[1]} times: {REASON[code]}"
    return caused(e, code, said, mend), ""


def _forgotten(e: Evidence, missing: list[int]) -> Cause:
    name, of = e.candidate.name, e.candidate.of
    readers = list(dict.fromkeys(u.reader for u in e.uses))
    lost = list(dict.fromkeys(e.uses[i].reader for i in missing))
    code = "use-forgotten"
    said = ""
    if _overwritten(e, missing):
        code = "overwritten"
        said = (
            f"{name} is assigned anew where it should be added to: the use in `{lost[0]}`, which "
            f"an earlier line had, is lost. Write {name} = {name} + … or {name} += …"
        )
    elif _recurrent(e, lost):
        code = "carry-forgotten"
        said = (
            f"{of} is carried on to the next step by `{lost[0]}`, and what comes back from there "
            f"is not in {name}"
        )
    else:
        times = {1: "once", 2: "twice"}.get(len(e.uses), f"{len(e.uses)} times")
        by = " and by ".join(f"`{r}`" for r in readers)
        have = [f"`{u.reader}`" for i, u in enumerate(e.uses) if i not in missing]
        said = (
            f"{of} is read {times}: by {by}. You have the use in "
            f"{' and '.join(dict.fromkeys(have)) or 'none of them'}; "
            f"what arrives through `{lost[0]}` is missing"
        )
    return caused(e, code, said)


def _recurrent(e: Evidence, lost: list[str]) -> bool:
    """Whether a lost reader is, but for numbers, a statement that came before the value too."""
    steps = [s.source for s in e.reference.program.steps]
    made = next(
        (i for i, s in enumerate(e.reference.program.steps) if s.name == e.candidate.of), None
    )
    if made is None:
        return False
    before = {re.sub(r"\d+", "", s) for s in steps[: made + 1]}
    return any(re.sub(r"\d+", "", reader) in before for reader in lost)


def _overwritten(e: Evidence, missing: list[int]) -> bool:
    """Whether earlier attempts at the gradient have the missing uses."""
    covered: set[int] = set()
    for attempt in e.earlier:
        for k, p in enumerate(e.probes):
            value = probe_at(e.handwritten, e.names, attempt, p.setting).value
            if not isinstance(value, torch.Tensor) or p.truth is None:
                break
            if value.shape != p.truth.shape:
                break
            found = fitted(value, e.terms[k], p.scale)
            if found is not None:
                covered |= {i for i, c in enumerate(found) if abs(c - 1) < 1e-6}
                break
    return set(missing) <= covered


def paths_counted(e: Evidence) -> tuple[Cause, str] | None:
    """A line that goes back several steps at once: which of the paths it has."""
    pairs = tensors(e)
    if pairs is None or any(v.shape != t.shape for v, t in pairs):
        return None
    mend = smallest(e)
    if mend is not None and mend.size <= 2:
        return None  # so small an edit says more than the paths do
    read = e.read
    found: list[list[float]] = []
    paths: list[str] = []
    for (v, _), p in zip(pairs, e.probes, strict=True):
        named = e.reference.paths(e.candidate.of, read, p.setting)
        live = {k: t for k, t in named.items() if float(t.abs().max()) > 1e-12 * p.scale}
        if len(live) < 2 or (paths and list(live) != paths):
            return None
        paths = list(live)
        fit = fitted(v, list(live.values()), p.scale)
        if fit is None:
            return None
        found.append(fit)
    whole = _whole(found)
    off = [i for i, c in enumerate(whole) if c != 1]
    name, of = e.candidate.name, e.candidate.of
    if not off or len(off) == len(paths):
        return None
    through = ", ".join(paths[i] for i in off)
    if all(whole[i] == 0 for i in off):
        verdict = f"partial ({len(paths) - len(off)} of {len(paths)} uses)"
        if len(off) >= 2 and len(off) == len(paths) - 1:
            said = (
                f"{name} has the direct path only: the statistics were taken for constants, but "
                f"they depend on {of} too ({through})"
            )
            return caused(e, "statistics-constant", said), verdict
        said = f"{of} reaches the loss on {len(paths)} paths; the one through {through} is missing"
        return caused(e, "use-forgotten", said), verdict
    if len(off) > 1:
        return None
    if whole[off[0]] == -1:
        said = f"the path through {through} enters {name} with the wrong sign"
        return caused(e, "sign", said, smallest(e, {"sign"})), ""
    if whole[off[0]] == 2:
        said = f"the path through {through} is in {name} twice"
        return caused(e, "added-twice", said, smallest(e)), ""
    named_number = number_said(e, [row[off[0]] for row in found])
    if named_number is None or named_number[0] not in COUNTED:
        return None
    code = COUNTED[named_number[0]]
    said = f"the path through {through} is in {name} {named_number[1]} times: {REASON[code]}"
    return caused(e, code, said, smallest(e)), ""


__all__ = ["fitted", "paths_counted", "uses_counted"]
