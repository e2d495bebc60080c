"""The table of saved values: its rows and totals are those of the cost, its readers are right."""

from __future__ import annotations

import re
from html import unescape

import pytest
import torch

import backhand
from backhand import Backprop
from backhand.program.cost import amount
from backhand.report.saved import saved


def table(bp: Backprop, *forms: str, linked: frozenset[str] = frozenset()) -> str:
    return saved({f: (bp.forward_of(f), bp.form(f).program) for f in forms}, linked)


def rows(html: str) -> dict[str, list[str]]:
    """The text of each row's cells by the text of its head."""
    found = {}
    for row in re.findall(r"<tr>(.*?)</tr>", html):
        head, *cells = re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)
        found[text(head)] = [text(cell) for cell in cells]
    return found


def text(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.fixture(scope="module")
def bp() -> Backprop:
    def forward(x, W, b, y):
        n = x.shape[0]
        flat = x.view(n, -1)
        z = flat @ W + b
        p = z.softmax(1)
        picked = p.log()[range(n), y]
        loss = -picked.mean()
        return loss

    y = torch.randint(0, 5, (7,))
    return backhand.derive(forward, torch.randn(7, 2, 3), torch.randn(6, 5), torch.randn(5), y)


def test_the_totals_are_those_of_the_cost(bp: Backprop) -> None:
    found = rows(table(bp, "longhand", "shorthand"))
    costs = [amount(bp.cost(form).bytes_saved, "B") for form in ("longhand", "shorthand")]
    assert found["in all"] == costs
    made = {name for name in found if name in ("z", "p", "picked")}
    assert made == {"p"}  # only the softmax is read again
    assert found["without inputs"] == [amount(4 * 7 * 5, "B")] * 2
    assert found["p"][:3] == ["[n, 5]", "float32", "140 B"]


def test_who_reads_a_value_and_through_which_view(bp: Backprop) -> None:
    found = rows(table(bp, "longhand", "shorthand"))
    assert found["x"][3:] == ["dW (as flat)", "dW (as flat)"]
    assert found["W"][3:] == ["dflat", "dflat"]
    assert found["y"][3:] == ["dp", "dz"]
    assert found["p"][3:] == ["dp, dz", "dz"]


def test_names_are_links_only_where_there_is_an_explanation(bp: Backprop) -> None:
    html = table(bp, "longhand", linked=frozenset({"dz"}))
    assert re.findall(r'href="(.*?)"', html) == ["#bh-dz"]


def test_memory_without_a_name_is_called_by_its_views() -> None:
    def forward(x, w):
        q, k = (x @ w).split(2, dim=1)
        y = (q * k).sum()
        return y

    bp = backhand.derive(forward, torch.randn(3, 5), torch.randn(5, 4))
    assert "the memory of k, q" in rows(table(bp, "longhand"))


def test_nothing_kept_is_said() -> None:
    def forward(x):
        y = x + x
        return y

    assert "keeps nothing" in table(backhand.derive(forward, torch.randn(3)), "longhand")

