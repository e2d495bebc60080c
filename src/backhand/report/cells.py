"""From numbers to the cells of a picture, and from cells to a PNG.

A picture has two axes and room for so many cells. More axes are folded into tiles, the last two
being a tile's; more entries than cells are drawn in blocks.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, log, prod

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .numbers import Array

# Both are safe for colour-blind eyes; the middle of the second is grey, so that zero can be told
# from a white page and from a black one.
MAPS = {"value": "viridis", "gradient": "coolwarm"}
# A picture has at most so many cells: more could not be seen apart, and pages would grow heavy.
ROWS, COLUMNS = 96, 160
# The palette: the levels of a map (an odd number, so that one of them is the middle), black and
# white for what is not finite, and nothing at all for the gaps between tiles.
LEVELS = 253
BLACK, WHITE, GAP = LEVELS, LEVELS + 1, LEVELS + 2


@dataclass(frozen=True)
class Folded:
    """The axes that lie in each direction of a picture.

    With ``tiles`` they repeat a tile, the last two axes. ``beside`` is not 0 where the tiles of one
    axis are laid out as words on a page: so many in a row.
    """

    down: tuple[int, ...]
    across: tuple[int, ...]
    tiles: bool = False
    beside: int = 0


def folding(shape: Sequence[int]) -> Folded:
    """How a tensor of this shape is laid out.

    >>> folding((32, 27))
    Folded(down=(0,), across=(1,), tiles=False, beside=0)
    >>> folding((2, 4, 6, 6))  # maps of attention: examples down, heads across, each tile a map
    Folded(down=(0, 2), across=(1, 3), tiles=True, beside=0)
    >>> folding((32, 3, 10)).beside  # 8 rows of 4 tiles
    4
    """
    rank = len(shape)
    if rank < 3:
        return Folded(tuple(range(rank - 1)), tuple(range(rank))[-1:])
    *leading, row, column = range(rank)
    if rank == 3:
        return Folded((0, 1), (2,), tiles=True, beside=_beside(*shape))
    return Folded((*leading[:-1], row), (leading[-1], column), tiles=True)


def _beside(count: int, height: int, width: int) -> int:
    """How many tiles in a row make a picture that is somewhat wider than high; 0: one is best."""
    best, least = 0, abs(log(1.4 * count * height / width))
    for beside in range(2, count + 1):
        rows, columns = ceil(count / beside) * height, beside * width
        if rows <= ROWS and columns <= COLUMNS and abs(log(1.4 * rows / columns)) < least:
            best, least = beside, abs(log(1.4 * rows / columns))
    return best


def folded(array: Array) -> tuple[Array, tuple[int, int]]:
    """The entries in two axes, and the size of a tile (the whole, if there are no tiles).

    Where the last row of tiles is not full, it is filled with zeros.
    """
    fold, tile = folding(array.shape), array.shape[-2:]
    if fold.beside:
        full = ceil(len(array) / fold.beside) * fold.beside
        array = np.pad(array, ((0, full - len(array)), (0, 0), (0, 0)))
        array = array.reshape(-1, fold.beside, *tile).transpose(0, 2, 1, 3)
        flat = array.reshape(array.shape[0] * tile[0], -1)
    else:
        rows, columns = (prod(array.shape[k] for k in axes) for axes in (fold.down, fold.across))
        flat = array.transpose(*fold.down, *fold.across).reshape(rows, columns)
    return flat, (tile[0], tile[1]) if fold.tiles else flat.shape


def block(shape: Sequence[int]) -> tuple[int, int]:
    """How many entries a cell stands for at most, down and across."""
    return ceil(shape[0] / ROWS), ceil(shape[1] / COLUMNS)


def reduced(array: Array, kind: str) -> Array:
    """One number per cell: the mean of a block, or of a gradient the entry of largest magnitude.

    A gradient's entries would cancel in a mean, and a single large one be lost.
    """
    if block(array.shape) == (1, 1):
        return array
    rows, columns = (_starts(n, k) for n, k in zip(array.shape, (ROWS, COLUMNS), strict=True))

    def over(ufunc: np.ufunc, entries: Array) -> Array:
        found: Array = ufunc.reduceat(ufunc.reduceat(entries, rows, axis=0), columns, axis=1)
        return found

    if array.dtype == np.bool_:
        return over(np.logical_or, array)
    if kind == "gradient":
        most, least = over(np.maximum, array), over(np.minimum, array)
        larger: Array = np.where(most >= -least, most, least)
        return larger
    counts = np.outer(np.diff(rows, append=array.shape[0]), np.diff(columns, append=array.shape[1]))
    most_of_all = counts.max()  # divided by first: the sum may be more than a float can hold
    mean: Array = over(np.add, array.astype(np.float64) / most_of_all) * (most_of_all / counts)
    return mean


def _starts(size: int, room: int) -> NDArray[np.intp]:
    """Where the blocks of an axis begin; there are as many as have room, of nearly equal size."""
    count = min(size, room)
    return np.arange(count) * size // count


@dataclass(frozen=True)
class Picture:
    """A picture as a ``data:`` URI, its cells down and across, and the ends of its scale."""

    png: str
    cells: tuple[int, int]
    scale: tuple[float, float]


def drawn(array: Array, kind: str) -> Picture:
    """The picture of an array of at least one entry and one axis.

    What is not finite is a chequer of black and white, for which every cell has four pixels.
    """
    flat, tile = folded(array)
    there, _ = folded(np.ones(array.shape, bool))
    finite = np.isfinite(flat)
    # halves, because the distance of two numbers may be more than a float can hold
    seen = reduced(np.where(finite, flat, flat.dtype.type(0)) / 2, kind)
    broken = reduced(~finite, kind)
    there = reduced(there, kind)
    sound = seen[~broken & there]
    low, high = (float(sound.min()), float(sound.max())) if sound.size else (0.0, 0.0)
    share = _along_scale(seen, low, high, kind)
    cells = np.rint(np.clip(share, 0, 1) * (LEVELS - 1)).astype(np.uint8)
    cells[~there] = GAP
    if block(flat.shape) == (1, 1):
        cells, broken = (_spaced(a, tile, fill) for a, fill in ((cells, GAP), (broken, False)))
    down, across = cells.shape
    if broken.any():
        cells, broken = (a.repeat(2, 0).repeat(2, 1) for a in (cells, broken))
        odd = np.add.outer(np.arange(2 * down), np.arange(2 * across)) % 2
        cells = np.where(broken, BLACK + odd, cells).astype(np.uint8)
    return Picture(_png(cells, kind), (down, across), (2 * low, 2 * high))


def _along_scale(numbers: Array, low: float, high: float, kind: str) -> Array:
    """The place of each number on a scale from 0 to 1; in the middle where there is but one."""
    if low == high and (kind == "value" or not low):
        return np.full_like(numbers, 0.5)
    if kind == "value":
        return (numbers - low) / (high - low)
    part = numbers / max(-low, high)
    return (np.sign(part) * np.sqrt(np.abs(part)) + 1) / 2


def _spaced(array: Array, tile: tuple[int, int], fill: int | bool) -> Array:
    """The cells with a gap of one between tiles."""
    for axis, size in enumerate(tile):
        # tiles of one row or column are no tiles: the gaps would be all that is seen
        if size > 1:
            array = np.insert(array, range(size, array.shape[axis], size), fill, axis=axis)
    return array


@cache
def palette(kind: str) -> bytes:
    """Three bytes for each index of the palette."""
    levels = matplotlib.colormaps[MAPS[kind]](np.linspace(0, 1, LEVELS))[:, :3]
    colours = np.vstack([np.rint(levels * 255), [[0] * 3, [255] * 3, [255] * 3]])
    return colours.astype(np.uint8).tobytes()


def _png(cells: Array, kind: str) -> str:
    image = Image.frombytes("P", cells.shape[::-1], cells.tobytes())
    image.putpalette(palette(kind))
    file = io.BytesIO()
    clear = {"transparency": GAP} if (cells == GAP).any() else {}
    image.save(file, "PNG", optimize=True, **clear)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def stops(kind: str, count: int = 17) -> str:
    """The colour map as the stops of a gradient in CSS."""
    colours = matplotlib.colormaps[MAPS[kind]](np.linspace(0, 1, count))
    return ", ".join(
        "#" + "".join(f"{round(255 * part):02x}" for part in colour[:3]) for colour in colours
    )


__all__ = ["Folded", "Picture", "block", "drawn", "folding", "stops"]
