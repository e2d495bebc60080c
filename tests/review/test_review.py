"""Verdicts, what is inherited, what is missing, hints, text and JSON."""

from __future__ import annotations

import builtins
import json

import pytest
import torch

from backhand.review import Gradient, Review, review
from backhand.review.catalogue import CATALOGUE
from backhand.review.intact import Intact

from .handmade import handmade
from .networks import NETWORKS


def judged(network: str, *changes: tuple[str, str], only: set[str] | None = None) -> Review:
    known = NETWORKS[network]
    text = known.text
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return review(handmade(known.forward, text, known.inputs), only=only)


def by_name(outcome: Review, name: str) -> Gradient:
    return next(g for g in outcome.gradients if g.name == name and g.last)


def test_only_the_line_that_is_wrong_itself_is_blamed() -> None:
    outcome = judged("article", ("dbnraw = bngain * dhpreact", "dbnraw = -bngain * dhpreact"))
    wrong = [g for g in outcome.gradients if not g.ok]
    assert wrong[0].name == "dbnraw"
    assert all(g.verdict.startswith("inherits from ") and not g.causes for g in wrong[1:])
    assert {g.local_verdict for g in wrong[1:]} <= {"exact", "close"}
    assert by_name(outcome, "dbnvar_inv").verdict == "inherits from dbnraw"
    assert by_name(outcome, "dh").ok


def test_a_gradient_that_is_half_there_is_partial() -> None:
    outcome = judged("attention", ("dq @ Wq.T + dk @ Wk.T + dv @ Wv.T", "dq @ Wq.T"))
    assert by_name(outcome, "dy").verdict == "partial (1 of 3 uses)"


def test_a_sign_shows_where_the_gradient_is_zero_anyway() -> None:
    """Softmax ignores a shift, so this gradient is zero whatever its sign: noise tells."""
    outcome = judged("article", ("= -dnorm_logits.sum", "= dnorm_logits.sum"))
    gradient = by_name(outcome, "dlogit_maxes")
    assert gradient.verdict == "wrong"
    assert [c.code for c in gradient.causes] == ["sign"]
    assert gradient.causes[0].fix == "dlogit_maxes = -dnorm_logits.sum(1, keepdim=True)"


def test_a_bug_of_the_size_of_rounding_is_none_the_less_one() -> None:
    line = "dhpreact = (1 - h**2) * dh"
    small = judged("article", (line, f"{line} * (1 + 1e-6)"))
    assert by_name(small, "dhpreact").verdict == "wrong"
    assert by_name(judged("article"), "dhpreact").verdict == "close"


def test_close_says_that_it_is_rounding_and_what_is_exact() -> None:
    why = by_name(judged("article"), "dhpreact").why
    assert "rounding only" in why
    assert "ulp off" in why
    assert "tanh_backward" in why


def test_gradients_that_are_asked_for_and_not_there_are_missing() -> None:
    outcome = judged("cell", ("dWo = r.T @ dy\n", ""), only={"dWo", "db"})
    assert [(g.name, g.verdict) for g in outcome.gradients] == [("db", "close"), ("dWo", "missing")]
    assert not outcome.ok
    blank = judged("cell", ("dWo = r.T @ dy", "dWo = ..."))
    assert by_name(blank, "dWo").verdict == "missing"


def test_an_earlier_attempt_is_judged_and_the_last_one_counts() -> None:
    line = "db2 = dlogits.sum(0)"
    outcome = judged("article", (line, f"db2 = dlogits.sum(1)\n{line}"))
    assert outcome.ok
    attempts = [g for g in outcome.gradients if g.name == "db2"]
    assert [(g.verdict, g.last) for g in attempts] == [("wrong shape", False), ("exact", True)]


def test_two_lines_that_make_up_for_one_another_are_blamed_on_the_first() -> None:
    outcome = judged(
        "article",
        ("dbnraw = bngain * dhpreact", "dbnraw = -bngain * dhpreact"),
        ("dbnvar_inv = (bndiff", "dbnvar_inv = -(bndiff"),
    )
    assert by_name(outcome, "dbnraw").verdict == "wrong"
    assert by_name(outcome, "dbnvar_inv").ok
    assert by_name(outcome, "dbnvar_inv").local_verdict == "wrong"


def test_a_gradient_of_something_that_does_not_exist_is_pointed_out() -> None:
    outcome = judged("article", ("db2 = dlogits.sum(0)", "db2 = dlogits.sum(0)\ndlogitz = db2"))
    assert any("did you mean dlogits?" in note for note in outcome.notes)


def test_a_line_that_fails_is_told_and_those_after_it_inherit() -> None:
    outcome = judged("article", ("dh = dlogits @ W2.T", "dh = dlogits @ W3.T"))
    assert [c.code for c in by_name(outcome, "dh").causes] == ["wrong-name"]
    assert by_name(outcome, "dhpreact").verdict == "inherits from dh"


def test_nothing_of_the_callers_is_changed() -> None:
    known = NETWORKS["article"]
    before = [v.clone() for v in known.inputs]
    state, dtype = torch.random.get_rng_state(), torch.get_default_dtype()
    judged("article", ("dh = dlogits @ W2.T", "dh = dlogits @ W2.T\nW2 *= 2\ntorch.rand(3)"))
    assert all(torch.equal(a, b) for a, b in zip(before, known.inputs, strict=True))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_default_dtype() is dtype


def test_hints_come_one_at_a_time() -> None:
    outcome = judged("article", ("db2 = dlogits.sum(0)", "db2 = dlogits.sum(1)"))
    gradient = by_name(outcome, "db2")
    where, idea, example, line = (gradient.hint(level) for level in (1, 2, 3, 4))
    assert where == f"Look at line {gradient.line}: db2 = dlogits.sum(1)"
    assert idea == CATALOGUE["wrong-axis"].idea
    assert example == CATALOGUE["wrong-axis"].example
    assert line.endswith("    db2 = dlogits.sum(0)")
    assert not any("sum(0)" in hint for hint in (where, idea))
    inherits = judged("article", ("dbnraw = bngain", "dbnraw = -bngain"))
    assert "mend that first" in by_name(inherits, "dbndiff").hint(4)


def test_the_text_has_the_line_a_squiggle_and_a_sentence() -> None:
    outcome = judged("article", ("db2 = dlogits.sum(0)", "db2 = dlogits.sum(1)"))
    lines = str(outcome).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("db2 = dlogits.sum(1)"))
    assert lines[at].endswith("wrong shape")
    assert lines[at + 1].strip(" ~") == ""
    assert lines[at + 1].index("~") == lines[at].index("dlogits")
    assert lines[at + 2].startswith("  ")
    assert "1 wrong: db2" in lines[-1]


def test_a_right_gradient_of_a_wrong_one_is_not_called_rounding_alone() -> None:
    """The second use of bndiff sums to nothing, and db1 is zero in real numbers."""
    outcome = judged("article", (" + 2 * bndiff * dbndiff2", ""))
    assert by_name(outcome, "dbndiff").verdict == "partial (1 of 2 uses)"
    cancels = "what is wrong in dbndiff cancels here, but for rounding"
    assert by_name(outcome, "dbnmeani").why == cancels
    assert by_name(outcome, "db1").why == "zero but for rounding, as autograd's own"
    assert "with what it reads" in by_name(outcome, "dbnraw").why


def test_json_is_the_contracts() -> None:
    outcome = judged("article", ("db2 = dlogits.sum(0)", "db2 = dlogits.sum(1)"))
    data = json.loads(json.dumps(outcome.as_json()))
    assert set(data) == {"file", "ok", "gradients"}
    assert data["ok"] is False
    entry = next(g for g in data["gradients"] if g["name"] == "db2")
    assert {"name", "line", "verdict", "local_verdict", "causes"} <= set(entry)
    assert set(entry["causes"][0]) == {"code", "message", "fix"}


def test_a_replaced_callable_hides_no_other_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    intact, original = Intact(), torch.equal
    monkeypatch.setattr(torch, "equal", lambda *a: True)
    monkeypatch.setattr(builtins, "callable", lambda value: False)
    assert sorted(intact.restore()) == ["builtins.callable", "torch.equal"]
    assert torch.equal is original and intact.restore() == []
