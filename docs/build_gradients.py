"""A page for each gradient of the article's network, made of what the derivation itself says.

The pages are made whenever the site is built and are kept nowhere, so none can be out of date.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html import escape
from pathlib import Path

import backhand
from backhand.capture.target import load_target
from backhand.emit.layout import broken
from backhand.explain import Explanations
from backhand.explain.blocks import Block, Code, Explanation, Section
from backhand.explain.gradient import proof
from backhand.explain.html import anchor, fragment

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "article.py"
FOLDER = "article/gradients"
EXPLAIN = re.compile(r"^```explain\n(\w+)(?:: (.+)| from (\w+))\n```$", re.MULTILINE)


@cache
def derived() -> backhand.Backprop:
    """The derivation that every page is made from."""
    loaded = load_target(f"{EXAMPLE}:forward", None, {})
    return backhand.derive(loaded.forward, *loaded.args)


@cache
def explanations() -> Explanations:
    return derived().explain()


def names() -> list[str]:
    """The article's 26 gradients, in the order in which they are made; that of the loss is 1."""
    return [e.name for e in explanations() if e.name != "dloss"]


def pages() -> Iterator[tuple[str, str]]:
    """The path and the text of every gradient's page."""
    hand = by_hand(EXAMPLE.read_text(encoding="utf-8"))
    verdicts = {g.name: g.verdict for g in derived().verify().gradients}
    for name in names():
        e = explanations()[name]
        head = f"---\ntitle: {name}\nhide: [toc]\n---\n"
        shown = _linked(fragment(e, frozenset(names()), 1), "")
        ours = "\n\n".join(
            [
                "## By hand",
                "The same gradient as it stands in `examples/article.py`, written by hand:",
                "```python\n" + "\n".join(hand[name]) + "\n```",
                f"Against autograd the derived line is `{verdicts[name]}`; "
                "[what that means](../../engineer.md#checked-against-autograd).",
            ]
        )
        yield f"{FOLDER}/{name}.md", f"{head}\n{shown}\n\n{ours}\n"


def with_explanations(markdown: str, folder: str) -> str:
    """A page with its ``explain`` blocks in full.

    ``dx: path`` is a part of an explanation, ``dx from dy`` a closed form with its proof.
    ``folder`` is the way from the page to the gradients' pages.
    """

    def shown(found: re.Match[str]) -> str:
        name, path, given = found.groups()
        return _framed(part(name, path) if path else proved(name, given), folder)

    return EXPLAIN.sub(shown, markdown)


def part(name: str, path: str) -> Explanation:
    """A part of a gradient's explanation.

    ``path`` is the beginnings of the titles that lead to it: ``Use 2 of 2 / Written out``.
    """
    e = explanations()[name]
    for title in path.split(" / "):
        sections = list(_sections(e.blocks))
        found = next((s for s in sections if _title(s).startswith(title)), None)
        if found is None:
            there = ", ".join(map(_title, sections))
            raise ValueError(f"the explanation of {name} has no {path!r}; there are: {there}")
        e = replace(e, blocks=found.blocks)
    return e


def proved(name: str, given: str) -> Explanation:
    """A gradient in terms of another one, with the proof."""
    form = derived().closed_form(name, given)
    why = proof(form.proof, "\n".join(broken(form.proof.statement, 76)))
    return replace(explanations()[name], blocks=(Code(form.source.strip()), why))


def _framed(e: Explanation, folder: str) -> str:
    """An explanation within a text, in a frame that leads to the whole of it."""
    inside = _linked(fragment(e, frozenset(names()), 4), folder)
    heading = f"<h4><code>{escape(e.name)}</code></h4>"
    assert heading in inside
    link = f'<h4><a href="{folder}{e.name}.html"><code>{escape(e.name)}</code></a></h4>'
    return f'<div class="bh-part">{inside.replace(heading, link, 1)}</div>'


def _sections(blocks: tuple[Block, ...]) -> Iterator[Section]:
    for block in blocks:
        if isinstance(block, Section):
            yield block
            yield from _sections(block.blocks)


def _title(section: Section) -> str:
    return "".join(span.text for span in section.title)


def _linked(html: str, folder: str) -> str:
    """Links to explanations on the same page as links to their pages."""
    for name in names():
        html = html.replace(f'href="#{anchor(name)}"', f'href="{folder}{name}.html"')
    return html


def by_hand(source: str) -> dict[str, list[str]]:
    """The hand-written statements for each gradient, comments left out."""
    tree = ast.parse(source)
    function = next(
        n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "backward_by_hand"
    )
    out: dict[str, list[str]] = {}
    lines = source.splitlines()
    for statement in function.body:
        if not isinstance(statement, ast.Assign):
            continue
        target = statement.targets[0]
        name = target.value if isinstance(target, ast.Subscript) else target
        if isinstance(name, ast.Name) and name.id.startswith("d"):
            text = lines[statement.lineno - 1 : statement.end_lineno]
            out.setdefault(name.id, []).extend(line.removeprefix("    ") for line in text)
    return out
