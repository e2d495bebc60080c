"""The registry of rules, audited; and the audits, tried on faulty registries."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import backhand
from backhand.rules import PLAIN, RULES, T, unruled
from backhand.rules.base import sample
from backhand.rules.matrix import support_matrix

from .audit import AUDITS, Registry, registered
from .spellings import FAMILIES


@pytest.mark.parametrize("audit", AUDITS)
def test_the_registry_passes(audit: str) -> None:
    found = list(AUDITS[audit](registered()))
    assert not found, "\n".join(found)


def test_enough_operators_have_a_rule() -> None:
    assert len(RULES) >= 110
    assert not list(unruled())
    assert [row.op for row in support_matrix()] == list(registered().table)


def _rule(name: str, **changes: object) -> Callable[[Registry], Registry]:
    """The registry with one rule changed."""

    def change(of: Registry) -> Registry:
        return replace(of, rules={**of.rules, name: replace(of.rules[name], **changes)})

    return change


def _without(field: str, name: str) -> Callable[[Registry], Registry]:
    """The registry without one entry."""

    def change(of: Registry) -> Registry:
        kept = {k: v for k, v in getattr(of, field).items() if k != name}
        return replace(of, **{field: kept})

    return change


def _with(field: str, name: str, entry: object) -> Callable[[Registry], Registry]:
    """The registry with one entry more, or another one in its place."""

    def change(of: Registry) -> Registry:
        return replace(of, **{field: {**getattr(of, field), name: entry}})

    return change


X, SAME = T((3, 4)), (sample(T((3, 4)), T((3, 4))),)
# (audit, what is wrong with the registry, what the audit has to say)
FAULTY: list[tuple[str, Callable[[Registry], Registry], str]] = [
    ("states", _without("rules", "tanh"), "tanh: it is nothing"),
    ("states", _without("reasons", "argmax"), "argmax: it is nothing"),
    ("states", _without("formulas", "silu_backward"), "silu_backward: it is nothing"),
    ("states", _without("kernels", "conv2d_input"), "conv2d_input: it is nothing"),
    ("states", _with("reasons", "mul", "it has no gradient"), "mul: it is a rule and no gradient"),
    ("states", _with("kernels", "tanh_backward", "has no rule"), "is a formula and a kernel"),
    ("states", _with("formulas", "exp", PLAIN["tanh_backward"]), "exp: of kind elementwise"),
    ("states", _with("kernels", "exp", "it has no rule"), "exp: of kind elementwise"),
    ("states", _with("reasons", "argmax", "because"), "argmax: 'because' is no reason"),
    ("states", _with("kernels", "conv2d_input", ""), "conv2d_input: '' is no reason"),
    ("states", _with("rules", "sinus", RULES["sin"]), "sinus: a rule, but not in the op table"),
    ("states", _with("rules", "sin", RULES["cos"]), "sin: the rule is for cos"),
    ("states", _with("rules", "eye", RULES["exp"]), "eye: a fresh tensor has no gradient"),
    ("samples", _rule("exp", samples=()), "exp: no samples"),
    ("samples", _rule("exp", samples=(sample(X, 1),)), "exp was given unknown arguments"),
    ("samples", _rule("mul", samples=(sample(X),)), "mul misses its argument 'other'"),
    ("samples", _rule("exp", samples=(sample(T((3,), "odd")),)), "no tensor is 'odd'"),
    ("samples", _rule("take", samples=(sample(X, T((5,), "index")),)), "take, sample 0: indices"),
    ("samples", _rule("exp", samples=(sample(2.0),)), "exp, sample 0: no tensor"),
    ("formulas", _rule("mul", tex={"x": "other"}), "mul: no formula for other"),
    ("formulas", _rule("exp", tex={"input": "y"}), "a formula for input, which is no argument"),
    ("formulas", _rule("softmax", tex={"x": "y", "dim": "0"}), "no sample asks for its gradient"),
    ("formulas", _rule("exp", tex={"x": " "}), "exp: the formula for x is not well formed"),
    ("formulas", _rule("exp", tex={"x": "e^{x"}), "exp: the formula for x is not well formed"),
    ("formulas", _rule("exp", tex={"x": "}e^x{"}), "exp: the formula for x is not well formed"),
    ("formulas", _rule("exp", samples=(sample(T((3,), grad=False)),)), "asks for a gradient"),
    ("statements", _rule("exp", exactness="roughly"), "exp: exactness 'roughly'"),
    ("statements", _rule("relu", domain=""), "relu: subgradient, but neither ties nor domain"),
    ("statements", _rule("max_dim", exactness="exact"), "max_dim: it has kinks"),
    ("statements", _rule("maximum", ties=""), "maximum: it does not say which"),
    ("statements", _rule("gather", ties=""), "gather: it does not say which"),
    ("statements", _rule("exp", special=("0",)), "exp: special values are floats"),
    ("statements", _without("rules", "topk"), "topk: expected to have a rule, and has none"),
    ("broadcasts", _rule("mul", samples=SAME), "mul: no sample broadcasts"),
    ("broadcasts", _rule("lerp", samples=(sample(X, X, X),)), "lerp: no sample broadcasts"),
    ("jumps", _rule("abs", exactness="exact"), "abs: at 0.0 the slope jumps from -1.0 to 1.0"),
    ("jumps", _rule("relu", special=(math.inf,)), "relu: the slope jumps at 0.0, which"),
]


IDS = [f"{audit}: {complaint}" for audit, _, complaint in FAULTY]


@pytest.mark.parametrize(("audit", "fault", "complaint"), FAULTY, ids=IDS)
def test_a_faulty_registry_is_caught(
    audit: str, fault: Callable[[Registry], Registry], complaint: str
) -> None:
    found = list(AUDITS[audit](fault(registered())))
    assert any(complaint in line for line in found), found
    # one fault, and nothing that it has no part in
    assert len({line.split(":")[0].split(",")[0] for line in found}) == 1, found


def test_every_audit_is_tried() -> None:
    assert {audit for audit, _, _ in FAULTY} == AUDITS.keys()


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_derived_from_ordinary_pytorch(name: str) -> None:
    family = FAMILIES[name]
    bp = backhand.derive(family.forward, *family.inputs, symbolic=False)
    captured = {node.op for node in bp.captured.program.nodes()}
    assert family.ops <= captured, f"not captured as such: {family.ops - captured}"
    report = bp.verify()
    assert report.ok, report
    reached = {g.of for g in report.gradients}
    assert {leaf.name for leaf in bp.leaves if leaf.value.is_floating_point()} <= reached
    # a gradient of zeros would agree with too many wrong ones
    upstream = None if bp.scalar else family.forward(*family.inputs)
    _, gradients = bp(*family.inputs, upstream=upstream)
    assert all(bool(g.abs().max() > 0) for g in gradients.values())
