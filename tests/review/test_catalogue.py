"""Every mistake of the catalogue, planted where it can occur, is named, and no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from backhand.review import review
from backhand.review.catalogue import CATALOGUE
from docs.build_causes import PAGE, blamed, example_text, examples, found

from .cases import CASES, OTHERS, Case
from .handmade import handmade
from .networks import NETWORKS


@pytest.mark.parametrize(
    "case", (*CASES, *OTHERS), ids=lambda c: f"{c.row}-{c.code}-{c.network}-{c.blamed}"
)
def test_the_mistake_is_named_and_no_other(case: Case) -> None:
    outcome = found(case)
    named = [(g.name, [c.code for c in g.causes]) for g in blamed(outcome)]
    assert named == [(case.blamed, [case.code])], str(outcome)
    assert outcome.ok == (case.code == "false-comment")
    if case in examples().values():
        cause = next(g.causes[0] for g in blamed(outcome))
        assert example_text(case, cause) in PAGE.read_text("utf-8")


def test_every_cause_has_an_example_and_every_row_a_case() -> None:
    assert set(CATALOGUE) == {*examples(), "ties"}
    rows = {case.row for case in CASES}
    # ties have inputs of their own, and 36 is no mistake
    assert rows == set(range(1, 36)) - {24}
    page = PAGE.read_text("utf-8")
    for entry in CATALOGUE.values():
        for said in (entry.title, entry.idea, entry.example):
            assert said in page, f"run python -m docs.build_causes: {entry.code}"


def _alike_columns(inputs: tuple[Any, ...], *columns: int) -> tuple[Any, ...]:
    """The inputs with the first column of some larger, and the second like it: maxima are tied."""
    out = [t.clone() for t in inputs]
    for i in columns:
        out[i][:, 0] = out[i][:, 1] = out[i][:, 0].abs() + 1
    return tuple(out)


TIED: dict[str, tuple[tuple[Any, ...], str, str]] = {
    # the network's inputs, the gradient that is another convention's, and one that follows from it
    "pooled": (
        (torch.tensor([[3.0, 3.0, 1.0], [2.0, 5.0, 4.0]]), torch.ones(3), torch.zeros(2, 1)),
        "dy",
        "dx",
    ),
    "cell": (_alike_columns(NETWORKS["cell"].inputs, 6), "dy", "dr"),
    "tokens": (_alike_columns(NETWORKS["tokens"].inputs, 5, 6), "dp", "dscores"),
}


@pytest.mark.parametrize("name", TIED)
def test_ties_are_a_convention(name: str) -> None:
    inputs, tied, follows = TIED[name]
    network = NETWORKS[name]
    outcome = review(handmade(network.forward, network.text, inputs))
    assert outcome.ok, str(outcome)
    said = {g.name: (g.verdict, [c.code for c in g.causes]) for g in outcome.gradients}
    assert said[tied] == ("close", ["ties"])
    assert all(not codes for of, (_, codes) in said.items() if of != tied)
    assert said[follows][0] in ("close", "exact")
    # what is wrong beside the ties is told all the same
    line = next(x for x in network.text.splitlines() if x.startswith(f"{tied} = "))
    broken = network.text.replace(line, line.replace("= ", "= 3 * (", 1) + ")")
    outcome = review(handmade(network.forward, broken, inputs))
    assert not outcome.ok
    assert [c.code for g in blamed(outcome) for c in g.causes if g.name == tied] != ["ties"]
