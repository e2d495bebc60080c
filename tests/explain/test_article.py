"""The article's explanations: all 26 gradients, its two gaps closed, its code run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import backhand
from backhand.cli.explain import FORMATS as command_line_formats
from backhand.errors import InputError
from backhand.explain import Explanations
from backhand.explain.blocks import Code, Equation, Matrix, Proof, Readers, Strip
from backhand.explain.explanations import FORMATS
from tests.explain.formulas import blocks_in, check_formula, formulas
from tests.explain.test_operators import check_text
from tests.kept import kept

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import article


@pytest.fixture(scope="module")
def bp() -> backhand.Backprop:
    return backhand.derive(article.forward, *article.example_inputs(32, 64))


@pytest.fixture(scope="module")
def found(bp: backhand.Backprop) -> Explanations:
    return bp.explain()


def test_the_golden_text(found: Explanations) -> None:
    text = found.text()
    assert text == kept("explain_article.txt", text), "see docs/onboarding.md on golden files"


def test_every_gradient_is_explained_and_every_formula_is_one(found: Explanations) -> None:
    assert len({e.name for e in found}) == 27  # the article's 26, and dloss
    for item in found:
        for tex in formulas(item):
            check_formula(tex)
    for form in ("markdown", "latex", "html", "notebook"):
        check_text(form, found.to(form))


def test_the_shown_lines_are_the_backward_pass(bp: backhand.Backprop, found: Explanations) -> None:
    """Run in the order of the explanations, they give autograd's gradients."""
    inputs = article.example_inputs(8, 5)
    space: dict[str, Any] = bp.namespace(list(inputs), 0)
    space["n"] = 8
    space["dloss"] = torch.ones(())
    for item in found:
        for block in item.blocks:
            for inner in getattr(block, "blocks", ()):
                if isinstance(inner, Code) and inner.role == "backward":
                    first = block.title[0].text
                    if first.startswith("The line"):
                        exec(inner.text, space)
    leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in inputs]
    article.forward(*leaves).backward()
    names = article.forward.__code__.co_varnames[: len(leaves)]
    checked = 0
    for name, leaf in zip(names, leaves, strict=True):
        if leaf.grad is not None:
            torch.testing.assert_close(space[f"d{name}"], leaf.grad)
            checked += 1
    assert checked == 7


def test_view_is_one_strip_of_memory_with_two_rulers(found: Explanations) -> None:
    blocks = list(blocks_in(found["demb"]))
    (strip,) = [b for b in blocks if isinstance(b, Strip)]
    assert (strip.above.name, strip.below.name) == ("emb", "embcat")
    assert strip.above.marks[:3] == ("0,0,0", "0,0,1", "0,1,0")
    assert strip.below.marks[:3] == ("0,0", "0,1", "0,2")
    assert "demb[i, j, k] = dembcat[i, 10·j + k]" in found.text()


def test_gather_adds_up_repeats_in_three_versions(found: Explanations) -> None:
    blocks = list(blocks_in(found["dC"]))
    codes = [b.text for b in blocks if isinstance(b, Code) and b.role == "example"]
    columns = [
        [row[0] for row in b.parts[1].cells]
        for b in blocks
        if isinstance(b, Equation) and b.parts[0] in (r"\mathrm{dC} =", r"\mathrm{demb} =")
        and isinstance(b.parts[1], Matrix)
    ]  # fmt: skip
    assert columns == [list("1234"), list("4103"), list("6103"), list("6103")]
    assert [c for c in codes if "+=" in c] == codes[:2] and "index_add_" in codes[2]
    (readers,) = [b for b in blocks if isinstance(b, Readers)]
    assert any(len(row.readers) == 2 for row in readers.rows)
    assert any(row.readers == () and row.total == "0" for row in readers.rows)


@pytest.mark.parametrize("name", ["dlogits", "dhprebn"])
def test_closed_forms_come_with_their_proof(found: Explanations, name: str) -> None:
    (proof,) = [b for b in blocks_in(found[name]) if isinstance(b, Proof)]
    assert len(proof.lines) >= 3 and proof.lemmas and proof.statement.startswith(name)


def test_broadcasts_say_why_keepdim(found: Explanations) -> None:
    one = Explanations("", (found["dbngain"],)).text(200)
    assert ".sum(0, keepdim=True)" in one and "instead of [1, 64]" in one
    assert "A broadcast forward is a sum backward" in one
    other = " ".join(Explanations("", (found["db2"],)).text(200).split())
    assert ".sum(0)" in other and "no such axis" in other


def test_numbers_and_single_names(bp: backhand.Backprop) -> None:
    plain, numbers = bp.explain("counts_sum"), bp.explain("dcounts_sum", numbers=True)
    assert [e.name for e in numbers] == ["dcounts_sum"] == [e.name for e in plain]
    assert "With numbers" in str(numbers) and "With numbers" not in str(plain)
    assert "<math" in numbers._repr_html_() and "$$" in numbers._repr_markdown_()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dconts", "did you mean dcounts"),
        ("Xb", "Xb has no gradient"),
        ("nothing_like_it", "there are dloss"),
    ],
)
def test_unknown_names(bp: backhand.Backprop, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        bp.explain(name)


def test_another_format_is_refused(found: Explanations) -> None:
    with pytest.raises(InputError, match="no format 'pdf': there are text, markdown, latex, html"):
        found.to("pdf")
    assert command_line_formats == FORMATS


def test_the_notebook_is_valid(found: Explanations) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.reads(found.notebook(), as_version=4))
