"""Tensors as pictures: one cell per entry, a scale with numbers, and a text that says what is seen.

A value has a sequential colour map from the smallest to the largest number drawn; a gradient has a
diverging one that reaches as far below zero as above it, by the square root of the magnitude: its
few large entries would leave nothing to be seen of the others. A page that shows the figures needs
``STYLE`` and images from ``data:`` (``img-src data:``). There is no script in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import prod
from typing import Literal

import numpy as np
import torch

from ..emit.listing import size_texts
from ..program.ir import Value
from ..program.sizes import Symbol
from .cells import block, drawn, folding, stops
from .numbers import Array, number_text, numbers, root_mean_square

Kind = Literal["value", "gradient"]

# On the screen, in CSS pixels: at most for the picture and for one cell, at least for a picture.
HEIGHT, WIDTH, CELL, LEAST = 320, 576, 14, 22

# What a page says once, near the first of its heatmaps.
NOTE = (
    "Values have one colour map, from the smallest to the largest number. Gradients are blue below "
    "zero, red above it and grey at zero, as far to either side; their colours go by the square "
    "root of the magnitude, so that small entries are seen beside large ones."
)

STYLE = f"""
.bh-heatmap {{ margin: .75rem 0; display: inline-block; max-width: 100%;
  vertical-align: top; }}
.bh-heatmap figcaption {{ font-size: .85rem; line-height: 1.45; max-width: 36rem;
  margin-top: .35rem; }}
.bh-heatmap code {{ font-family: ui-monospace, monospace; }}
.bh-plot {{ display: grid; grid-template-columns: auto minmax(0, max-content); gap: .15rem .35rem;
  justify-content: start; font: .8rem/1.2 ui-monospace, monospace; }}
.bh-plot img {{ grid-column: 2; max-width: 100%; image-rendering: pixelated;
  border: 1px solid #888; box-sizing: content-box; margin: -1px; }}
.bh-plot span {{ opacity: .85; text-align: center; }}
.bh-down {{ writing-mode: vertical-rl; transform: rotate(180deg); }}
.bh-across {{ grid-column: 2; }}
.bh-scale {{ position: relative; height: 2.1rem; width: 26rem; max-width: 100%;
  font: .8rem/1 ui-monospace, monospace; margin-top: .5rem; }}
.bh-scale::before {{ content: ""; display: block; height: .7rem; border: 1px solid #888;
  box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact;
  background: linear-gradient(to right, {stops("value")}); }}
.bh-scale-gradient::before {{ background: linear-gradient(to right, {stops("gradient")}); }}
.bh-scale span {{ position: absolute; top: .95rem; transform: translateX(-50%);
  white-space: nowrap; }}
.bh-scale span::before {{ content: ""; position: absolute; left: 50%; top: -.3rem; height: .22rem;
  border-left: 1px solid; }}
.bh-scale .bh-low {{ transform: none; }}
.bh-scale .bh-low::before {{ left: 0; }}
.bh-scale .bh-high {{ transform: translateX(-100%); }}
.bh-scale .bh-high::before {{ left: auto; right: 0; }}
@media (max-width: 32rem) {{ .bh-scale .bh-quarter {{ display: none; }} }}
.bh-chequer {{ display: inline-block; width: .8em; height: .8em; border: 1px solid #888;
  print-color-adjust: exact; -webkit-print-color-adjust: exact;
  background: conic-gradient(#000 25%, #fff 0 50%, #000 0 75%, #fff 0) 0 0/.4em .4em; }}
@media print {{ .bh-heatmap {{ break-inside: avoid; }} }}
.bh-number {{ font: 1.6rem/1.4 ui-monospace, monospace; margin: 0; }}
"""


def axis_names(value: Value, symbols: Sequence[Symbol]) -> tuple[str, ...]:
    """What the axes of a program's value are called: its sizes, by the author's names if any.

    >>> from backhand.program.sizes import Size, symbol
    >>> x = Value("x", (Size(symbol("n")), 27), "float32")
    >>> axis_names(x, [Symbol("n", "x", 0, 32, named=True)])
    ('n', '27')
    """
    return tuple(size_texts(value.shape, symbols))


def heatmap(tensor: torch.Tensor, name: str, axes: Sequence[str], kind: Kind) -> str:
    """A tensor as an HTML ``<figure>``: picture, colour scale, axes, caption.

    ``axes`` has a name for every axis (see ``axis_names``). More than two axes are folded into
    tiles, large tensors are drawn in blocks, and the caption says so. Any shape and dtype will do.
    """
    what = f"<code>{escape(name)}</code>, {_kind(tensor, kind)}"
    if tensor.is_meta:
        return _figure("", f"{what}: on the meta device, without numbers.")
    if not tensor.numel():
        return _figure("", f"{what}: empty, its shape is {list(tensor.shape)}.")
    array = numbers(tensor)
    if not array.ndim:
        number = f'<p class="bh-number">{number_text(array.item(), tensor.dtype)}</p>'
        return _figure(number, f"{what}: a scalar.")
    return _picture(tensor, array, name, tuple(axes), kind, what)


def _picture(
    tensor: torch.Tensor, array: Array, name: str, axes: tuple[str, ...], kind: Kind, what: str
) -> str:
    if tensor.is_complex():
        kind = "value"  # magnitudes have no sign
    finite = array[np.isfinite(array)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    picture = drawn(array, kind)
    down, across = picture.cells
    size = max(1, min(CELL, WIDTH // across, HEIGHT // down))
    width, height = max(across * size, LEAST), max(down * size, LEAST)
    labels = _labels(axes, array.shape)
    seen = _range(tensor.dtype, finite, low, high)
    shape = _shape(axes, array.shape)
    alt = f"Heatmap of {name}, {_kind(tensor, kind)}, {shape}. {seen}{_extremes(array, low, high)}"
    plot = (
        f'<div class="bh-plot"><span class="bh-down">{escape(labels[0])}</span>'
        f'<img src="{picture.png}" alt="{escape(alt)}" width="{width}" height="{height}">'
        f'<span class="bh-across">{escape(labels[1])}</span></div>'
    )
    # a mean of integers is none
    dtype = tensor.dtype if _blocks(array) == (1, 1) else torch.float64
    scale = _scale(dtype, *picture.scale, kind) if finite.size else ""
    notes = [escape(seen), *_notes(tensor, array, axes, kind)]
    return _figure(plot + scale, f"{what}, {escape(shape)}. {' '.join(notes)}")


def _figure(inside: str, caption: str) -> str:
    return f'<figure class="bh-heatmap">{inside}<figcaption>{caption}</figcaption></figure>'


def _kind(tensor: torch.Tensor, kind: Kind) -> str:
    return f"a {kind}" if kind == "gradient" else str(tensor.dtype).removeprefix("torch.")


def _axis(names: Sequence[str], sizes: Sequence[int]) -> str:
    """``n = 32``; a size without a name is a number alone; several are multiplied."""
    text, size = " × ".join(names), str(prod(sizes))
    return text if text == size else f"{text} = {size}"


def _shape(axes: Sequence[str], shape: Sequence[int]) -> str:
    """``[n, 27] = [32, 27]``."""
    names, sizes = (f"[{', '.join(map(str, part))}]" for part in (axes, shape))
    return names if names == sizes else f"{names} = {sizes}"


def _labels(axes: Sequence[str], shape: Sequence[int]) -> tuple[str, str]:
    fold = folding(shape)
    if fold.beside:
        down, across = (f"{_axis([axes[k]], [shape[k]])} in each tile" for k in (1, 2))
        return down, across
    down, across = (
        _axis([axes[k] for k in along], [shape[k] for k in along]) if along else ""
        for along in (fold.down, fold.across)
    )
    return down, across


def _range(dtype: torch.dtype, finite: Array, low: float, high: float) -> str:
    """Which numbers there are, in a sentence."""
    if not finite.size:
        return "No entry is a finite number."
    if low == high:
        return "It is zero everywhere." if not low else f"Every entry is {number_text(low, dtype)}."
    text = f"From {number_text(low, dtype)} to {number_text(high, dtype)}"
    if dtype.is_floating_point or dtype.is_complex:
        text += f", root mean square {number_text(root_mean_square(finite), dtype)}"
    zeros = int((finite == 0).sum())
    if zeros and dtype.is_floating_point:
        text += f"; {zeros:,} of {finite.size:,} entries are zero"
    return f"{text}."


def _extremes(array: Array, low: float, high: float) -> str:
    """Where the extremes are, for those who do not see them."""
    if low == high or not np.isfinite(array).all():
        return ""
    places = [
        ", ".join(str(k) for k in np.unravel_index(int(at), array.shape))
        for at in (array.argmin(), array.argmax())
    ]
    return f" The smallest is at [{places[0]}], the largest at [{places[1]}]."


def _scale(dtype: torch.dtype, low: float, high: float, kind: Kind) -> str:
    """The colour bar with its numbers; nothing where there is one colour only."""
    if low == high:
        return ""
    if kind == "gradient":
        most = max(-low, high)
        ticks = [(-most, 0.0), (-most / 4, 0.25), (0.0, 0.5), (most / 4, 0.75), (most, 1.0)]
    else:
        ticks = [(low, 0.0), (high, 1.0)]
        # halves: the distance may be more than a float can hold
        zero = (low / 2) / (low / 2 - high / 2)
        if 0.25 < zero < 0.75:  # nearer to an end it would stand on the label there
            ticks.insert(1, (0.0, zero))
    texts = [number_text(number, dtype, 2 if p in (0.25, 0.75) else 3) for number, p in ticks]
    if kind == "gradient" and len(texts[0]) + len(texts[1]) / 2 > ROOM:
        del ticks[1::2], texts[1::2]
    labels = "".join(
        f'<span class="{_PLACES.get(place, "bh-zero")}" style="left:{100 * place:.4g}%">'
        f"{text}</span>"
        for text, (_, place) in zip(texts, ticks, strict=True)
    )
    return f'<div class="bh-scale bh-scale-{kind}" aria-hidden="true">{labels}</div>'


# Characters between an end of a narrow scale and its first quarter.
ROOM = 9.5
_PLACES = {0.0: "bh-low", 0.25: "bh-quarter", 0.75: "bh-quarter", 1.0: "bh-high"}


def _blocks(array: Array) -> tuple[int, int]:
    """How many entries a cell stands for, down and across."""
    fold = folding(array.shape)
    if fold.beside:  # tiles lie beside one another only where all entries have room
        return 1, 1
    return block([prod(array.shape[k] for k in along) for along in (fold.down, fold.across)])


def _notes(tensor: torch.Tensor, array: Array, axes: Sequence[str], kind: Kind) -> list[str]:
    """What is to be known about the picture: HTML sentences."""
    notes = []
    if tensor.is_complex():
        notes.append("Of complex numbers the magnitudes are drawn.")
    fold = folding(array.shape)
    if fold.tiles:
        notes.append(_tiles(axes, array.shape))
    rows, columns = _blocks(array)
    if (rows, columns) != (1, 1):
        entries = f"{rows} × {columns}" if array.ndim > 1 else str(columns)
        how = (
            "the entry of largest magnitude in its block (in a mean, entries would cancel)"
            if kind == "gradient"
            else "the mean of its block"
        )
        notes.append(
            f"Drawn smaller: a cell stands for a block of up to {entries} entries and shows {how}."
        )
    if broken := _not_finite(array):
        notes.append(f'<span class="bh-chequer"></span> {broken}')
    return notes


def _tiles(axes: Sequence[str], shape: Sequence[int]) -> str:
    fold = folding(shape)
    tile = f"{axes[-2]} × {axes[-1]}"
    if fold.beside:
        of = _axis([axes[0]], [shape[0]])
        return escape(f"A tile of {tile} for each of {of}, from left to right and then down.")
    parts = [
        f"{' × '.join(axes[k] for k in along)} of them {where}"
        for along, where in ((fold.down[:-1], "down"), (fold.across[:-1], "across"))
        if along
    ]
    return escape(f"The last two axes make a tile of {tile}; there are {' and '.join(parts)}.")


def _not_finite(array: Array) -> str:
    counts = {
        "NaN": int(np.isnan(array).sum()),
        "∞": int(np.isposinf(array).sum()),
        "−∞": int(np.isneginf(array).sum()),
    }
    found = [f"{n:,} × {what}" for what, n in counts.items() if n]
    return f"Chequered: {', '.join(found)}." if found else ""


__all__ = ["NOTE", "STYLE", "Kind", "axis_names", "heatmap"]
