"""How large gradients are, as colours, widths and words: a level for each power of ten."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, isfinite, log10

import matplotlib
import numpy as np

LEVELS = 7
BROKEN = 4.0  # the width of an arrow whose gradient is no number


def _levels(scheme: str) -> str:
    """The colours of gradients, from the smallest to the largest, as CSS variables."""
    name, start, end = {"light": ("Oranges", 0.22, 1.0), "dark": ("YlOrBr_r", 0.04, 0.84)}[scheme]
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

# Styles for what lies in an element of the class ``bh-graph``.
MAGNITUDES = f"""
.bh-graph {{ {_levels("light")}
  --bh-quiet: #f4f4f4; --bh-line: #777; --bh-on: #111; --bh-broken: #c0148c; }}
@media (prefers-color-scheme: dark) {{ .bh-graph {{ {_levels("dark")}
  --bh-quiet: #242424; --bh-line: #8d8d8d; --bh-on: #eee; --bh-broken: #ff5ec7; }} }}
.bh-graph rect {{ fill: var(--bh-quiet); stroke: var(--bh-line); }}
.bh-graph text {{ fill: var(--bh-on); }}
.bh-graph .bh-edge path {{ fill: none; stroke: var(--bh-line); stroke-width: 1; }}
.bh-graph .bh-edge .bh-head {{ stroke: none; fill: var(--bh-line); }}
.bh-graph .bh-still path {{ stroke-dasharray: 2 4; }}
.bh-graph .bh-zero path {{ stroke-dasharray: 7 3; }}
.bh-graph .bh-broken rect {{ stroke: var(--bh-broken); stroke-width: 4; }}
.bh-graph .bh-edge.bh-broken path {{ stroke: var(--bh-broken); stroke-width: {BROKEN};
  stroke-dasharray: 7 3; }}
.bh-graph .bh-edge.bh-broken .bh-head {{ fill: var(--bh-broken); stroke: none; }}
{_FLOWS}
.bh-legend {{ display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none;
  align-items: center; padding: 0; margin: .5rem 0; font-size: .85rem; }}
.bh-legend svg {{ vertical-align: middle; margin-right: .35rem; }}
"""


class Scale:
    """Levels of magnitude: a power of ten each, from the largest gradient down.

    All that is smaller still is one level: gradients that are zero but for rounding are many powers
    smaller, and would leave one colour for all others.
    """

    def __init__(self, sizes: Iterable[float | None]) -> None:
        there = [r for r in sizes if r is not None]
        sound = [r for r in there if r and isfinite(r)]
        self.top = floor(log10(max(sound, default=1.0)))
        texts = {f"bh-flow-{k}": self._range(k) for k in reversed(range(LEVELS))}
        texts |= {"bh-zero": "zero everywhere", "bh-broken": "NaN or infinite"}
        styles = {self.style(r) for r in there}
        self.used = {style: text for style, text in texts.items() if style in styles}

    def _level(self, rms: float) -> int:
        return max(0, LEVELS - 1 - self.top + floor(log10(rms)))

    def style(self, rms: float | None) -> str:
        """The class of what has a gradient of this size."""
        if rms is None:
            return "bh-still"
        if not isfinite(rms):
            return "bh-broken"
        return f"bh-flow-{self._level(rms)}" if rms else "bh-zero"

    def width(self, rms: float | None) -> float:
        """How wide an arrow is; its head is in proportion."""
        if not rms:
            return 1.0
        return _wide(self._level(rms)) if isfinite(rms) else BROKEN

    def _range(self, level: int) -> str:
        """Which sizes a level stands for, in HTML."""
        low = self.top - LEVELS + 1 + level
        powers = [f"10<sup>{k}</sup>".replace("-", "−") for k in (low, low + 1)]
        return " to ".join(powers) if level else f"below {powers[1]}"


def legend(scale: Scale) -> str:
    """What each level looks like, and its numbers; only those that occur."""
    out = [
        f"<li>{_swatch(f'bh-node {style}', f'bh-edge {style}')}{text}</li>"
        for style, text in scale.used.items()
    ]
    out.append(f"<li>{_swatch('bh-node bh-still bh-input', 'bh-edge bh-still')}no gradient</li>")
    return f'<ul class="bh-legend">{"".join(out)}</ul>'


def _swatch(box: str, line: str) -> str:
    return (
        '<svg aria-hidden="true" width="58" height="18" viewBox="0 0 58 18">'
        f'<g class="{box}"><rect x="1" y="1" width="26" height="16" rx="4"/></g>'
        f'<g class="{line}"><path d="M31 9H57"/></g></svg>'
    )


__all__ = ["MAGNITUDES", "Scale", "legend"]
