"""Long statements are broken into lines that say the same."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backhand.emit.layout import broken

NAMES = st.sampled_from(["s", "x", "n", "dx", "rowloss_exp", "dblocks_0_attention_weight", "probs"])
NUMBERS = st.sampled_from(["1", "2", "0.5", "9.765625e-5", "-1"])
SIGNS = st.sampled_from(["+", "-", "*", "/", "@", "%", "<", ">=", "==", "&", "|"])


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    some = st.lists(inner, min_size=1, max_size=4).map(", ".join)
    operators = st.lists(st.tuples(SIGNS, inner), min_size=1, max_size=4)
    return st.one_of(
        st.tuples(inner, operators).map(
            lambda t: "(" + t[0] + "".join(f" {sign} {x}" for sign, x in t[1]) + ")"
        ),
        st.tuples(NAMES, operators).map(
            lambda t: t[0] + "".join(f" {sign} ({x})" for sign, x in t[1])
        ).map(lambda text: f"({text})"),
        some.map("torch.where({})".format),
        st.tuples(inner, some).map(lambda t: f"({t[0]}).scatter_add({t[1]})"),
        st.tuples(NAMES, some).map(lambda t: f"{t[0]}[{t[1]}]"),
    )


EXPRESSIONS = st.recursive(NAMES | NUMBERS, compound, max_leaves=30)


def bare(text: str) -> str:
    """Without the outermost brackets, as statements are printed."""
    try:
        ast.parse(text[1:-1], mode="eval")
    except SyntaxError:
        return text
    return text[1:-1] if text.startswith("(") else text


@given(
    EXPRESSIONS, st.sampled_from([100, 60, 30]), st.sampled_from(["dx = ", "return ", "a, b = "])
)
def test_what_is_broken_says_the_same(expression: str, width: int, start: str) -> None:
    text = start + bare(expression)
    lines = broken(text, width, "  # [n]")
    together = "\n".join(lines).removesuffix("  # [n]")
    whole = "def f():\n" + "\n".join(f"    {line}" for line in together.splitlines())
    assert ast.dump(ast.parse(whole)) == ast.dump(ast.parse(f"def f():\n    {text}"))
    assert lines[-1].endswith("  # [n]")


@pytest.mark.parametrize("name", ["s", "2", "dloss"])
def test_a_short_first_factor_is_no_operator(name: str) -> None:
    product = " * ".join([name, *["rowloss_exp.unsqueeze(1)"] * 4])
    text = f"dx = {product} - ({product}) / 10"
    assert ast.dump(ast.parse("\n".join(broken(text, 80)))) == ast.dump(ast.parse(text))
