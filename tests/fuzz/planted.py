"""Wrong rules, a wrong walk and wrong in-place updates, planted for the fuzzer to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from backhand.capture import alias
from backhand.longhand import walk
from backhand.program.build import op
from backhand.rules import NONDIFFERENTIABLE, RULES, Context, index
from backhand.rules.base import Gradients

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Planted:
    """A fault, and how many statements the smallest program that shows it may have."""

    plant: Plant
    statements: int


def _wrong(name: str, change: Callable[[Context, Gradients], Gradients]) -> Plant:
    """The rule of an operator with its gradients changed."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        right = RULES[name]
        patch.setitem(RULES, name, replace(right, vjp=lambda c: change(c, right.vjp(c))))

    return plant


def _negated(c: Context, found: Gradients) -> Gradients:
    return {name: None if g is None else -g for name, g in found.items()}


def _first_only(c: Context, found: Gradients) -> Gradients:
    return dict(list(found.items())[:1])


def _doubled(c: Context, found: Gradients) -> Gradients:
    return {name: None if g is None else g * 2 for name, g in found.items()}


def _swapped(c: Context, found: Gradients) -> Gradients:
    return {"x": found.get("other"), "other": found.get("x")}


def _along_the_first_axis(c: Context, found: Gradients) -> Gradients:
    return {"x": c.y * (c.g - op.sum(c.g * c.y, 0, keepdim=True))}


def _last_use_wins(patch: pytest.MonkeyPatch) -> None:
    add = walk._Walk._add

    def forgetful(self: walk._Walk, operand: object, gradient: object) -> None:
        self.grads.pop(operand.name, None)  # type: ignore[attr-defined]
        add(self, operand, gradient)  # type: ignore[arg-type]

    patch.setattr(walk._Walk, "_add", forgetful)


def _not_summed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(walk, "reduce_to", lambda g, shape: g)


def _written_once(patch: pytest.MonkeyPatch) -> None:
    right = index.put_at
    patch.setattr(index, "put_at", lambda x, at, values, accumulate: right(x, at, values, False))


def _view_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(alias, "inverse_of_view", lambda *_: lambda parent, new: parent)


def _detach_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.delitem(NONDIFFERENTIABLE, "stop_gradient")
    patch.setitem(RULES, "stop_gradient", replace(RULES["clone"], op="stop_gradient"))


PLANTED: dict[str, Planted] = {
    "the sign of a product": Planted(_wrong("mul", _negated), 1),
    "the second operand of a sum forgotten": Planted(_wrong("add", _first_only), 1),
    "a sum counted twice": Planted(_wrong("sum", _doubled), 1),
    "the sign of exp": Planted(_wrong("exp", _negated), 1),
    "a matrix product's second operand forgotten": Planted(_wrong("matmul", _first_only), 1),
    "only the last use of a value counts": Planted(_last_use_wins, 1),
    "broadcasts not undone": Planted(_not_summed, 1),
    "softmax summed along the wrong axis": Planted(_wrong("softmax", _along_the_first_axis), 1),
    "an element read twice gets one gradient": Planted(_written_once, 1),
    "an update through a view is lost": Planted(_view_forgotten, 2),
    "detach lets the gradient through": Planted(_detach_forgotten, 2),
    "the branches of where swapped": Planted(_wrong("where", _swapped), 2),
}
