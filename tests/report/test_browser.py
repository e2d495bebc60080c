"""The page in a browser, from disk and offline: read, pointed at, tabbed through, printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from backhand.api import derive
from backhand.capture.target import load_target
from backhand.explain.html import anchor
from backhand.report import Page
from tests.browser import Visit, visit
from tests.report.planted import plant_verdicts

SHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
WIDTHS = (360, 768, 1100, 1600)
# What is worth looking at in each scheme.
PLACES = {"light": ("code", "picture", "closed"), "dark": ("saved", anchor("dlogits"))}


def shown(opened: Visit, name: str, place: str = "") -> None:
    """Keep a picture of what is on the screen, to be looked at."""
    if place:
        opened.page.locator(f"#{place}").scroll_into_view_if_needed()
    SHOTS.mkdir(parents=True, exist_ok=True)
    opened.page.screenshot(path=SHOTS / f"{name}.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_from_disk(article_page: Path, chromium: Browser, scheme: str) -> None:
    with visit(chromium, article_page, color_scheme=scheme) as opened:
        page = opened.page
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert opened.overflow() <= 0, width
            if width in (WIDTHS[0], WIDTHS[-1]):
                shown(opened, f"article-{scheme}-{width}")
        for place in PLACES[scheme]:
            shown(opened, f"article-{scheme}-{place}", place)
        assert opened.requests == [article_page.as_uri()]
        assert opened.errors == []
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(255, 255, 255)") == (scheme == "light")


def test_formulas_are_drawn_and_links_lead_somewhere(
    article_page: Path, chromium: Browser
) -> None:
    with visit(chromium, article_page) as opened:
        page = opened.page
        drawn = page.evaluate(
            "[...document.querySelectorAll('math')].map((m) => m.getBoundingClientRect().width > 0)"
        )
        assert len(drawn) > 500 and all(drawn)
        text = page.evaluate("document.body.innerText")
        assert "\\" not in text and "$" not in text
        fraction = page.locator("#short mfrac").first.bounding_box()
        assert fraction is not None and fraction["height"] > 1.5 * 16
        page.locator("#code .row a", has_text="counts_sum").first.click()
        expect(page.locator(f"#{anchor('dcounts_sum')} > h3")).to_be_in_viewport()
        page.locator(f"#{anchor('dcounts_sum')} .ways a").click()
        expect(page.locator(f"#line-{anchor('dcounts_sum')}")).to_be_in_viewport()
        page.locator("#picture svg a").first.click()
        assert "#bh-" in page.url


def marked(opened: Visit, kind: str) -> list[str]:
    """The beginnings of the lines of code that are highlighted."""
    rows = opened.page.locator(f"#code .row.{kind} code")
    return [text.partition(" = ")[0].strip() for text in rows.all_inner_texts()]


def test_a_line_shows_its_gradient_and_their_uses(article_page: Path, chromium: Browser) -> None:
    with visit(chromium, article_page, 1400) as opened:
        page = opened.page
        page.locator("#code .forward .row", has_text="counts = norm_logits.exp()").hover()
        # the value, and both parts of its gradient
        assert marked(opened, "own") == ["counts", "dcounts", "dcounts"]
        uses = ["counts_sum", "probs", "dcounts_sum_inv", "dnorm_logits"]
        assert marked(opened, "use") == uses
        shown(opened, "article-highlight")
        page.locator("nav").hover()
        assert marked(opened, "own") == []
        page.locator("#code .row a", has_text="dcounts_sum_inv").focus()
        assert marked(opened, "own") == ["counts_sum_inv", "dcounts_sum_inv"]
        page.keyboard.press("Tab")
        assert marked(opened, "own") == ["counts_sum", "dcounts_sum"]


def test_the_keyboard_is_enough(article_page: Path, chromium: Browser) -> None:
    with visit(chromium, article_page, 1400) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        expect(page.locator(".skip")).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("#gradients-title")).to_be_in_viewport()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('#gradients') !== null")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        # whatever scrolls can be reached
        out_of_reach = page.evaluate(
            "[...document.querySelectorAll('body *')].filter((e) => e.scrollWidth > e.clientWidth"
            " && /auto|scroll/.test(getComputedStyle(e).overflowX) && e.tabIndex < 0"
            " && !e.querySelector('a')).length"
        )
        assert out_of_reach == 0


def test_nothing_is_lost_without_scripts(article_page: Path, chromium: Browser) -> None:
    with visit(chromium, article_page, java_script_enabled=False) as opened:
        page = opened.page
        page.locator("nav a", has_text="Closed forms").click()
        expect(page.locator("#closed-title")).to_be_in_viewport()
        expect(page.locator(f"#{anchor('dC')} h3")).to_be_visible()
        assert opened.errors == []


def test_a_notebook_shows_it_in_a_frame(
    article_report: Page, chromium: Browser, tmp_path: Path
) -> None:
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!doctype html><h1>mine</h1>{article_report._repr_html_()}", "utf-8")
    with visit(chromium, notebook) as opened:
        frame = opened.page.frame_locator("iframe")
        frame.locator("nav a", has_text="Closed forms").click()
        expect(frame.locator("#closed-title")).to_be_in_viewport()
        expect(opened.page.locator("h1", has_text="mine")).to_be_visible()
        assert opened.errors == [] and opened.outside == []


def test_it_prints(article_page: Path, chromium: Browser) -> None:
    with visit(chromium, article_page, 794) as opened:  # A4 at 96 dots per inch
        page = opened.page
        page.emulate_media(media="print")
        expect(page.locator("nav")).to_be_hidden()
        assert opened.overflow() <= 0
        assert page.pdf(format="A4").startswith(b"%PDF")


HOSTILE = '''
import torch

def größe(x, ψ):
    """A loss </script><script>window.injected = 1</script><img src=x onerror="window.injected=1">
    and `<b id=bold>code</b>`."""
    # </style></title></template><svg onload="window.injected=1">
    y = x * ψ * len("</pre><img src=x onerror=window.injected=1>&lt;")
    z = torch.log_softmax(y, 1)
    return -z[:, 0].mean() + 0 * torch.nn.functional.relu(y).sum()

def example_inputs():
    return torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor(3.0)
'''


@pytest.fixture
def hostile_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A report of code whose every name and text is meant to break out of it."""
    name = """it's "quoted" <b onclick=alert(1)>&amp;.py"""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(HOSTILE, encoding="utf-8")
    loaded = load_target(f"{name}:größe")
    plant_verdicts(monkeypatch)
    bp = derive(loaded.forward, *loaded.args)
    path = tmp_path / "report.html"
    bp.report(path, target=loaded.name)
    return path


def test_hostile_names_and_texts_stay_text(hostile_page: Path, chromium: Browser) -> None:
    with visit(chromium, hostile_page) as opened:
        page = opened.page
        assert page.title() == "The backward pass of größe"
        text = page.evaluate("document.body.innerText")
        assert "</script><script>window.injected = 1</script>" in text
        assert """it's "quoted" <b onclick=alert(1)>&amp;.py:größe""" in text
        assert '</pre><img src=x onerror=window.injected=1>&lt;"' in text
        assert page.evaluate("window.injected") is None
        assert page.locator("b, #bold, [onclick], [onerror], [onload], template").count() == 0
        assert page.locator("script").count() == page.locator("style").count() == 1
        assert page.locator("img:not([src^='data:image/png;base64,'])").count() == 0
        assert "Small ones only" in text
        assert opened.errors == [] and opened.requests == [hostile_page.as_uri()]
        page.locator("#code .row a", has_text="ψ").first.click()
        expect(page.locator("#gradients h3", has_text="dψ")).to_be_in_viewport()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_assistive_technology_finds_its_way(
    hostile_page: Path, chromium: Browser, scheme: str, width: int
) -> None:
    """On a small page with every part; the article's has the same parts, 27 times over."""
    with visit(chromium, hostile_page, width, color_scheme=scheme) as opened:
        found = Axe().run(opened.page).response["violations"]
        said = [(v["id"], v["nodes"][0]["html"][:200], len(v["nodes"])) for v in found]
        assert said == []
        tree = opened.page.locator("body").aria_snapshot()
        for part in ("navigation", "banner", "main", "contentinfo", 'heading "The code" [level=2]'):
            assert f"- {part}" in tree
        shown(opened, f"wrong-{scheme}")
