"""The page as text: whole by itself, every line linked, and honest about what went wrong."""

from __future__ import annotations

import base64
import functools
import hashlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

import backhand
from backhand.errors import InputError
from backhand.explain.html import anchor
from backhand.report import Page
from tests.report.conftest import article
from tests.report.planted import plant_verdicts


class Reader(HTMLParser):
    """The tags of a page with their attributes, and its text by the id that it stands under."""

    VOID = frozenset({"meta", "img", "br", "link", "wbr", "hr"})
    APART = frozenset({"td", "th", "p", "li", "div", "pre", "h2", "h3", "h4"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.script = ""
        self._open: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in self.VOID:
            self._open.append((tag, found.get("id") or ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.APART:
            self.handle_data(" ")
        assert self._open.pop()[0] == tag, f"</{tag}> where another element is open"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "script":
            self.script += data
        for _, place in self._open:
            if place:
                self.text[place] = self.text.get(place, "") + data

    def values(self, attribute: str) -> list[str]:
        return [found[attribute] or "" for _, found in self.tags if attribute in found]


@pytest.fixture(scope="module")
def seen(article_report: Page) -> Reader:
    return Reader(article_report.html)


def test_it_is_one_file_that_fetches_nothing(article_report: Page, seen: Reader) -> None:
    assert len(article_report.html.encode()) < 3_000_000
    kinds = [tag for tag, _ in seen.tags]
    assert not {"link", "iframe", "object", "base", "form"} & set(kinds)
    assert all(value.startswith("data:image/png;base64,") for value in seen.values("src"))
    ids = seen.values("id")
    assert len(ids) == len(set(ids))
    assert all(value[0] == "#" and value[1:] in ids for value in seen.values("href"))


def test_the_policy_is_first_and_allows_one_script(seen: Reader) -> None:
    head = [tag for tag, _ in seen.tags].index("head")
    tag, found = seen.tags[head + 1]
    assert (tag, found["http-equiv"]) == ("meta", "Content-Security-Policy")
    policy = dict(part.strip().partition(" ")[::2] for part in str(found["content"]).split(";"))
    assert policy["default-src"] == "'none'"
    digest = base64.b64encode(hashlib.sha256(seen.script.encode()).digest()).decode()
    assert policy["script-src"] == f"'sha256-{digest}'"
    assert [tag for tag, _ in seen.tags].count("script") == 1
    assert not [name for _, found in seen.tags for name in found if name.startswith("on")]


def test_every_line_leads_to_its_gradient(seen: Reader) -> None:
    program = backhand.derive(article.forward, *article.example_inputs(8, 4)).captured.program
    named = {v.var for v in program.values() if v.var is not None and v.floating}
    ids = set(seen.values("id"))
    links = seen.values("href")
    for name in named:
        place = anchor(f"d{name}")
        assert {place, f"line-{place}"} <= ids
        # in the navigation, the table and both passes; and back to the code
        assert links.count(f"#{place}") >= 4 and f"#line-{place}" in links
    assert len(named) == 27


def test_what_one_looks_for_first_is_at_the_top(seen: Reader) -> None:
    short = " ".join(seen.text["short"].split())
    assert "Yes, all 27" in short and "bit for bit" in short
    assert "dlogits, dhprebn" in short
    assert "statements 30 13 0.43" in short and "bytes saved 52.2 kB 39.8 kB 0.76" in short


def test_three_questions_are_answered(seen: Reader) -> None:
    gain = " ".join(seen.text[anchor("dbngain")].split())
    assert "bngain [1, 64] is stretched" in gain or "stretched" in gain
    logits = seen.text[anchor("dlogits")]
    assert "read by 2 statements" in logits and "dnorm_logits" in logits
    letters = " ".join(seen.text[anchor("dC")].split())
    assert "that is read several times gets the sum of all its readers' gradients" in letters


def test_a_closed_form_stands_beside_its_longhand(seen: Reader) -> None:
    found = seen.text[f"closed-{anchor('dlogits')}"]
    before, after = found.split("Closed form")
    assert all(f"d{name} = " in before for name in ("logprobs", "probs", "counts", "norm_logits"))
    assert "dlogits = (probs - torch.nn.functional.one_hot(Yb" in after
    assert "passes over large tensors" in after and "The forward pass guarantees" in after


def small(x: torch.Tensor, w: torch.Tensor, empty: torch.Tensor, k: torch.Tensor, s: float) -> Any:
    """Two outputs, so none of them is a loss."""
    y = x[k] * w
    total = empty.sum() + y.sum() * s
    return y, total


def test_odd_tensors_have_a_page_too() -> None:
    x = torch.tensor([[1.0, float("nan")], [float("inf"), 4.0]])
    w, k = torch.tensor(2.0), torch.tensor([1, 0, 1])
    page = backhand.derive(small, x, w, torch.ones(0, 3), k, 0.5).report()
    seen = Reader(page.html)
    assert page.ok and "given, [3, 2]" in seen.text["code"]
    assert "None worth having" in seen.text["short"] and "shorthand" not in seen.text
    assert "empty" in seen.text[anchor("dempty")] and "a scalar" in seen.text[anchor("dw")]
    assert "NaN" in seen.text[anchor("dx")]
    assert "# [3] int64" in " ".join(seen.text["code"].split()) and anchor("dk") not in seen.text


def test_the_first_paragraph_of_the_docstring_is_the_lead() -> None:
    class Undocumented(torch.nn.Linear):
        pass

    def forward(x: torch.Tensor, k: int) -> torch.Tensor:
        """What it is.

        More of it.
        """
        return (x**k).sum()

    x = torch.ones(2, 3)
    assert 'class="about"' not in backhand.derive(Undocumented(3, 1), x).report().html
    found = backhand.derive(functools.partial(forward, k=2), x).report().html
    assert '<p class="about">What it is.</p>' in found and "More of it" not in found


def test_what_cannot_be_compared_is_said_to_be_so() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return (x * x).sum()

    page = backhand.derive(forward, torch.ones(3, 2, device="meta")).report()
    assert page.summary.startswith("not compared with autograd: x is on the meta device")
    seen = Reader(page.html)
    assert "Not compared" in seen.text["short"] and "meta device" in seen.text["short"]
    assert "unchecked: not compared with autograd" in seen.text[anchor("dx")]
    assert "img" not in {tag for tag, _ in seen.tags}


def test_a_wrong_gradient_is_the_first_thing_one_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_verdicts(monkeypatch)

    def forward(x: torch.Tensor) -> torch.Tensor:
        y = x.exp()
        return (y * y).sum()

    page = backhand.derive(forward, torch.ones(3, 2)).report()
    assert not page.ok and "1 WRONG" in page.summary
    seen = Reader(page.html)
    short = " ".join(seen.text["short"].split())
    assert "No: 1 of 3 is wrong dy: differs by more than rounding" in short
    mine = " ".join(seen.text[anchor("dy")].split())
    assert "wrong: not what autograd computes; at most 5.0e-01 off, 9 ulp" in mine
    assert "autograd's dy" in mine and "dy - autograd's" in mine
    assert "close: autograd's but for rounding" in " ".join(seen.text[anchor("dx")].split())


def test_python_refuses_to_overwrite(tmp_path: Path) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return (x * x).sum()

    bp = backhand.derive(forward, torch.ones(3))
    path = tmp_path / "page.html"
    page = bp.report(path)
    assert path.read_text("utf-8") == page.html == str(page)
    with pytest.raises(InputError, match=r"page\.html exists"):
        bp.report(path)
    bp.report(path, force=True)
    assert repr(page) == "<backhand report: 2 gradients: 2 exact; write it with .write(path)>"
