"""Wrong rules, wrong formulas and faults in the walk, put through the checks of the right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch

from backhand.errors import ProgramError
from backhand.longhand import walk
from backhand.program.build import op
from backhand.program.reference import references
from backhand.rules import PLAIN, RULES, Rule

from .checks import CHECKS, CLOSE, WRONG, Outcome
from .known import DIFFERS, NOT_EXACT, UNSUPPORTED
from .planted import BROKEN, FORMULAS, PLANTED, REFERENCES, REFUSED, Planted

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, about legal calls


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def verdicts(check: str, rule: Rule) -> set[str]:
    """What a check holds against a rule; nothing is what the rule is meant to get."""
    try:
        outcome: Outcome = CHECKS[check](rule)
    except (ProgramError, AssertionError, RuntimeError):
        return {BROKEN}
    found = {f.verdict for f in outcome.findings}
    return found | ({REFUSED} if outcome.unsupported else set())


@cache
def right(check: str, name: str) -> frozenset[str]:
    """What the check holds against the rule as it is."""
    return frozenset(verdicts(check, RULES[name]))


IDS = [f"{p.op}-{p.name}" for p in PLANTED]


@pytest.mark.parametrize("wrong", PLANTED, ids=IDS)
def test_a_wrong_rule_is_caught(wrong: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    # the right rule passes all of these checks, so that what is held against this one is its fault
    for check in (*wrong.caught, *wrong.missed):
        assert (wrong.op, check) not in DIFFERS.keys() | NOT_EXACT.keys() | UNSUPPORTED.keys()
        assert not right(check, wrong.op) - _rounding(check), check
    rule = replace(RULES[wrong.op], vjp=wrong.vjp)
    monkeypatch.setitem(RULES, wrong.op, rule)
    for check in wrong.caught:
        found = verdicts(check, rule)
        assert wrong.verdict in found, f"{check} does not see it"
        # caught by its gradients, not because it does not even run
        assert found <= {wrong.verdict, CLOSE}, f"{check} finds more: {found}"
    for check in wrong.missed:
        assert not verdicts(check, rule) - {CLOSE}, f"{check} sees it: move it to those that do"


def _rounding(check: str) -> set[str]:
    """Right rules may round in other places where a kernel is written out or summed by NumPy."""
    return {CLOSE} if check in ("plain", "second", "dtypes", "differences") else set()


@pytest.mark.parametrize(("kernel", "formula", "user"), FORMULAS, ids=[f[0] for f in FORMULAS])
def test_a_wrong_formula_is_caught(kernel, formula, user, monkeypatch) -> None:
    for check in ("plain", "second"):
        assert not right(check, user) - {CLOSE}
    monkeypatch.setitem(PLAIN, kernel, formula)
    rule = replace(RULES[user])  # a rule of its own: calls are kept by rule
    for check in ("plain", "second"):
        assert WRONG in verdicts(check, rule)
    assert not verdicts("gradient", rule)  # the exact spelling does not use the formula


@pytest.mark.parametrize(("name", "mistake", "user"), REFERENCES, ids=[r[0] for r in REFERENCES])
def test_a_wrong_numpy_function_is_caught(name, mistake, user, monkeypatch) -> None:
    assert not right("reference", user)
    monkeypatch.setitem(references(), name, mistake)
    assert WRONG in verdicts("reference", replace(RULES[user]))


def test_every_check_catches_something() -> None:
    by_rules = {check for wrong in PLANTED for check in wrong.caught}
    assert by_rules | {"plain", "reference"} == CHECKS.keys()


def test_there_are_enough_of_them() -> None:
    kinds = {wrong.kind for wrong in PLANTED}
    assert len(PLANTED) >= 50
    assert len(kinds) >= 12, sorted(kinds)
    assert len({(wrong.op, wrong.name) for wrong in PLANTED}) == len(PLANTED)


# The walk.


def _not_reduced(g, shape):
    return g


def _reduced_from_the_front(g, shape):
    """Sizes compared from the first axis on, as if shapes were aligned at the left."""
    extra = g.rank - len(shape)
    return op.sum(g, tuple(range(len(shape), g.rank))) if extra > 0 else g


def _without_keepdim(g, shape):
    leading = g.rank - len(shape)
    ones = [leading + i for i, d in enumerate(shape) if d == 1 and g.shape[leading + i] != 1]
    summed = (*range(max(leading, 0)), *ones)
    return op.sum(g, summed) if summed else g


def _averaged(g, shape):
    found = walk_reduce_to(g, shape)
    return found if g.shape == shape else found / 2


walk_reduce_to = walk.reduce_to


def _patched_add(change: Callable[..., None]) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(walk._Walk, "_add", change)


_add = walk._Walk._add


def _overwrite(self, operand, gradient):
    self.grads.pop(operand.name, None)
    _add(self, operand, gradient)


def _first_use_only(self, operand, gradient):
    if operand.name not in self.grads:
        _add(self, operand, gradient)


def _uncast(self, operand, gradient):
    """Without the cast to the operand's dtype."""
    _add(self, replace(operand, dtype=gradient.dtype), gradient)


def _later_use_first(self, operand, gradient):
    """The running sum on the right of a third use: added up in another order."""
    uses = self.__dict__.setdefault("held", {}).setdefault(operand.name, [])
    uses.append(gradient)
    self.grads.pop(operand.name, None)
    for use in reversed(uses):
        _add(self, operand, use)


def _patched(name: str, value: object) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(walk, name, value, raising=False)


def _first_output_only(patch: pytest.MonkeyPatch) -> None:
    node = walk._Walk._node

    def only_first_output(self, made, step):
        for out in made.outs[1:]:
            self.grads.pop(out.name, None)
        node(self, made, step)

    patch.setattr(walk._Walk, "_node", only_first_output)


# The fault: the rule and the check that see it, how to plant it, and what the check says.
WALKS: dict[str, tuple[str, str, Callable[[pytest.MonkeyPatch], None], str]] = {
    "no de-broadcast": ("mul", "broadcast", _patched("reduce_to", _not_reduced), WRONG),
    "aligned at the left": (
        "add",
        "gradient",
        _patched("reduce_to", _reduced_from_the_front),
        WRONG,
    ),
    "keepdim forgotten": ("mul", "gradient", _patched("reduce_to", _without_keepdim), WRONG),
    "mean for sum": ("expand", "differences", _patched("reduce_to", _averaged), WRONG),
    "last use overwrites": ("mul", "second", _patched_add(_overwrite), WRONG),
    "later uses dropped": ("mul", "second", _patched_add(_first_use_only), WRONG),
    "dtype lost": ("to", "gradient", _patched_add(_uncast), WRONG),
    "first output only": ("split", "gradient", _first_output_only, WRONG),
    "first step first": ("sin", "second", _patched("reversed", list), WRONG),
    "first use first": ("atan2", "second", _patched_add(_later_use_first), CLOSE),
}


@pytest.mark.parametrize("fault", WALKS)
def test_a_fault_in_the_walk_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, check, plant, verdict = WALKS[fault]
    assert not right(check, name)
    plant(monkeypatch)
    found = verdicts(check, replace(RULES[name]))
    assert verdict in found, f"{check} of {name} finds {found or 'nothing'}"
