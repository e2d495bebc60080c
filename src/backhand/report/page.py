"""The page: a template filled from ``ReportData``; one file, which fetches nothing.

The templates are Jinja's, with autoescape on: a name, a docstring or a line of code is escaped
unless this package itself has made HTML of it (``Markup``). A page written by hand in f-strings
would have to remember that in two hundred places. Torch brings Jinja along, so it costs nobody an
installation.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..checking import Verdict
from ..checking.table import difference_text, summary
from ..explain import Explanation
from ..explain.html import STYLE as EXPLAIN_STYLE
from ..explain.html import anchor, blocks_html, fragment
from ..explain.mathml import wrapping
from ..output import clean, write_file
from ..program.cost import comparison, cost
from .code import Passes, place
from .data import ReportData
from .graph import STYLE as GRAPH_STYLE
from .graph import graph
from .heatmap import STYLE as HEATMAP_STYLE
from .heatmap import Kind, axis_names, heatmap
from .saved import STYLE as SAVED_STYLE
from .saved import saved

FOLDER = Path(__file__).parent / "templates"
# What a verdict looks like: never by colour alone.
SIGNS = {"exact": "✓", "close": "≈", "wrong": "✗", "unchecked": "?"}
MEANINGS = {
    "exact": "the same bits as autograd's",
    "close": "autograd's but for rounding",
    "wrong": "not what autograd computes",
    "unchecked": "not compared with autograd",
}


@dataclass(frozen=True)
class Page:
    """A report as HTML: ``str`` gives the text, a notebook shows it in a frame.

    Attributes:
        html: The whole page.
        ok: False if a gradient is wrong.
        summary: A line that says how the check went.
    """

    html: str
    ok: bool
    summary: str

    def write(self, path: str, force: bool = False) -> None:
        """Write it whole or not at all; refuses to overwrite a file without ``force``."""
        write_file(path, self.html, force)

    def __str__(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<backhand report: {self.summary}; write it with .write(path)>"

    def _repr_html_(self) -> str:
        # in a frame of its own, whose styles and links meet nothing of the notebook's; links inside
        # the page would lead out of a srcdoc
        data = base64.b64encode(self.html.encode()).decode()
        return (
            '<iframe sandbox="allow-scripts" title="backhand report" '
            'style="width: 100%; height: 42rem; border: 0" '
            f'src="data:text/html;charset=utf-8;base64,{data}"></iframe>'
        )


@dataclass(frozen=True)
class Judged:
    """A verdict as it is shown: its kind, the largest difference, and what there is to say."""

    kind: str
    maxdiff: str = ""
    ulp: str = ""
    why: str = ""

    @property
    def sign(self) -> str:
        return SIGNS[self.kind]

    @property
    def meaning(self) -> str:
        return MEANINGS[self.kind]


@dataclass(frozen=True)
class Gradient:
    """One gradient on the page."""

    name: str
    of: str
    place: str
    shape: str
    uses: int
    verdict: Judged
    html: Markup


def render(data: ReportData) -> Page:
    """The report of a derivation."""
    linked = frozenset(e.name for e in data.explanations)
    passes = Passes(data.source, linked)
    judged = data.checked.gradients if data.checked else ()
    verdicts = {g.of: g for g in judged}
    backward = passes.backward(data.longhand, places=True)
    places = {row.place for block in backward for row in block}
    gradients = [
        _gradient(data, value.name, explanation, verdicts.get(value.name), linked, places)
        for value, explanation in zip(data.source.explained(), data.explanations, strict=True)
    ]
    script = (FOLDER / "report.js").read_text("utf-8")
    html = _environment().get_template("report.html").render(
        data=data,
        policy=_policy(script),
        script=Markup(script),
        style=Markup(_style()),
        gradients=gradients,
        judged=judged,
        wrong=[g for g in judged if g.verdict == "wrong"],
        close=[g for g in judged if g.verdict == "close"],
        unjudged=[g for g in gradients if data.checked and g.verdict.kind == "unchecked"],
        linked=linked,
        inputs=passes.inputs(),
        forward=passes.forward(),
        backward=backward,
        shorter=data.shorthand.source != data.longhand.source,
        shorthand=passes.backward(data.shorthand),
        closed=[
            (c, passes.part(data.longhand, c.replaces), passes.backward(c.listing)[1:])
            for c in data.closed
        ],
        costs=comparison({form: cost(*programs) for form, programs in data.forms.items()}),
        graph=_graph(data),
        saved=Markup(saved(data.forms)),
    )
    if data.checked is None:
        return Page(clean(html), True, f"not compared with autograd: {data.problem}")
    return Page(clean(html), data.checked.ok, summary(data.checked))


def _gradient(
    data: ReportData,
    of: str,
    explanation: Explanation,
    verdict: Verdict | None,
    linked: frozenset[str],
    places: set[str],
) -> Gradient:
    name, value = explanation.name, data.source.values[of]
    judged = Judged("unchecked", why=data.problem)
    if verdict is not None:
        result = verdict.result
        judged = Judged(
            verdict.verdict, difference_text(result.maxdiff), str(result.ulp), verdict.why
        )
    beside = _environment().get_template("beside.html").render(
        name=name,
        verdict=judged,
        place=place(name) if place(name) in places else "",
        closed=any(c.name == name for c in data.closed),
        figures=_figures(data, of, name),
    )
    return Gradient(
        name,
        explanation.of,
        anchor(name),
        data.source.example(value),
        len(data.source.readings(value)),
        judged,
        Markup(fragment(explanation, linked, 3, beside)),
    )


def _figures(data: ReportData, of: str, name: str) -> list[Markup]:
    """The value and its gradient as pictures; where the gradient is wrong, how far it is off."""
    value = data.source.values[of]
    axes = axis_names(value, data.source.forward.symbols)
    found: list[tuple[torch.Tensor, str, Kind]] = []
    if of in data.values:
        found.append((data.values[of], data.source.name(value), "value"))
    ours, true = data.gradients.get(of), data.truth.get(of)
    if ours is not None:
        found.append((ours, name, "gradient"))
    if true is not None:
        found.append((true, f"autograd's {name}", "gradient"))
        if ours is not None and ours.shape == true.shape:
            found.append((ours - true, f"{name} - autograd's", "gradient"))
    return [Markup(heatmap(tensor, title, axes, kind)) for tensor, title, kind in found]


def _graph(data: ReportData) -> Markup:
    values = data.source.values
    named = {of: data.source.name(values[of]) for of in data.source.gradients if of in values}
    gradients = {named[of]: g for of, g in data.gradients.items() if of in named}
    explained = {e.name for e in data.explanations}
    labels = {
        name: label
        for of, name in named.items()
        if (label := data.source.gradient_name(values[of])) in explained
    }
    return Markup(graph(data.source.forward, gradients, labels))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["anchor"] = anchor
    made.filters["prose"] = _prose
    made.filters["formula"] = lambda tex: Markup(wrapping(tex))
    made.filters["blocks"] = lambda blocks, level: Markup(blocks_html(blocks, level))
    return made


def _prose(text: str) -> Markup:
    """A docstring: what stands between backticks is code."""
    parts = text.replace("``", "`").split("`")
    shown = (Markup("<code>{}</code>" if k % 2 else "{}").format(p) for k, p in enumerate(parts))
    return Markup().join(shown)


def _style() -> str:
    parts = (EXPLAIN_STYLE, HEATMAP_STYLE, GRAPH_STYLE, SAVED_STYLE)
    return "".join(parts) + (FOLDER / "report.css").read_text("utf-8")


def _policy(script: str) -> str:
    """What the page may do: show itself, run the one script that is in it, and fetch nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


__all__ = ["Page", "render"]
