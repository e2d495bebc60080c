"""Explanations as HTML: formulas in MathML, no scripts, nothing fetched, every text escaped.

``fragment`` gives the blocks alone, for a page that has the styles (``STYLE``) itself. Ids and
classes begin with ``bh-``; the explanation of a gradient has the id ``bh-`` and its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from .blocks import (
    Block,
    Code,
    Equation,
    Explanation,
    Formula,
    Matrix,
    Paragraph,
    ProofLine,
    Ruler,
    Spans,
    Strip,
)
from .mathml import mathml, wrapping
from .writer import Writer, reasons

STYLE = """
.bh-explanation { line-height: 1.5; max-width: 52rem; }
.bh-explanation h2 { margin: 0 0 .25rem; }
.bh-explanation h3 { margin: 1.5rem 0 .5rem; font-size: 1.05rem; }
.bh-explanation h4 { margin: 1rem 0 .25rem; font-size: 1rem; }
.bh-explanation p { margin: .5rem 0; }
.bh-explanation code { font-family: ui-monospace, monospace; font-size: .95em; }
.bh-explanation pre { margin: .5rem 0; padding: .5rem .75rem; overflow-x: auto;
  border-left: 3px solid #8886; background: #8881; }
.bh-explanation pre.bh-backward { border-left-color: #b3541e; }
.bh-explanation pre.bh-forward { border-left-color: #2b6cb0; }
.bh-explanation table { border-collapse: collapse; margin: .5rem 0; }
.bh-explanation th, .bh-explanation td { padding: .2rem 1.25rem .2rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid #8884; }
.bh-scroll { overflow-x: auto; max-width: 100%; }
.bh-formula { margin: .5rem 0 .5rem 1rem; overflow-x: auto; overflow-y: hidden; }
.bh-formula math, .bh-equation math { font-size: 1.05em; }
.bh-note { opacity: .75; font-size: .9em; }
.bh-equation { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem .75rem;
  margin: .75rem 0 .75rem 1rem; }
.bh-equation figure { margin: 0; text-align: center; max-width: 100%; overflow-x: auto; }
.bh-explanation .bh-matrix { border-left: 1.5px solid; border-right: 1.5px solid;
  border-radius: .3rem; margin: 0 auto; padding: 0 .15rem; border-collapse: separate;
  border-spacing: 0; }
.bh-explanation .bh-matrix td { border: 0; padding: .15rem .5rem; text-align: center;
  vertical-align: middle; }
.bh-matrix.bh-gradient { color: #9c4211; }
.bh-explanation .bh-strip td, .bh-explanation .bh-strip th { padding: .2rem .5rem;
  text-align: center; border: 0; font-weight: normal; }
.bh-explanation .bh-strip .bh-memory td { border: 1.5px solid #888; }
.bh-explanation .bh-strip th { text-align: right; }
@media (prefers-color-scheme: dark) { .bh-matrix.bh-gradient { color: #f0a070; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font-family: system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 54rem; }}
.bh-explanation + .bh-explanation {{ margin-top: 3rem; border-top: 2px solid #8886;
  padding-top: 1rem; }}
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def page(explanations: Iterable[Explanation], title: str) -> str:
    """A self-contained page with these explanations, and links between them."""
    listed = list(explanations)
    known = frozenset(e.name for e in listed)
    body = "\n".join(fragment(e, known) for e in listed)
    return _PAGE.format(title=escape(title), style=STYLE, body=body)


def anchor(name: str) -> str:
    """The id of a gradient's explanation; it has no character that a selector or link minds."""
    return f"bh-{quote(name, safe='')}".replace("%", "_")


def fragment(
    explanation: Explanation,
    linked: frozenset[str] = frozenset(),
    level: int = 2,
    under: str = "",
) -> str:
    """One explanation as a ``<section>``; names of gradients in ``linked`` become links to theirs.

    ``level`` is that of its heading, ``under`` is HTML to put below the heading.
    """
    e = explanation
    return (
        f'<section class="bh-explanation" id="{anchor(e.name)}">'
        f"<h{level}><code>{escape(e.name)}</code></h{level}>"
        f'<p class="bh-note">the gradient of <code>{escape(e.of)}</code>, {escape(e.shapes)}</p>'
        f"{under}{_Writer(level, linked).blocks(e.blocks)}</section>"
    )


def blocks_html(blocks: Iterable[Block], level: int = 2) -> str:
    """Blocks alone, under a heading of this level that the page has itself."""
    return _Writer(level, frozenset()).blocks(blocks)


class _Writer(Writer):
    between = "\n"
    within = ""

    def __init__(self, level: int, linked: frozenset[str]) -> None:
        super().__init__(level)
        self.linked = linked

    def escaped(self, text: str) -> str:
        return escape(text)

    def strong(self, text: str) -> str:
        return f"<strong>{escape(text)}</strong>"

    def inline(self, text: str) -> str:
        return f"<code>{escape(text)}</code>"

    def gradient(self, name: str) -> str:
        if name not in self.linked:
            return self.inline(name)
        return f'<a href="#{anchor(name)}">{self.inline(name)}</a>'

    def math(self, tex: str) -> str:
        return mathml(tex)

    def heading(self, title: Spans) -> str:
        level = min(self.level + 1, 6)
        return f"<h{level}>{self.spans(title)}</h{level}>"

    def paragraph(self, block: Paragraph) -> str:
        return f"<p>{self.spans(block.spans)}</p>"

    def formula(self, block: Formula) -> str:
        note = f' <span class="bh-note">{escape(block.note)}</span>' if block.note else ""
        return f'<div class="bh-formula">{wrapping(block.tex)}{note}</div>'

    def code(self, block: Code) -> str:
        return f'<pre class="bh-{block.role}"><code>{escape(block.text)}</code></pre>'

    def grid(self, head: list[str], rows: list[list[str]]) -> str:
        titles = "".join(f'<th scope="col">{cell}</th>' for cell in head)
        body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
        return (
            f'<div class="bh-scroll"><table><thead><tr>{titles}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def equation(self, block: Equation) -> str:
        parts = (
            f"<span>{mathml(part, True)}</span>" if isinstance(part, str) else _matrix(part)
            for part in block.parts
        )
        return f'<div class="bh-equation">{"".join(parts)}</div>'

    def strip(self, block: Strip) -> str:
        def ruler(of: Ruler) -> str:
            marks = _cells(map(mathml, of.marks))
            return f'<tr><th scope="row">{self.inline(of.name)}</th>{marks}</tr>'

        return (
            '<div class="bh-scroll"><table class="bh-strip"><tbody>'
            f"{ruler(block.above)}"
            f'<tr class="bh-memory"><th scope="row">memory</th>{_cells(map(mathml, block.cells))}'
            f"</tr>{ruler(block.below)}</tbody></table></div>"
        )

    def lemmas(self, lemmas: Sequence[str]) -> str:
        items = "".join(f"<li>{mathml(lemma)}</li>" for lemma in lemmas)
        return f"<ul>{items}</ul>"

    def derivation(self, lines: Sequence[ProofLine]) -> str:
        items = "".join(
            f'<li><div class="bh-formula">{wrapping(line.tex)}</div>'
            + "".join(self.spans(said.spans) for said in reasons(line))
            + "</li>"
            for line in lines
        )
        return f"<ol>{items}</ol>"


def _cells(cells: Iterable[str]) -> str:
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _matrix(block: Matrix) -> str:
    rows = "".join(f"<tr>{_cells(map(wrapping, row))}</tr>" for row in block.cells)
    kind = "bh-matrix bh-gradient" if block.role == "gradient" else "bh-matrix"
    return (
        f'<figure><table class="{kind}" role="presentation"><tbody>{rows}</tbody></table></figure>'
    )


__all__ = ["STYLE", "anchor", "blocks_html", "fragment", "page"]
