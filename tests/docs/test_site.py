"""The documentation as a site: built strictly, whole, and in need of nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from filelock import FileLock
from playwright.sync_api import Browser, Page, expect

from tests.browser import visit
from tests.docs.blocks import ROOT

GRADIENTS = [
    *("dlogprobs", "dprobs", "dcounts_sum_inv", "dcounts_sum", "dcounts", "dnorm_logits"),
    *("dlogit_maxes", "dlogits", "dh", "dW2", "db2", "dhpreact", "dbngain", "dbnbias", "dbnraw"),
    *("dbnvar_inv", "dbnvar", "dbndiff2", "dbndiff", "dbnmeani", "dhprebn", "dembcat", "dW1"),
    *("db1", "demb", "dC"),
]
# What a browser fetches of itself; a link is followed by the reader.
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
LATEX = re.compile(r"\\[a-zA-Z(\[]|\$[^$\n]+\$|arithmatex")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once, also where several processes run the tests."""
    here = tmp_path_factory.getbasetemp()
    shared = here.parent if "PYTEST_XDIST_WORKER" in os.environ else here
    folder = shared / "documentation"
    with FileLock(shared / "documentation.lock"):
        if not folder.exists():
            build(shared / "unfinished").rename(folder)
    return folder


def build(folder: Path) -> Path:
    """Build it as ``make docs`` does."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Seen(HTMLParser):
    """What a page has: ids, links, what it loads, and the text that a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.skipping = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.skipping += tag in ("code", "script", "style")
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get(LOADS.get(tag, "")):
            self.loads.append(given[LOADS[tag]])

    def handle_endtag(self, tag: str) -> None:
        self.skipping -= tag in ("code", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self.skipping:
            self.words.append(data)


@cache
def seen(path: Path) -> Seen:
    return Seen(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pages(site: Path) -> list[Path]:
    # the page for addresses that there are not is the one thing made for a server
    return [p for p in sorted(site.rglob("*.html")) if p.name != "404.html"]


def test_every_gradient_has_its_page(site: Path) -> None:
    there = {p.stem for p in (site / "article" / "gradients").glob("*.html")}
    assert there == set(GRADIENTS) and len(GRADIENTS) == 26
    for name in GRADIENTS:
        text = (site / "article" / "gradients" / f"{name}.html").read_text("utf-8")
        assert "<math" in text and "The line" in text and "By hand" in text
        assert "Against autograd the derived line is" in text
    retold = seen(site / "article" / "exercise-1.html").links
    assert {f"gradients/{name}.html" for name in GRADIENTS} <= set(retold)


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: list[Path]) -> None:
    for page in pages:
        for address in seen(page).loads:
            assert not urlsplit(address).netloc, f"{page} loads {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text("utf-8"))


def test_links_lead_somewhere(pages: list[Path]) -> None:
    for page in pages:
        for address in (*seen(page).links, *seen(page).loads):
            parts = urlsplit(address)
            if parts.scheme in ("http", "https"):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.exists(), f"{page}: {address}"
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in ("__skip", *seen(target).ids), address


def test_ids_are_unique(pages: list[Path]) -> None:
    for page in pages:
        twice = [i for i, count in Counter(seen(page).ids).items() if count > 1]
        assert twice == [], page


def test_no_formula_is_left_as_latex(pages: list[Path]) -> None:
    for page in pages:
        found = LATEX.findall("".join(seen(page).words))
        assert found == [], f"{page}: {found}"
    assert LATEX.search(r"so \frac{1}{n}") and LATEX.search("it is $x$") and LATEX.search(r"\(x\)")


def test_the_api_has_every_public_name(site: Path) -> None:
    import backhand

    ids = set(seen(site / "api.html").ids)
    told = {i.rpartition(".")[2] for i in ids}
    assert set(backhand.__all__) - {"__version__"} <= told
    for name in ("verify", "explain", "closed_form", "cost", "saving", "emit", "function"):
        assert name in told and name in dir(backhand.Backprop)


# What scrolls can be reached by keyboard in today's browsers without being a stop of its own.
FINE = "scrollable-region-focusable"


def barriers(page: Page) -> list[str]:
    """What keeps people out who use a screen reader or need contrast."""
    found = Axe().run(page).response["violations"]
    grave = [v for v in found if v["impact"] in ("serious", "critical") and v["id"] != FINE]
    return [f"{v['id']}: {v['nodes'][0]['html']}" for v in grave]


# One page of each make; to look at the long ones takes a minute.
READ_ALOUD = ("index", "article/gradients/dC", "engineer")
SHOWN = ("index", "article/exercise-1", "article/gradients/dC", "engineer", "api", "commands")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_open_from_disk(site: Path, chromium: Browser, scheme: str) -> None:
    width = {"light": 360, "dark": 1280}[scheme]
    for name in SHOWN:
        with visit(chromium, site / f"{name}.html", width, color_scheme=scheme) as opened:
            expect(opened.page.locator("h1").first).to_be_visible()
            assert opened.outside == [] and opened.errors == [], name
            assert opened.overflow() <= 0, f"{name} is wider than {width}"
            if name in READ_ALOUD:
                assert barriers(opened.page) == [], name
            slate = opened.page.locator("body").get_attribute("data-md-color-scheme") == "slate"
            assert slate == (scheme == "dark")


def test_the_search_works_from_disk(site: Path, chromium: Browser) -> None:
    with visit(chromium, site / "index.html") as opened:
        query = opened.page.locator("input[name=query]")
        found = opened.page.locator(".md-search-result__link").first
        for _ in range(30):  # what is typed before the page listens goes unheard
            for typed in ("", "keepdim"):
                query.fill(typed)
                query.press("End")
            opened.page.wait_for_timeout(2000)
            if found.is_visible():
                break
        expect(found).to_be_visible()
        assert opened.outside == [] and opened.errors == []
        found.click()
        expect(opened.page.locator("h1").first).to_be_visible()
        assert opened.page.url != (site / "index.html").as_uri()


def test_pages_can_be_read_without_scripts(site: Path, chromium: Browser) -> None:
    path = site / "article" / "gradients" / "dbngain.html"
    with visit(chromium, path, java_script_enabled=False) as opened:
        expect(opened.page.locator("math").first).to_be_visible()
        expect(opened.page.get_by_text("De-broadcast.")).to_be_visible()
