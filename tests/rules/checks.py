"""What is checked about a rule: each check takes a rule and gives back what it found.

The checks are functions so that wrong rules, planted on purpose, can be put through the same ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

import backhand
from backhand.checking.compare import CLOSE, WRONG, compare
from backhand.errors import CaptureError, InputError, ProgramError, UnsupportedError
from backhand.program.ops import get_op
from backhand.program.reference import evaluate
from backhand.rules import Rule, Sample
from tests.helpers import checked

from .front import function_of
from .machinery import Call, Finding, Refused, Truth, judge, run, shaped
from .values import SPECIAL, chosen, generator, normal, tensors_in


@dataclass
class Outcome:
    """What a check saw: how many gradients it compared, and everything that was not exact."""

    compared: int = 0
    findings: list[Finding] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)

    def of(self, verdict: str) -> list[Finding]:
        return [f for f in self.findings if f.verdict == verdict]

    def text(self, verdict: str) -> str:
        found = self.of(verdict)
        return "\n".join(map(str, found[:4])) + (f"\n… {len(found)} in all" if found[4:] else "")


@lru_cache(maxsize=64)
def _calls(rule_id: int, rule: _Held) -> tuple[Call, ...]:
    return tuple(_of_samples(rule.rule))


@dataclass(frozen=True)
class _Held:
    """A rule that can be a key of a cache: two rules are the same only if they are one object."""

    rule: Rule

    def __hash__(self) -> int:
        return id(self.rule)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.rule is self.rule


def calls(rule: Rule) -> tuple[Call, ...]:
    """The calls of all samples in float64; several outputs also one at a time."""
    return _calls(id(rule), _Held(rule))


def _of_samples(rule: Rule) -> Iterator[Call]:
    for i in range(len(rule.samples)):
        call = Call.of(rule, i)
        yield call
        try:
            outputs = call.truth.with_upstream
        except Refused:
            continue
        for k in outputs if len(outputs) > 1 else ():
            yield call.with_picked([k])


def _compare(outcome: Outcome, call: Call, spelling: str = "exact") -> None:
    """Compare the gradients of one call; torch's refusals and ours are noted."""
    try:
        truth = call.truth
    except Refused as refusal:
        outcome.refused.append(str(refusal))
        return
    try:
        derived = call.derived
        gradients = derived.gradients(derived.exact if spelling == "exact" else derived.plain)
    except UnsupportedError as error:
        outcome.unsupported.append(f"{call.label}: {error.message}")
        return
    except InputError:
        gradients = {}  # nothing depends on the inputs: right only if autograd agrees
    outcome.compared += len(truth.gradients)
    outcome.findings += judge(call.label, gradients, truth.gradients)


def gradient(rule: Rule) -> Outcome:
    """Every sample in float64, against autograd."""
    outcome = Outcome()
    for call in calls(rule):
        _compare(outcome, call)
    return outcome


def plain(rule: Rule) -> Outcome:
    """The plain spelling of every sample."""
    outcome = Outcome()
    for call in calls(rule):
        _compare(outcome, call, "plain")
    return outcome


def dtypes(rule: Rule) -> Outcome:
    """Every sample in float32 and bfloat16."""
    outcome = Outcome()
    for i, dtype in itertools.product(range(len(rule.samples)), (torch.float32, torch.bfloat16)):
        _compare(outcome, Call.of(rule, i, dtype))
    return outcome


BROADCAST = (
    ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 3), ()), ((1, 1), (2, 3)),
    ((2, 1, 4), (3, 1)), ((1,), ()), ((0, 1), (1, 3)), ((1,), (0,)),
)  # fmt: skip


# The kernel wants its operands at one rank: the caller has broadcast them.
NOT_BROADCAST = frozenset({"prelu"})


def broadcast(rule: Rule) -> Outcome:
    """Two operands of an elementwise operator at shapes that broadcast."""
    outcome = Outcome()
    if get_op(rule.op).kind != "elementwise" or rule.op in NOT_BROADCAST:
        return outcome
    for i, sample in enumerate(rule.samples):
        count = len(_tensors(sample))
        if count < 2:
            continue
        for shapes in BROADCAST:
            for turn in range(count):
                todo = itertools.cycle((*shapes, shapes[0])[turn : turn + 2])
                changed = shaped(sample, lambda _, todo=todo: next(todo))
                _compare(outcome, Call.of(rule, i, sample=changed, note=f"shapes {shapes}"))
        break
    return outcome


# Torch's kernel ends the process on an empty size.
TORCH_CRASHES = frozenset({"attention", "native_batch_norm", "pdist"})


def empty(rule: Rule) -> Outcome:
    """Every size that occurs set to zero; for elementwise operators and reductions 0-d as well."""
    outcome = Outcome()
    for i, sample in enumerate(rule.samples if rule.op not in TORCH_CRASHES else ()):
        sizes = sorted({d for t in _tensors(sample) for d in t.shape})
        for size in sizes:

            def without(shape: tuple[int, ...], size: int = size) -> tuple[int, ...]:
                return tuple(0 if d == size else d for d in shape)

            changed = shaped(sample, without)
            _compare(outcome, Call.of(rule, i, sample=changed, note=f"size {size} as 0"))
        if get_op(rule.op).kind in ("elementwise", "reduction"):
            _compare(outcome, Call.of(rule, i, sample=shaped(sample, lambda _: ()), note="0-d"))
    return outcome


def special(rule: Rule) -> Outcome:
    """Signed zeros, infinities, NaN, large numbers and the rule's own values, bit for bit."""
    outcome = Outcome()
    kind = get_op(rule.op).kind
    if kind not in ("elementwise", "reduction", "contraction", "composite"):
        return outcome
    values = tuple(dict.fromkeys((*map(repr, SPECIAL), *map(repr, rule.special))))
    numbers = tuple(map(float, values))
    for i, sample in enumerate(rule.samples):
        for note, call in _special_calls(rule, i, sample, numbers, kind):
            del note
            _compare(outcome, call)
    return outcome


def _special_calls(
    rule: Rule, i: int, sample: Sample, numbers: tuple[float, ...], kind: str
) -> Iterator[tuple[str, Call]]:
    tensors = _tensors(sample)
    moving = [k for k, t in enumerate(tensors) if t.kind not in ("bool", "index")]
    if kind == "elementwise" and len({t.shape for t in tensors}) == 1 and len(moving) <= 3:
        # every combination of special values at once
        axes = [torch.tensor(numbers, dtype=torch.float64)] * max(len(moving), 1)
        grid = torch.cartesian_prod(*axes) if len(axes) > 1 else axes[0].unsqueeze(1)
        values = {k: grid[:, n].clone() for n, k in enumerate(moving)}
        changed = shaped(sample, lambda _: (len(grid),))
        yield "grid", Call.of(rule, i, sample=changed, values=values, note="special values")
        return
    for seed in range(4):
        rng = generator(rule.op, i, seed)
        values = {}
        for k in moving:
            mixed = normal(tensors[k].shape, rng)
            here = torch.rand(tensors[k].shape, generator=rng) < (0.2, 0.5, 1.0, 0.1)[seed]
            values[k] = torch.where(here, chosen(tensors[k].shape, numbers, rng), mixed)
        yield "mixed", Call.of(rule, i, values=values, note=f"special values, draw {seed}")


def _tensors(sample: Sample) -> list[Any]:
    return [t for a in (*sample.args, *sample.kwargs.values()) for t in tensors_in(a)]


def _rough(call: Call, sample: Sample) -> bool:
    """Whether the sample sits on kinks on purpose."""
    return any(t.kind in ("ties", "special") for t in _tensors(sample))


STEP = 1e-5


def differences(rule: Rule) -> Outcome:
    """Central differences along a random direction, with the same random upstream."""
    outcome = Outcome()
    for i, sample in enumerate(rule.samples):
        call = Call.of(rule, i)
        if _rough(call, sample):
            continue
        try:
            call.truth  # noqa: B018
        except Refused as refusal:
            outcome.refused.append(str(refusal))
            continue
        try:
            gradients = call.derived.gradients(call.derived.exact)
        except UnsupportedError as error:
            outcome.unsupported.append(f"{call.label}: {error.message}")
            continue
        rng = generator(call.label, "direction")
        for at, leaf in enumerate(call.leaves):
            g = gradients.get(leaf.name)
            if not leaf.grad or leaf.value.numel() == 0:
                continue
            if g is not None and g.shape != leaf.value.shape:
                text = f"shape {list(g.shape)} where the operand has {list(leaf.value.shape)}"
                outcome.findings.append(Finding(call.label, leaf.name, WRONG, text))
                continue
            direction = normal(tuple(leaf.value.shape), rng)
            up, down = (_weighted(call, at, s * STEP * direction) for s in (1, -1))
            by_difference = (up - down) / (2 * STEP)
            by_rule = 0.0 if g is None else float((g * direction).sum())
            outcome.compared += 1
            scale = 1 + abs(by_difference) + abs(up)
            if not math.isclose(by_rule, by_difference, rel_tol=0, abs_tol=1e-6 * scale):
                text = f"{by_rule!r} along a random direction, differences say {by_difference!r}"
                outcome.findings.append(Finding(call.label, leaf.name, WRONG, text))
    return outcome


def _weighted(call: Call, at: int, shift: torch.Tensor) -> float:
    values = call.values
    values[at] = values[at] + shift
    outputs = call.run(values)
    picked = [outputs[k] for k in call.truth.with_upstream]
    # what is infinite here (filled so on purpose) stays so
    return sum(
        float((u.detach() * out.nan_to_num(posinf=0.0, neginf=0.0)).sum())
        for u, out in zip(call.truth.upstream, picked, strict=True)
    )


def second(rule: Rule) -> Outcome:
    """The plain backward program differentiated again, against autograd's double backward."""
    outcome = Outcome()
    for i, sample in enumerate(rule.samples):
        call = Call.of(rule, i)
        if _rough(call, sample):
            continue
        try:
            truth, again = _double_backward(call)
        except Refused as refusal:
            outcome.refused.append(str(refusal))
            continue
        try:
            ours = _our_double_backward(call, again)
        except UnsupportedError as error:
            outcome.unsupported.append(f"{call.label}: {error.message}")
            continue
        except InputError:
            ours = {}
        outcome.compared += len(truth)
        for name, expected in truth.items():
            value = ours.get(name)
            verdict = compare(value, expected).verdict
            if verdict != "exact":
                outcome.findings += judge(f"second order of {call.label}", ours, {name: expected})
    return outcome


def _double_backward(call: Call) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Autograd's second gradients by name, and the upstreams of the first ones."""
    first = Truth(call, create_graph=True)
    firsts = {n: g for n, g in first.gradients.items() if g is not None and g.requires_grad}
    if not firsts:
        raise Refused("the gradient depends on nothing")
    rng = generator(call.label, "second")
    again = {n: normal(tuple(g.shape), rng) for n, g in firsts.items()}
    asked = {call.leaves[i].name: first.inputs[i] for i in first.asked}
    asked |= {f"upstream {k}": u for k, u in enumerate(first.upstream)}
    try:
        found = torch.autograd.grad(
            list(firsts.values()), list(asked.values()), list(again.values()), allow_unused=True
        )
    except (RuntimeError, NotImplementedError) as error:
        raise Refused(str(error)) from error
    return dict(zip(asked, found, strict=True)), again


def _our_double_backward(call: Call, again: dict[str, torch.Tensor]) -> dict[str, Any]:
    derived = call.derived
    twice, program, _ = derived.second()
    space = derived.environment()
    run(program, space)
    of = {derived.plain.gradients[n]: u for n, u in again.items() if n in derived.plain.gradients}
    for value, name in zip(twice.upstream, twice.upstream_of, strict=True):
        space[value.name] = of[name] if name in of else torch.zeros(value.shape).double()
    run(twice.program, space)
    names = {n: n for n in derived.wrt}
    names |= {
        f"upstream {[o.name for o in derived.program.outputs].index(o)}": v.name
        for v, o in zip(derived.exact.upstream, derived.exact.upstream_of, strict=True)
    }
    return {
        shown: space[twice.gradients[name]] if name in twice.gradients else None
        for shown, name in names.items()
    }


def captured(rule: Rule) -> Outcome:
    """Every sample through the front door: captured, derived, printed, and the printed text run.

    The first sample keeps its sizes symbolic.
    """
    outcome = Outcome()
    for i in range(len(rule.samples)):
        call = Call.of(rule, i)
        try:
            truth = call.truth
        except Refused as refusal:
            outcome.refused.append(str(refusal))
            continue

        forward = function_of(call.op, call.filled, truth.with_upstream)
        wrt = [f"tensors_{k}" for k in truth.asked]
        try:
            bp = backhand.derive(forward, *call.values, wrt=wrt, symbolic=i == 0)
        except (UnsupportedError, CaptureError) as error:
            outcome.unsupported.append(f"{call.label}: {error.message}")
            continue
        if i == 0:
            checked(bp, bindings=1)
        of = [o.name for o in bp.program.outputs]
        if bp.scalar:  # a loss: its upstream is 1
            truth = Truth(call, ones=True)
            _, gradients = bp(*call.values)
        else:
            names = bp.derived("exact").upstream_of
            ups = tuple(truth.upstream[of.index(name)].detach() for name in names)
            _, gradients = bp(*call.values, upstream=ups)
        named = {call.leaves[k].name: gradients.get(f"tensors_{k}") for k in truth.asked}
        outcome.compared += len(named)
        outcome.findings += judge(f"captured: {call.label}", named, truth.gradients)
    return outcome


# How far NumPy's numbers may be from torch's, relative to the largest: other orders of summation.
NUMPY = 1e-11


def reference(rule: Rule) -> Outcome:
    """Forward and backward of every sample in NumPy: the program means what torch makes of it."""
    outcome = Outcome()
    for call in calls(rule):
        try:
            derived = call.derived
        except (Refused, UnsupportedError) as error:
            outcome.refused.append(str(error))
            continue
        for program in (derived.program, derived.exact.program, derived.plain.program):
            space = derived.environment()
            run(program, space)
            # some of torch's zeros have no memory, and are converted only where that is asked for
            tensors = {n: v for n, v in space.items() if isinstance(v, torch.Tensor)}
            given = {n: v.numpy(force=True) for n, v in tensors.items()}
            try:
                found = evaluate(program, given)
            except ProgramError as error:
                outcome.unsupported.append(f"{call.label}: {error}")
                continue
            for node in program.nodes():
                for out in node.outs:
                    if out.dtype == "none":
                        continue
                    outcome.compared += 1
                    problem = _far(found[out.name], space[out.name].numpy(force=True))
                    if problem:
                        label = f"{call.label}, {node.op} in NumPy"
                        outcome.findings.append(Finding(label, out.name, WRONG, problem))
    return outcome


def _far(found: Any, truth: Any) -> str:
    """What is wrong with NumPy's array, if anything is."""
    if found.dtype != truth.dtype or found.shape != truth.shape:
        return f"{found.dtype}{found.shape} where torch has {truth.dtype}{truth.shape}"
    if truth.size == 0 or truth.dtype.kind != "f":
        same = np.array_equal(found, truth)
        return "" if same else f"{found.tolist()} where torch has {truth.tolist()}"
    scale = np.abs(truth[np.isfinite(truth)]).max(initial=0.0)
    rounding = NUMPY if truth.dtype == np.float64 else 1e-5
    if np.allclose(found, truth, rtol=rounding, atol=rounding * scale, equal_nan=True):
        return ""
    return f"{found.tolist()} where torch has {truth.tolist()}"


CHECKS: dict[str, Callable[[Rule], Outcome]] = {
    "gradient": gradient,
    "plain": plain,
    "differences": differences,
    "broadcast": broadcast,
    "special": special,
    "empty": empty,
    "dtypes": dtypes,
    "second": second,
    "reference": reference,
    "captured": captured,
}

__all__ = ["CHECKS", "CLOSE", "WRONG", "Outcome", "calls"]
