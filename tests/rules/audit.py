"""What the registry of rules must say about itself: audits that read it, each a list of complaints.

They are functions of a ``Registry``, so that faulty ones, made up on purpose, can be put through
the same audits as the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch

from backhand.errors import ProgramError
from backhand.program.invoke import invoke
from backhand.program.ops import Op, table
from backhand.rules import KERNELS, NONDIFFERENTIABLE, PLAIN, RULES, Rule
from backhand.rules.base import Exactness

from .values import _KINDS, SPECIAL, tensors_in


@dataclass(frozen=True)
class Registry:
    """The op table and everything that is registered about its operators."""

    table: Mapping[str, Op]
    rules: Mapping[str, Rule]
    reasons: Mapping[str, str]
    formulas: Mapping[str, Callable[..., Any]]
    kernels: Mapping[str, str]


def registered() -> Registry:
    """The real one."""
    return Registry(table(), RULES, NONDIFFERENTIABLE, PLAIN, KERNELS)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Operators with a kink or a jump, or that choose between elements: what happens there is stated.
KINKED = _words(
    """
    abs sign sgn floor ceil round trunc frac remainder fmod div_mode copysign frexp relu threshold
    elu celu leaky_relu prelu hardtanh hardsigmoid hardswish hardshrink softshrink clamp clamp_min
    clamp_max maximum minimum fmax fmin logit special_i0e std std_mean amax amin aminmax max min
    median nanmedian max_dim min_dim median_dim nanmedian_dim mode kthvalue cummax cummin sort topk
    vector_norm dist euclidean_dist pdist cdist_forward renorm max_pool2d_with_indices
    max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d
    fractional_max_pool3d multi_margin_loss multilabel_margin_loss_forward grid_sample bernoulli
    """
)
# Operators in which elements compete, or meet at one place: who gets the gradient is stated.
TIED = _words(
    """
    clamp clamp_min clamp_max maximum minimum fmax fmin amax amin aminmax max min median nanmedian
    max_dim min_dim median_dim nanmedian_dim mode kthvalue cummax cummin sort topk vector_norm
    max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d
    fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d index index_select gather
    take embedding index_put index_put_at index_copy scatter put
    """
)


def states(of: Registry) -> Iterator[str]:
    """Every operator is in exactly one state, and only gradient kernels do without a rule."""
    held = {
        "a rule": of.rules,
        "no gradient": of.reasons,
        "a formula": of.formulas,
        "a kernel": of.kernels,
    }
    for name, op in of.table.items():
        found = [state for state, names in held.items() if name in names]
        if len(found) != 1:
            yield f"{name}: it is {' and '.join(found) or 'nothing'}, not one of {', '.join(held)}"
        if op.kind != "gradient" and {"a formula", "a kernel"} & set(found):
            yield f"{name}: of kind {op.kind}, it needs a rule or a reason for having no gradient"
        if op.kind == "creation" and name in of.rules:
            yield f"{name}: a fresh tensor has no gradient"
    for state, names in held.items():
        yield from (f"{name}: {state}, but not in the op table" for name in names.keys() - of.table)
    for name, reason in (*of.reasons.items(), *of.kernels.items()):
        if len(reason.split()) < 3:
            yield f"{name}: {reason!r} is no reason"
    yield from (f"{key}: the rule is for {r.op}" for key, r in of.rules.items() if r.op != key)


def samples(of: Registry) -> Iterator[str]:
    """Every rule has samples: calls that fit the signature, of tensors that can be made."""
    for name, rule in of.rules.items():
        if not rule.samples:
            yield f"{name}: no samples"
        for i, one in enumerate(rule.samples):
            try:
                of.table[name].bind(one.args, one.kwargs)
            except ProgramError as error:
                yield f"{name}, sample {i}: {error}"
            found = [t for a in (*one.args, *one.kwargs.values()) for t in tensors_in(a)]
            for t in found:
                if t.kind not in {*_KINDS, "bool", "index", "special"}:
                    yield f"{name}, sample {i}: no tensor is {t.kind!r}"
                if t.kind == "index" and t.high < 1:
                    yield f"{name}, sample {i}: indices below {t.high}"
            if not found:
                yield f"{name}, sample {i}: no tensor"


# Torch has no gradient for them at all; their rules say so.
UNDIFFERENTIATED = frozenset({"floor_divide", "heaviside"})


def formulas(of: Registry) -> Iterator[str]:
    """``tex`` gives a formula for each argument that has a gradient, and for nothing else."""
    for name, rule in of.rules.items():
        able = differentiable(of, rule)
        if not able and name not in UNDIFFERENTIATED:
            yield f"{name}: no sample asks for a gradient"
        for argument in sorted(able - rule.tex.keys()):
            yield f"{name}: no formula for {argument}"
        for argument, formula in rule.tex.items():
            if argument not in {p.name for p in of.table[name].params}:
                yield f"{name}: a formula for {argument}, which is no argument"
            elif argument not in able:
                yield f"{name}: a formula for {argument}, but no sample asks for its gradient"
            if not formula.strip() or not _balanced(formula):
                yield f"{name}: the formula for {argument} is not well formed: {formula!r}"


def differentiable(of: Registry, rule: Rule) -> set[str]:
    """The arguments whose gradient some sample asks for."""
    found: set[str] = set()
    for one in rule.samples:
        try:
            bound = of.table[rule.op].bind(one.args, one.kwargs)
        except ProgramError:
            continue
        for param, arg in zip(of.table[rule.op].params, bound, strict=True):
            if any(t.grad and t.kind not in ("bool", "index") for t in tensors_in(arg)):
                found.add(param.name)
    return found


def _balanced(formula: str) -> bool:
    depth = 0
    for ch in formula.replace("\\{", "").replace("\\}", ""):
        depth += (ch == "{") - (ch == "}")
        if depth < 0:
            return False
    return depth == 0


def statements(of: Registry) -> Iterator[str]:
    """What a rule says about kinks, ties and special values is there and is well formed."""
    for name, rule in of.rules.items():
        if rule.exactness not in get_args(Exactness):
            yield f"{name}: exactness {rule.exactness!r}"
        if rule.exactness != "exact" and not (rule.ties or rule.domain):
            yield f"{name}: {rule.exactness}, but neither ties nor domain say what happens there"
        if not all(isinstance(value, float) for value in rule.special):
            yield f"{name}: special values are floats, not {rule.special}"
    for name in KINKED & of.rules.keys():
        if of.rules[name].exactness == "exact":
            yield f"{name}: it has kinks, so it is not exact"
    for name in TIED & of.rules.keys():
        if not of.rules[name].ties:
            yield f"{name}: it does not say which of several elements gets the gradient"
    for name in (KINKED | TIED) - of.rules.keys():
        yield f"{name}: expected to have a rule, and has none"


def broadcasts(of: Registry) -> Iterator[str]:
    """Of an elementwise operator with several operands, a sample broadcasts them."""
    for name, rule in of.rules.items():
        shapes = [
            {t.shape for a in (*one.args, *one.kwargs.values()) for t in tensors_in(a) if t.grad}
            for one in rule.samples
        ]
        several = len(differentiable(of, rule)) > 1
        if of.table[name].kind == "elementwise" and several and max(map(len, shapes)) < 2:
            yield f"{name}: no sample broadcasts one operand against another"


STEP = 1e-7
POLE = 1e5  # what is steeper than this beside a point has a pole there, not a jump


def jumps(of: Registry) -> Iterator[str]:
    """Where autograd's gradient of an elementwise function jumps, the rule says that it does.

    Looked for at the special values of all rules and of this one; a jump is to be among its own.
    """
    for name, rule in of.rules.items():
        call = _of_one_tensor(of, rule)
        if call is None:
            continue
        values = dict.fromkeys(v + 0.0 for v in (*SPECIAL, *rule.special) if abs(v) < 1e6)
        for value, (below, above) in zip(values, _slopes(call, list(values)), strict=True):
            if not abs(below) < POLE or not abs(above) < POLE or abs(below - above) < 1e-3:
                continue
            if rule.exactness == "exact":
                yield f"{name}: at {value} the slope jumps from {below} to {above}: not exact"
            if value not in rule.special:
                yield f"{name}: the slope jumps at {value}, which is not among its special values"


def _of_one_tensor(of: Registry, rule: Rule) -> Callable[[torch.Tensor], Any] | None:
    """The operator as a function of its only tensor, other arguments as in the first sample."""
    op, one = of.table[rule.op], rule.samples[0]
    if op.kind != "elementwise" or differentiable(of, rule) != {"x"}:
        return None
    bound = op.bind(one.args, one.kwargs)
    if sum(len(list(tensors_in(a))) for a in bound) != 1:
        return None
    place = op.index("x")
    return lambda x: invoke(op, (*bound[:place], x, *bound[place + 1 :]))


def _slopes(call: Callable[[torch.Tensor], Any], values: list[float]) -> list[list[float]]:
    """Autograd's gradient just below each value and just above it."""
    points = torch.tensor([[v - STEP, v + STEP] for v in values], dtype=torch.float64)
    # each is the first of two in a row: some operators halve an axis, or take a triangle of two
    x = points[..., None, None].expand(-1, -1, 1, 2).clone().requires_grad_()
    result = call(x)
    first = result[0] if isinstance(result, tuple) else result
    (slopes,) = torch.autograd.grad(first.sum(), x)
    # torch may give a zero without storage
    found: list[list[float]] = (slopes[..., 0, 0] + torch.zeros(2)).tolist()
    return found


AUDITS: dict[str, Callable[[Registry], Iterator[str]]] = {
    "states": states,
    "samples": samples,
    "formulas": formulas,
    "statements": statements,
    "broadcasts": broadcasts,
    "jumps": jumps,
}

__all__ = ["AUDITS", "Registry", "registered"]
