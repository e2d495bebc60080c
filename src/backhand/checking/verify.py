"""``verify``: every named gradient against autograd on the user's own function.

The user's function is run as it stands, on real tensors that require gradients; a function mode
picks up the intermediates as they are made, and hooks collect their gradients. The captured program
plays no part in the truth.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch.overrides import TorchFunctionMode

from ..capture import Captured
from ..capture.trace import CallCounter, CallKey
from ..emit.listing import Listing
from ..emit.python import Line, printed_name
from ..errors import InputError
from ..longhand import Backward
from .compare import CLOSE, EXACT, WRONG, Comparison, coarsest_of, compare


@dataclass(frozen=True)
class Verdict:
    """One gradient's line in the table.

    Attributes:
        name: Its name in the printed code: ``dx``.
        of: The forward value's name: ``x``.
        shape: Its shape, which is the value's.
        result: How it compares in the run of the whole backward pass: verdict, largest difference,
            and distance in units in the last place (``ulp``).
        local: Its line alone, with autograd's own upstream put in.
        plain: The plain spelling of the line, alone, where that differs from the exact one.
        why: Where a difference comes from.
    """

    name: str
    of: str
    shape: tuple[int, ...]
    result: Comparison
    local: Comparison | None = None
    plain: Comparison | None = None
    why: str = ""

    @property
    def verdict(self) -> str:
        return self.result.verdict


@dataclass(frozen=True)
class Report:
    """The outcome of ``verify``; ``str`` is a table.

    Attributes:
        target: What was verified, as the table calls it.
        form: ``longhand`` or ``shorthand``.
        gradients: A ``Verdict`` for each named gradient, in the order in which they are made.
        notes: What else there is to say, a sentence each.
        ok: False as soon as one gradient is wrong.
    """

    target: str
    form: str
    gradients: tuple[Verdict, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return all(g.verdict != WRONG for g in self.gradients)

    def count(self, verdict: str) -> int:
        """How many gradients are ``exact``, ``close`` or ``wrong``."""
        return sum(g.verdict == verdict for g in self.gradients)

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints: target, form, ok and one entry per gradient."""
        return {
            "target": self.target,
            "form": self.form,
            "ok": self.ok,
            "gradients": [
                {
                    "name": g.name,
                    "of": g.of,
                    "shape": list(g.shape),
                    "verdict": g.verdict,
                    # JSON knows no NaN and no infinity: null where there is no difference to tell
                    "maxdiff": g.result.maxdiff if math.isfinite(g.result.maxdiff) else None,
                    "ulp": g.result.ulp,
                    "why": g.why,
                }
                for g in self.gradients
            ],
        }

    def __str__(self) -> str:
        from .table import report_text

        return report_text(self)


class Observer(TorchFunctionMode):
    """Collects the gradients of named intermediates while the user's function runs."""

    def __init__(self, wanted: Mapping[CallKey, tuple[str, ...]], names: set[str]) -> None:
        super().__init__()
        self.wanted = wanted
        self.names = names
        self.counter = CallCounter()
        self.truth: dict[str, torch.Tensor] = {}
        self.seen: set[str] = set()

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        key = self.counter.key(func, sys._getframe(1))
        out = func(*args, **(kwargs or {}))
        names = self.wanted.get(key)
        if names is not None:
            tensors = [t for t in pytree.tree_leaves(out) if isinstance(t, torch.Tensor)]
            for name, tensor in zip(names, tensors, strict=False):
                if name in self.names and tensor.requires_grad:
                    self.seen.add(name)
                    tensor.register_hook(self._keeper(name))  # type: ignore[no-untyped-call]
        return out

    def _keeper(self, name: str) -> Callable[[torch.Tensor], None]:
        def keep(gradient: torch.Tensor | None) -> None:
            if gradient is None:
                return  # a part of a split that no gradient reaches
            self.truth[name] = gradient.detach()

        return keep


@dataclass(frozen=True)
class Truth:
    """What autograd says: outputs, gradients by value name (``None``: not reached), upstreams."""

    outputs: tuple[torch.Tensor, ...]
    gradients: Mapping[str, torch.Tensor | None]
    upstream: Mapping[str, torch.Tensor]


def autograd_truth(
    captured: Captured,
    values: Sequence[Any],
    upstream_of: Sequence[str],
    wrt: set[str],
    names: set[str],
    upstream: Sequence[torch.Tensor] | None,
    seed: int,
) -> Truth:
    """Run the user's function under autograd and collect the gradients of ``names``."""
    leaves = captured.arguments.dynamic()
    fresh: list[Any] = []
    for leaf, value in zip(leaves, values, strict=True):
        if isinstance(value, torch.Tensor):
            value = value.detach().clone(memory_format=torch.preserve_format)
            if leaf.name in wrt:
                value.requires_grad_()
        fresh.append(value)
    observer = Observer(captured.call_values, names)
    before = [v.detach().clone() if isinstance(v, torch.Tensor) else v for v in fresh]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        with observer:
            result = captured.arguments.call(fresh)
    for leaf, old, new in zip(leaves, before, fresh, strict=True):
        if leaf.kind == "tensor" and not _same(old, new):
            raise InputError(f"the forward pass changes its input {leaf.name} in place")
    outputs = tuple(t for t in pytree.tree_leaves(result) if isinstance(t, torch.Tensor))
    named = [v.name for v in captured.program.outputs]
    # One upstream per distinct output: an output returned twice gets the sum of both.
    chosen: dict[str, torch.Tensor] = {}
    roots: list[torch.Tensor] = []
    cotangents: list[torch.Tensor] = []
    generator = torch.Generator().manual_seed(seed + 1)
    for name, out in zip(named, outputs, strict=True):
        if name not in upstream_of or name in chosen or not out.requires_grad:
            continue
        if upstream is not None:
            chosen[name] = upstream[list(upstream_of).index(name)]
        elif out.dim() == 0 and len(upstream_of) == 1:
            chosen[name] = torch.ones_like(out)
        else:
            noise = torch.randn(out.shape, generator=generator, dtype=torch.float64)
            chosen[name] = noise.to(device=out.device, dtype=out.dtype)
        roots.append(out)
        cotangents.append(chosen[name])
    gradients: dict[str, torch.Tensor | None] = dict.fromkeys(names)
    if roots:
        try:
            torch.autograd.backward(roots, cotangents)
        except RuntimeError as error:
            raise InputError(
                f"autograd itself cannot differentiate this function: {str(error).splitlines()[0]}"
            ) from None
    gradients.update(observer.truth)
    for leaf, value in zip(leaves, fresh, strict=True):
        if leaf.name in wrt:
            gradients[leaf.name] = value.grad
    for name in upstream_of:
        if name not in chosen:
            index = named.index(name)
            chosen[name] = torch.zeros_like(outputs[index])
    known = observer.seen | wrt
    return Truth(outputs, {k: v for k, v in gradients.items() if k in known}, chosen)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(torch.nan_to_num(a.detach()), torch.nan_to_num(b.detach()))
    return bool(a == b)


def run_lines(lines: Sequence[Line | str], namespace: dict[str, Any]) -> None:
    """Run printed statements, one after the other."""
    for line in lines:
        exec(line if isinstance(line, str) else line.text, namespace)


def run_locally(
    listing: Listing,
    derived: Backward,
    namespace: dict[str, Any],
    truth: Mapping[str, torch.Tensor | None],
    names: Sequence[str],
) -> dict[str, torch.Tensor]:
    """Run the backward pass with every finished gradient replaced by autograd's before it is used.

    ``names`` are the forward values whose gradients are named. Returns what each line computed by
    itself from true upstreams.
    """
    finished: dict[str, list[str]] = {}
    for of in names:
        if of in derived.gradients:
            finished.setdefault(derived.gradients[of], []).append(of)
    out: dict[str, torch.Tensor] = {}
    run_lines(listing.preamble, namespace)
    for line in listing.lines:
        exec(line.text, namespace)
        for value in line.assigns:
            label = printed_name(value)
            for of in finished.get(value.name, ()):
                out[of] = namespace[label]
                true = truth.get(of)
                if true is not None and true.shape == namespace[label].shape:
                    namespace[label] = true
    return out


def verify(
    target: str,
    captured: Captured,
    derived: Backward,
    exact: Listing,
    plain: Listing,
    forward: Callable[[], dict[str, Any]],
    truth: Truth,
    names: Sequence[str],
    form: str = "longhand",
) -> Report:
    """Judge every gradient in ``names`` (forward values, in the order of the table).

    ``forward`` runs the forward program and gives a fresh namespace of its named values; it must
    draw the same random numbers each time.
    """
    labels = derived.gradients
    printed = {v.name: printed_name(v) for v in derived.program.values()}
    free = forward()
    with torch.no_grad():
        run_lines([*exact.preamble, *exact.lines], free)
        local = run_locally(exact, derived, forward(), truth.gradients, names)
        plain_local = run_locally(plain, derived, forward(), truth.gradients, names)
    changed = _spelled_differently(exact, plain, {printed.get(labels.get(of, "")) for of in names})
    through = coarsest_of(v.dtype for v in captured.program.values())
    rows: list[Verdict] = []
    for of in names:
        if of not in truth.gradients:
            continue
        true = truth.gradients[of]
        label = printed.get(labels.get(of, ""), f"d{of}")
        value = free.get(label) if of in labels else None
        result = compare(value, true, through)
        if value is None and true is None:
            continue
        alone = compare(local[of], true, through) if of in local else None
        in_plain = (
            compare(plain_local[of], true, through)
            if of in plain_local and label in changed
            else None
        )
        shape = tuple(true.shape) if true is not None else ()
        rows.append(
            Verdict(label, of, shape, result, alone, in_plain, _why(result, alone, in_plain))
        )
    return Report(target, form, tuple(rows))


def _spelled_differently(
    exact: Listing, plain: Listing, judged: Collection[str | None]
) -> set[str]:
    """Which of the ``judged`` printed names have different statements in the two spellings."""

    def by_target(listing: Listing) -> dict[str, list[str]]:
        out: dict[str, list[str]] = {}
        pending: list[str] = []
        for line in listing.lines:
            pending.append(line.text)
            if any(target in judged for target in line.targets):
                for target in line.targets:
                    out.setdefault(target, []).extend(pending)
                pending = []
        return out

    a, b = by_target(exact), by_target(plain)
    return {name for name in b if a.get(name) != b[name]}


def _why(result: Comparison, local: Comparison | None, plain: Comparison | None) -> str:
    if result.verdict == WRONG:
        return result.why or "differs by more than rounding"
    parts = []
    if result.verdict == CLOSE:
        if local is not None and local.verdict == EXACT:
            parts.append("exact by itself: the rounding comes in with its upstream")
        else:
            parts.append("rounding arises in this line")
    if result.why:
        parts.append(result.why)
    if not result.discriminates and result.verdict == EXACT and not result.why:
        parts.append("zero everywhere: these inputs could not show a wrong gradient")
    if plain is not None and plain.verdict == CLOSE:
        parts.append(
            f"as printed (plain spelling) {plain.maxdiff:.1e} off: torch's own kernel rounds "
            "differently"
        )
    elif plain is not None and plain.verdict == WRONG:
        parts.append("as printed (plain spelling): differs by more than rounding")
    return "; ".join(parts)
