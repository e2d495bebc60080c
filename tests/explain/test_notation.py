"""Formulas as text, as TeX and as MathML; names and texts that try to be something else."""

from __future__ import annotations

import pytest
import torch

import backhand
from backhand.errors import ProgramError
from backhand.explain.blocks import Code, Explanation, Table, code, math, para, spans
from backhand.explain.explanations import Explanations
from backhand.explain.mathml import mathml
from backhand.explain.notation import parse, texname, to_tex, words
from backhand.explain.plain import plain
from tests.explain.formulas import check_formula


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        ("x_{11} + 2 y^2", "x₁₁ + 2y²"),
        (r"\mathrm{counts\_sum}_{i,j}", "counts_sum[i, j]"),
        (r"\sum_{i : \sigma(i) = j} \mathrm{dy}_{i}", "∑_(i : σ(i) = j) dy[i]"),
        (r"\frac{1}{n - 1}", "1/(n − 1)"),
        (r"-\frac{a + b}{c}", "−(a + b)/c"),
        (r"\sqrt{2\pi}\,e^{y^2/2}", "√(2π)·e^(y²/2)"),
        (r"A^{-\top} g", "A⁻ᵀ·g"),
        (r"\delta_{ij} - e^{y_j}", "δᵢⱼ − e^(yⱼ)"),
        (r"[x \ge min]", "[x ≥ min]"),
        (r"\frac{\partial y}{\partial x}", "∂y/∂x"),
    ],
)
def test_in_unicode(tex: str, text: str) -> None:
    assert plain(tex) == text
    check_formula(tex)


@pytest.mark.parametrize("tex", ["{a", r"\unknown", "^2", r"\frac{a}", "a}"])
def test_what_is_not_understood_is_an_error(tex: str) -> None:
    with pytest.raises(ProgramError):
        parse(tex)


@pytest.mark.parametrize("name", ["größe", "变量", "a_b_c", "x1", "σ"])
def test_names_in_any_script(name: str) -> None:
    tex = texname(name)
    assert plain(tex) == name
    assert to_tex(parse(tex)) in (tex, rf"\{'sigma'}")
    assert name in mathml(tex)


def test_nothing_gets_out_of_a_text() -> None:
    bad = '</script><img src=x onerror=alert(1)>`$\\end{x}&"'
    table = Table((spans(bad),), ((spans(code(bad)),),))
    blocks = (para(bad, code(bad), math(words(bad))), Code(bad), table)
    item = Explanation(bad, bad, bad, bad, blocks)
    page = Explanations(bad, (item,)).html()
    assert "<img" not in page and "</script" not in page and "<script" not in page
    assert "&lt;img src=x" in page


def test_a_source_line_cannot_become_markup() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        y = x * len("</pre><b>`$x$|")
        return y.sum()

    found = backhand.derive(forward, torch.randn(3)).explain()
    assert "<b>" not in found.html() and "&lt;b&gt;" in found.html()
    assert "`` " not in found.text()
