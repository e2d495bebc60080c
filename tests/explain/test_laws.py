"""The algebra's laws as formulas."""

from __future__ import annotations

import pytest

from backhand.algebra.laws import LAWS
from backhand.explain.laws import statement_tex
from backhand.explain.notation import parse
from backhand.explain.plain import plain

SHOWN = {
    "sum_of_constant": "∑ᵢ a = n·a",
    "delta_picks": "∑ᵢ δ(i, j)·aᵢ = aⱼ",
    "merge_powers": "a^p·a^q = a^(p + q)",
    "log_of_product": "ln(a^p·b^q) = p·ln a + q·ln b",
    "sum_of_sum": "∑ᵢ ∑ⱼ aᵢⱼ = ∑ᵢⱼ aᵢⱼ",
    "unfold_value": "v = a·b, so that v^q = (a·b)^q",
}


@pytest.mark.parametrize("name", LAWS)
def test_every_law_is_a_formula(name: str) -> None:
    tex = statement_tex(LAWS[name])
    assert parse(tex)
    assert "^(" not in tex
    assert name not in SHOWN or plain(tex) == SHOWN[name]
