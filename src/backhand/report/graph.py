"""The program as a picture: values as boxes, uses as arrows, and how large each gradient is.

Inline SVG without a script; a page that shows it needs ``STYLE``. The boxes of values whose
gradients are explained are links to the explanations. Programs of many values are drawn with a box
for each numbered module, and every module in a picture of its own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite

import torch

from ..explain.html import anchor
from ..program.ir import Program
from .flow import MOST, Box, Flow, flow, grouped
from .layers import Point, laid_out
from .magnitudes import MAGNITUDES, Scale, legend
from .numbers import number_text, numbers, root_mean_square

HEIGHT, GAP, MARGIN = 44, 38, 12
LETTER = 7.3  # of a monospaced font of 12 px, with a little to spare
LONGEST = 30  # a name of more characters is shortened; the whole of it is in the title


STYLE = f"""{MAGNITUDES}
.bh-graph {{ margin: 1rem 0; --bh-focus: #0050c8; }}
@media (prefers-color-scheme: dark) {{ .bh-graph {{ --bh-focus: #8ab8ff; }} }}
.bh-graph figcaption, .bh-graph summary {{ font-size: .9rem; line-height: 1.5; }}
.bh-graph-box {{ overflow: auto; max-height: min(90vh, 60rem); border: 1px solid #8886;
  border-radius: .4rem; }}
.bh-graph-box svg {{ display: block; margin: 0 auto; }}
.bh-graph text {{ font: 12px ui-monospace, "DejaVu Sans Mono", monospace; text-anchor: middle; }}
.bh-graph .bh-name {{ font-weight: 700; }}
.bh-graph .bh-input rect {{ stroke-dasharray: 5 3; }}
.bh-graph .bh-output .bh-frame {{ fill: none; stroke-width: 1.5; }}
.bh-graph a {{ text-decoration: none; }}
.bh-graph a:hover .bh-name, .bh-graph a:focus .bh-name {{ text-decoration: underline; }}
.bh-graph a:focus {{ outline: none; }}
.bh-graph a:hover rect, .bh-graph a:focus rect {{ stroke: var(--bh-focus); stroke-width: 3;
  stroke-dasharray: none; }}
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
    scale = Scale(b.rms for b in whole.boxes.values())
    parts = [_picture(outer, scale, program.name)]
    for key, part in inner.items():
        # a link to what lies in a closed <details> opens it
        parts.append(
            f"<details><summary><code>{escape(key)}</code> in a picture of its own</summary>"
            f'<div id="{_place(key)}">{_picture(part, scale, key)}</div></details>'
        )
    head, *rest = parts
    return (
        f'<figure class="bh-graph">{head}{legend(scale)}{_caption(bool(inner))}{"".join(rest)}'
        "</figure>"
    )


def _place(key: str) -> str:
    return anchor(f"picture of {key}")


def _picture(part: Flow, scale: Scale, title: str) -> str:
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


def _node(box: Box, place: Point, width: float, scale: Scale) -> str:
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
    frame = _rect(x, top - 4, width + 8, HEIGHT + 8, 9, ' class="bh-frame"')
    inside = (
        f"<title>{escape(about)}</title>"
        f"{frame if box.role == 'output' else ''}"
        f"{_rect(x, top, width, HEIGHT, HEIGHT / 2 if box.role == 'input' else 6)}"
        f'<text x="{x:.1f}" y="{top + first:.1f}">{name}{shape}</text>{second}'
    )
    value = f'class="{kind}" data-value="{escape(box.name)}"'
    target = _place(box.name) if box.members else anchor(box.label) if box.label else ""
    return f'<a {value} href="#{target}">{inside}</a>' if target else f"<g {value}>{inside}</g>"


def _rect(x: float, top: float, width: float, height: float, corner: float, more: str = "") -> str:
    return (
        f'<rect{more} x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height}" '
        f'rx="{corner:g}"/>'
    )


def _edge(
    part: Flow, edge: tuple[str, str], rms: float | None, points: Sequence[Point], scale: Scale
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


def _caption(groups: bool) -> str:
    text = (
        "Values from top to bottom, as the forward pass makes them; rounded ones are inputs, the "
        "output has a double frame. An arrow is a use, and points the way the gradient takes back. "
        "The number in a box is the root mean square of the gradient of its value; an arrow "
        "carries the gradient of the value that it comes from. The larger it is, the stronger the "
        "colour and the wider the arrow, by powers of ten."
    )
    text += " A numbered module has one box, and a picture of its own below." if groups else ""
    return f"<figcaption>{text}</figcaption>"


__all__ = ["STYLE", "graph"]
