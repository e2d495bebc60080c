"""Explanations as HTML: formulas in MathML, no scripts, nothing fetched, every text escaped.

``fragment`` gives the blocks alone, for a page that has the styles (``STYLE``) itself. Ids and
classes begin with ``bh-``; the explanation of a gradient has the id ``bh-`` and its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any
from urllib.parse import quote

from .blocks import (
    Block,
    Code,
    Equation,
    Explanation,
    Formula,
    Matrix,
    Paragraph,
    Proof,
    Readers,
    Ruler,
    Section,
    Spans,
    Strip,
    Table,
)
from .mathml import mathml

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
.bh-equation figcaption { font-size: .85em; opacity: .8; }
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
.bh-empty { opacity: .6; }
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
    writer = _Writer(linked, level)
    shape = e.shape if e.shape == e.sizes else f"{e.shape} = {e.sizes}"
    return (
        f'<section class="bh-explanation" id="{anchor(e.name)}">'
        f"<h{level}><code>{escape(e.name)}</code></h{level}>"
        f'<p class="bh-note">the gradient of <code>{escape(e.of)}</code>, {escape(shape)}</p>'
        f"{under}{writer.blocks(e.blocks)}</section>"
    )


def blocks_html(blocks: Iterable[Block], level: int = 2) -> str:
    """Blocks alone, under a heading of this level that the page has itself."""
    return _Writer(frozenset(), level).blocks(blocks)


class _Writer:
    def __init__(self, linked: frozenset[str], level: int) -> None:
        self.linked = linked
        self.level = level

    def blocks(self, blocks: Iterable[Block]) -> str:
        return "\n".join(_BLOCKS[type(block)](self, block) for block in blocks)

    def spans(self, spans: Spans) -> str:
        out = []
        for span in spans:
            text = escape(span.text)
            if span.kind == "math":
                out.append(mathml(span.text))
            elif span.kind == "gradient" and span.text in self.linked:
                out.append(f'<a href="#{anchor(span.text)}"><code>{text}</code></a>')
            elif span.kind in ("code", "gradient"):
                out.append(f"<code>{text}</code>")
            elif span.kind == "strong":
                out.append(f"<strong>{text}</strong>")
            else:
                out.append(text)
        return "".join(out)

    def paragraph(self, block: Paragraph) -> str:
        return f"<p>{self.spans(block.spans)}</p>"

    def formula(self, block: Formula) -> str:
        note = f' <span class="bh-note">{escape(block.note)}</span>' if block.note else ""
        return f'<div class="bh-formula">{mathml(block.tex, True)}{note}</div>'

    def code(self, block: Code) -> str:
        return f'<pre class="bh-{block.role}"><code>{escape(block.text)}</code></pre>'

    def table(self, block: Table) -> str:
        head = "".join(f'<th scope="col">{self.spans(cell)}</th>' for cell in block.head)
        rows = "".join(
            "<tr>" + "".join(f"<td>{self.spans(cell)}</td>" for cell in row) + "</tr>"
            for row in block.rows
        )
        head = f"<thead><tr>{head}</tr></thead>" if block.head else ""
        return f'<div class="bh-scroll"><table>{head}<tbody>{rows}</tbody></table></div>'

    def equation(self, block: Equation) -> str:
        parts = [
            f"<span>{mathml(part, True)}</span>" if isinstance(part, str) else self.matrix(part)
            for part in block.parts
        ]
        return f'<div class="bh-equation">{"".join(parts)}</div>'

    def matrix(self, block: Matrix) -> str:
        rows = "".join(
            "<tr>" + "".join(f"<td>{mathml(cell, True)}</td>" for cell in row) + "</tr>"
            for row in block.cells
        )
        label = f"<figcaption>{escape(block.label)}</figcaption>" if block.label else ""
        kind = "bh-matrix bh-gradient" if block.role == "gradient" else "bh-matrix"
        return (
            f'<figure><table class="{kind}" role="presentation"><tbody>{rows}</tbody></table>'
            f"{label}</figure>"
        )

    def strip(self, block: Strip) -> str:
        def ruler(of: Ruler) -> str:
            marks = "".join(f"<td>{mathml(mark)}</td>" for mark in of.marks)
            return f'<tr><th scope="row"><code>{escape(of.name)}</code></th>{marks}</tr>'

        cells = "".join(f"<td>{mathml(cell)}</td>" for cell in block.cells)
        return (
            '<div class="bh-scroll"><table class="bh-strip"><tbody>'
            f"{ruler(block.above)}"
            f'<tr class="bh-memory"><th scope="row">memory</th>{cells}</tr>'
            f"{ruler(block.below)}</tbody></table></div>"
        )

    def readers(self, block: Readers) -> str:
        rows = "".join(
            f"<tr><td>{mathml(row.cell)}</td><td>{self._who(row.readers)}</td>"
            f"<td>{mathml(row.total)}</td></tr>"
            for row in block.rows
        )
        operand, result = escape(block.operand), escape(block.result)
        return (
            f'<div class="bh-scroll"><table><thead><tr><th scope="col">cell of '
            f'<code>{operand}</code></th><th scope="col">read by these cells of '
            f'<code>{result}</code></th><th scope="col">so its gradient is</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )

    @staticmethod
    def _who(readers: tuple[str, ...]) -> str:
        if not readers:
            return '<span class="bh-empty">nobody</span>'
        return ", ".join(map(mathml, readers))

    def proof(self, block: Proof) -> str:
        out = [f"<p>Given {mathml(block.given)}.</p>"]
        if block.lemmas:
            items = "".join(f"<li>{mathml(lemma)}</li>" for lemma in block.lemmas)
            out.append(f"<p>The forward pass guarantees:</p><ul>{items}</ul>")
        if block.assumptions:
            where = ", ".join(map(mathml, block.assumptions))
            out.append(f"<p>In real arithmetic, where {where}:</p>")
        lines = "".join(
            f'<li><div class="bh-formula">{mathml(line.tex, True)}</div>'
            + (f"through <code>{escape(line.through)}</code>" if line.through else "")
            + "</li>"
            for line in block.lines
        )
        out.append(f"<ol>{lines}</ol>")
        out.append(f"<p>So, in terms of what is kept:</p>{self.code(Code(block.statement))}")
        return "".join(out)

    def section(self, block: Section) -> str:
        level = min(self.level + 1, 6)
        inner = _Writer(self.linked, level)
        return f"<h{level}>{self.spans(block.title)}</h{level}>\n{inner.blocks(block.blocks)}"


_BLOCKS: dict[type[Any], Callable[[_Writer, Any], str]] = {
    Paragraph: _Writer.paragraph,
    Formula: _Writer.formula,
    Code: _Writer.code,
    Table: _Writer.table,
    Equation: _Writer.equation,
    Strip: _Writer.strip,
    Readers: _Writer.readers,
    Proof: _Writer.proof,
    Section: _Writer.section,
}

__all__ = ["STYLE", "anchor", "blocks_html", "fragment", "page"]
