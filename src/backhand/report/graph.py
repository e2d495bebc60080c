"""The program as a picture: values as boxes, uses as arrows, and how large each gradient is.

Inline SVG without a script; a page that shows it needs ``STYLE``. The boxes of values whose
gradients are explained are links to the explanations. Programs of many values are drawn with a box
for each numbered module, and every module in a picture of its own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import floor, isfinite, log10

import matplotlib
import numpy as np
import torch

from ..explain.html import anchor
from ..program.ir import Program
from .flow import MOST, Box, Flow, flow, grouped
from .layers import Point, laid_out
from .numbers import number_text, numbers, root_mean_square

HEIGHT, GAP, MARGIN = 44, 38, 12
LETTER = 7.3  # of a monospaced font of 12 px, with a little to spare
LONGEST = 30  # a name of more characters is shortened; the whole of it is in the title
LEVELS = 7


def _levels(scheme: str) -> str:
    """The colours of gradients, from the smallest to the largest, as CSS variables."""
    name, start, end = {"light": ("Oranges", 0.22, 1.0), "dark": ("copper", 0.28, 1.0)}[scheme]
    out = []
    for k, colour in enumerate(matplotlib.colormaps[name](np.linspace(start, end, LEVELS))[:, :3]):
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
        text = "#000" if luminance > 0.18 else "#fff"  # whichever has the greater contrast
        shown = "#" + "".join(f"{round(255 * c):02x}" for c in colour)
        out.append(f"--bh-flow-{k}: {shown}; --bh-on-{k}: {text};")
    return " ".join(out)


def _wide(level: int) -> float:
    """The width of an arrow of this level."""
    return round(1.5 + 1.1 * level, 1)


_FLOWS = "".join(
    f""".bh-graph .bh-flow-{k} rect {{ fill: var(--bh-flow-{k}); }}
.bh-graph .bh-flow-{k} text {{ fill: var(--bh-on-{k}); }}
.bh-graph .bh-edge.bh-flow-{k} path {{ stroke: var(--bh-flow-{k});
  stroke-width: {_wide(k)}; }}
.bh-graph .bh-edge.bh-flow-{k} .bh-head {{ fill: var(--bh-flow-{k}); stroke: none; }}
"""
    for k in range(LEVELS)
)
STYLE = f"""
.bh-graph {{ margin: 1rem 0; {_levels("light")}
  --bh-quiet: #f4f4f4; --bh-line: #777; --bh-text: #111; --bh-focus: #0050c8; }}
@media (prefers-color-scheme: dark) {{ .bh-graph {{ {_levels("dark")}
  --bh-quiet: #242424; --bh-line: #8d8d8d; --bh-text: #eee; --bh-focus: #8ab8ff; }} }}
.bh-graph figcaption, .bh-graph summary {{ font-size: .9rem; line-height: 1.5; }}
.bh-graph-box {{ overflow: auto; max-height: min(90vh, 60rem); border: 1px solid #8886;
  border-radius: .4rem; }}
.bh-graph-box svg {{ display: block; margin: 0 auto; }}
.bh-graph text {{ font: 12px ui-monospace, "DejaVu Sans Mono", monospace; text-anchor: middle;
  fill: var(--bh-text); }}
.bh-graph .bh-name {{ font-weight: 700; }}
.bh-graph rect {{ fill: var(--bh-quiet); stroke: var(--bh-line); }}
.bh-graph .bh-input rect {{ stroke-dasharray: 5 3; }}
.bh-graph .bh-output rect {{ stroke-width: 3; stroke: var(--bh-text); }}
.bh-graph .bh-edge path {{ fill: none; stroke: var(--bh-line); stroke-width: 1; }}
.bh-graph .bh-edge .bh-head {{ stroke: none; fill: var(--bh-line); }}
.bh-graph .bh-still path {{ stroke-dasharray: 2 4; }}
.bh-graph .bh-odd path {{ stroke-dasharray: 6 3; }}
.bh-graph a {{ text-decoration: none; }}
.bh-graph a:hover .bh-name, .bh-graph a:focus .bh-name {{ text-decoration: underline; }}
.bh-graph a:focus {{ outline: none; }}
.bh-graph a:hover rect, .bh-graph a:focus rect {{ stroke: var(--bh-focus); stroke-width: 3;
  stroke-dasharray: none; }}
{_FLOWS}
.bh-legend {{ display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none;
  align-items: center; padding: 0;
  margin: .5rem 0; font-size: .85rem; }}
.bh-legend svg {{ vertical-align: middle; margin-right: .35rem; }}
@media print {{ .bh-graph-box {{ max-height: none; overflow: visible; border: 0; }}
  .bh-graph-box svg {{ max-width: 100%; height: auto; }}
  .bh-graph rect, .bh-graph path {{ print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }} }}
"""


def graph(
    program: Program,
    gradients: Mapping[str, torch.Tensor],
    labels: Mapping[str, str] | None = None,
) -> str:
    """The forward program as an HTML ``<figure>``: the picture, its legend, its text.

    ``program`` is the forward pass as captured (``bp.captured.program``): its names are the
    author's, and values without one are seen through.
    ``gradients`` has the numbers of each gradient by its value's printed name (``logits``);
    ``labels`` the gradient's own name for every value whose explanation is on the page (``dlogits``
    for ``logits``, which is the default): its box links to ``#anchor(label)``. Boxes have
    ``data-value="logits"``, arrows ``data-from`` and ``data-to``.
    """
    sizes = {name: root_mean_square(numbers(g)) for name, g in gradients.items() if not g.is_meta}
    if labels is None:
        labels = {name: f"d{name}" for name in gradients}
    whole = flow(program, sizes, labels)
    outer, inner = grouped(whole)
    if max(len(f.boxes) for f in (outer, *inner.values())) > MOST:
        return (
            f"<p>The program has {len(whole.boxes)} values: a picture of more than {MOST} boxes "
            "would show nothing, so there is none.</p>"
        )
    scale = _Scale(b.rms for b in whole.boxes.values())
    parts = [_picture(outer, scale, program.name)]
    for key, part in inner.items():
        # a link to what lies in a closed <details> opens it
        parts.append(
            f"<details><summary><code>{escape(key)}</code> in a picture of its own</summary>"
            f'<div id="{_place(key)}">{_picture(part, scale, key)}</div></details>'
        )
    head, *rest = parts
    return (
        f'<figure class="bh-graph">{head}{_legend(scale)}{_caption(bool(inner))}{"".join(rest)}'
        "</figure>"
    )


def _place(key: str) -> str:
    return anchor(f"picture of {key}")


class _Scale:
    """Levels of magnitude: a power of ten each, from the largest gradient down.

    All that is smaller still is one level: gradients that are zero but for rounding are many powers
    smaller, and would leave one colour for all others.
    """

    def __init__(self, sizes: Iterable[float | None]) -> None:
        logs = [log10(r) for r in sizes if r and isfinite(r)]
        self.top = floor(max(logs, default=0))
        self.used = sorted({self._level(log) for log in logs}, reverse=True)

    def _level(self, log: float) -> int:
        return max(0, LEVELS - 1 - self.top + floor(log))

    def style(self, rms: float | None) -> str:
        """The class of what has a gradient of this size."""
        if rms is None:
            return "bh-still"
        return f"bh-flow-{self._level(log10(rms))}" if rms and isfinite(rms) else "bh-odd"

    def width(self, rms: float | None) -> float:
        """How wide an arrow is; its head is in proportion."""
        if not rms or not isfinite(rms):
            return 1.0
        return _wide(self._level(log10(rms)))

    def range(self, level: int) -> str:
        """Which sizes a level stands for, in HTML."""
        low = self.top - LEVELS + 1 + level
        powers = [f"10<sup>{k}</sup>".replace("-", "−") for k in (low, low + 1)]
        return " to ".join(powers) if level else f"below {powers[1]}"


def _picture(part: Flow, scale: _Scale, title: str) -> str:
    widths = {name: _width(box) for name, box in part.boxes.items()}
    layout = laid_out(widths, list(part.arrows), HEIGHT, GAP)
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    # lines from one box lie on one another: the widest is drawn last
    arrows = sorted(part.arrows.items(), key=lambda arrow: scale.width(arrow[1]))
    edges = [_edge(part, edge, rms, layout.lines[edge], scale) for edge, rms in arrows]
    nodes = [
        _node(box, layout.boxes[name], widths[name], scale) for name, box in part.boxes.items()
    ]
    text = escape(_text(part, title))
    # a group, and not an image: an image has no parts, and the links would be lost to a reader
    return (
        f'<div class="bh-graph-box" role="region" tabindex="0" aria-label="Picture of '
        f'{escape(title)}"><svg xmlns="http://www.w3.org/2000/svg" role="group" '
        f'aria-label="{text}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-MARGIN} {-MARGIN} {width:.0f} {height:.0f}">'
        f"{''.join(edges)}{''.join(nodes)}</svg></div>"
    )


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[:18]}…{name[-11:]}"


def _letters(text: str) -> int:
    """How many letters wide a text is: those of East Asia count twice."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _width(box: Box) -> float:
    return max(64.0, LETTER * _letters(f"{_cut(box.name)} {box.shape}".strip()) + 18)


def _size(box: Box) -> str:
    return "" if box.rms is None else number_text(box.rms)


def _node(box: Box, place: Point, width: float, scale: _Scale) -> str:
    x, top = place
    about = box.about
    if box.rms is not None:
        about += f"\nroot mean square of its gradient: {_size(box)}"
    kind = f"bh-node {scale.style(box.rms)}" + (f" bh-{box.role}" if box.role else "")
    first, second = 18, f'<text x="{x:.1f}" y="{top + 35:.1f}">{_size(box)}</text>'
    if box.rms is None:
        first, second = 26, ""
    name = f'<tspan class="bh-name">{escape(_cut(box.name))}</tspan>'
    shape = f" {escape(box.shape)}" if box.shape else ""
    inside = (
        f"<title>{escape(about)}</title>"
        f'<rect x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{HEIGHT}" '
        f'rx="{HEIGHT / 2 if box.role == "input" else 6:g}"/>'
        f'<text x="{x:.1f}" y="{top + first:.1f}">{name}{shape}</text>{second}'
    )
    value = f'class="{kind}" data-value="{escape(box.name)}"'
    target = _place(box.name) if box.members else anchor(box.label) if box.label else ""
    return f'<a {value} href="#{target}">{inside}</a>' if target else f"<g {value}>{inside}</g>"


def _edge(
    part: Flow, edge: tuple[str, str], rms: float | None, points: Sequence[Point], scale: _Scale
) -> str:
    a, b = part.boxes[edge[0]], part.boxes[edge[1]]
    width = scale.width(rms)
    head = 4 + 1.2 * width if rms is not None else 0
    (x, y), *rest = points
    path = f"M{x:.1f} {y + head:.1f}"
    last = (x, y + head)
    for i, (to, down) in enumerate(rest):
        if i % 2:
            path += f"V{down:.1f}"
        else:
            half = (last[1] + down) / 2
            path += f"C{last[0]:.1f} {half:.1f} {to:.1f} {half:.1f} {to:.1f} {down:.1f}"
        last = (to, down)
    side = 2 + 0.8 * width
    arrow = f'<path class="bh-head" d="M{x:.1f} {y:.1f}l{side:.1f} {head:.1f}h{-2 * side:.1f}z"/>'
    about = f"{a.name} is read by {b.name}"
    about += f"; the upstream has root mean square {number_text(rms)}" if rms is not None else ""
    return (
        f'<g class="bh-edge {scale.style(rms)}" data-from="{escape(a.name)}" '
        f'data-to="{escape(b.name)}"><title>{escape(about)}</title><path d="{path}"/>'
        f"{arrow if head else ''}</g>"
    )


def _text(part: Flow, title: str) -> str:
    """The picture in words."""
    boxes = list(part.boxes.values())
    sized = [b for b in boxes if b.rms is not None and isfinite(b.rms)]
    inputs = ", ".join(b.name for b in boxes if b.role == "input")
    outputs = ", ".join(b.name for b in boxes if b.role == "output")
    text = f"{title} from top to bottom: {len(boxes)} boxes, {len(part.arrows)} uses."
    text += f" It reads {inputs}." if inputs else ""
    text += f" It ends in {outputs}." if outputs else ""
    if sized:
        least, most = min(sized, key=_rms), max(sized, key=_rms)
        text += (
            f" The largest gradient is that of {most.name}, root mean square {_size(most)}, the "
            f"smallest that of {least.name}, {_size(least)}."
        )
    return text


def _rms(box: Box) -> float:
    return box.rms or 0.0


def _legend(scale: _Scale) -> str:
    items = [(f"bh-flow-{k}", scale.range(k)) for k in scale.used]
    out = [
        f"<li>{_swatch(f'bh-node {style}', f'bh-edge {style}')}{text}</li>" for style, text in items
    ]
    out.append(f"<li>{_swatch('bh-node bh-still bh-input', 'bh-edge bh-still')}no gradient</li>")
    return f'<ul class="bh-legend">{"".join(out)}</ul>'


def _swatch(box: str, line: str) -> str:
    return (
        '<svg aria-hidden="true" width="58" height="18" viewBox="0 0 58 18">'
        f'<g class="{box}"><rect x="1" y="1" width="26" height="16" rx="4"/></g>'
        f'<g class="{line}"><path d="M31 9H57"/></g></svg>'
    )


def _caption(groups: bool) -> str:
    text = (
        "Values from top to bottom, as the forward pass makes them; rounded ones are inputs, the "
        "output has a heavy frame. An arrow is a use, and points the way the gradient takes back. "
        "The number in a box is the root mean square of the gradient of its value; an arrow "
        "carries the gradient of the value that it comes from. The larger it is, the stronger the "
        "colour and the wider the arrow, by powers of ten."
    )
    text += " A numbered module has one box, and a picture of its own below." if groups else ""
    return f"<figcaption>{text}</figcaption>"


__all__ = ["STYLE", "graph"]
