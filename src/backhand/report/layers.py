"""A layered drawing of a graph without cycles: where boxes lie, and which way the lines go.

A box's layer is the longest path to it; what nothing leads to lies just above its first reader. A
line through several layers gets a place in each, which all lines from the same box share. The order
within a layer comes from sweeps that put everything at the average place of its neighbours, the
places from least squares that keep the order. (networkx, which torch installs, spaces a layer
evenly and orders nothing; what does both needs a program beside Python, or has a licence that this
package cannot take.)
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
Edge: TypeAlias = tuple[str, str]
# What has a place in a layer: a box, or the lines from a box that pass through it.
Item: TypeAlias = "str | tuple[str, int]"

SWEEPS = 12
# Room beside a box, for a line that passes, and between the ends of lines at one box.
BESIDE, PASSING, PORTS = 20.0, 16.0, 18.0


@dataclass(frozen=True)
class Layout:
    """The middle of each box's upper edge, the points of each line, and the size of the whole.

    A line bends from its first point to the second, goes straight down to the third (through a
    layer), bends to the fourth, and so on.
    """

    boxes: Mapping[str, Point]
    lines: Mapping[Edge, Sequence[Point]]
    width: float
    height: float


def laid_out(
    widths: Mapping[str, float], edges: Sequence[Edge], height: float, gap: float
) -> Layout:
    """The drawing of boxes of these widths and one height, with ``gap`` between layers.

    ``widths`` has the boxes in an order in which every edge goes forward.
    """
    level = _levels(list(widths), edges)
    layers, below = _layers(level, edges)
    layers = _ordered(layers, below)
    places = _places(layers, below, widths)
    left = min(x - _room(item, widths) / 2 for item, x in places.items())
    right = max(x + _room(item, widths) / 2 for item, x in places.items())
    x = {item: place - left for item, place in places.items()}
    top = [k * (height + gap) for k in range(len(layers))]
    ends = _ends(edges, level, x, widths)
    lines: dict[Edge, list[Point]] = {}
    for edge in edges:
        first, last = ends[edge]
        points = [(first, top[level[edge[0]]] + height)]
        for k in range(level[edge[0]] + 1, level[edge[1]]):
            points += [(x[edge[0], k], top[k]), (x[edge[0], k], top[k] + height)]
        lines[edge] = [*points, (last, top[level[edge[1]]])]
    boxes = {name: (x[name], top[level[name]]) for name in widths}
    return Layout(boxes, lines, right - left, top[-1] + height)


def _levels(boxes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The layer of each box."""
    before: dict[str, list[str]] = {name: [] for name in boxes}
    after: dict[str, list[str]] = {name: [] for name in boxes}
    for a, b in edges:
        before[b].append(a)
        after[a].append(b)
    level: dict[str, int] = {}
    for name in boxes:
        level[name] = max((level[a] + 1 for a in before[name]), default=0)
    for name in boxes:
        if not before[name] and after[name]:
            level[name] = min(level[b] for b in after[name]) - 1
    return level


def _layers(
    level: Mapping[str, int], edges: Sequence[Edge]
) -> tuple[list[list[Item]], dict[Item, list[Item]]]:
    """What has a place in each layer, and what each is joined to in the layer below."""
    layers: list[list[Item]] = [[] for _ in range(max(level.values()) + 1)]
    below: dict[Item, list[Item]] = {}
    for name, k in level.items():
        layers[k].append(name)
        below[name] = []
    for a, b in edges:
        passing: list[Item] = [(a, k) for k in range(level[a] + 1, level[b])]
        for item, k in zip(passing, range(level[a] + 1, level[b]), strict=True):
            if item not in below:
                layers[k].append(item)
                below[item] = []
        for upper, lower in pairwise([a, *passing, b]):
            if lower not in below[upper]:
                below[upper].append(lower)
    return layers, below


def _above(below: Mapping[Item, Sequence[Item]]) -> dict[Item, list[Item]]:
    above: dict[Item, list[Item]] = {item: [] for item in below}
    for item, others in below.items():
        for other in others:
            above[other].append(item)
    return above


def _ordered(layers: list[list[Item]], below: Mapping[Item, Sequence[Item]]) -> list[list[Item]]:
    """The layers in the order with the fewest crossings that the sweeps come by."""
    above = _above(below)
    best, fewest = layers, _crossings(layers, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        layers = [list(layer) for layer in layers]
        neighbours = above if down else below
        for k in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            layers[k] = _by_average(layers[k], layers[k - 1 if down else k + 1], neighbours)
        if (found := _crossings(layers, below)) < fewest:
            best, fewest = layers, found
    return best


def _by_average(
    layer: Sequence[Item], beside: Sequence[Item], neighbours: Mapping[Item, Sequence[Item]]
) -> list[Item]:
    """A layer in the order of what its items are joined to in the layer beside it."""
    place = {item: i for i, item in enumerate(beside)}
    average: dict[Item, float] = {}
    for i, item in enumerate(layer):
        at = [place[other] for other in neighbours[item]]
        # what is joined to nothing there keeps its place
        average[item] = sum(at) / len(at) if at else i * len(beside) / len(layer)
    return sorted(layer, key=average.__getitem__)


def _crossings(layers: Sequence[Sequence[Item]], below: Mapping[Item, Sequence[Item]]) -> int:
    """How often lines cross between neighbouring layers."""
    count = 0
    for upper, lower in pairwise(layers):
        place = {item: i for i, item in enumerate(lower)}
        seen: list[int] = []
        for item in upper:
            ends = sorted(place[other] for other in below[item])
            count += sum(len(seen) - bisect(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


def _room(item: Item, widths: Mapping[str, float]) -> float:
    return widths[item] + BESIDE if isinstance(item, str) else PASSING


def _places(
    layers: Sequence[Sequence[Item]],
    below: Mapping[Item, Sequence[Item]],
    widths: Mapping[str, float],
) -> dict[Item, float]:
    """The middle of everything across, near what it is joined to."""
    above = _above(below)
    x: dict[Item, float] = {}
    for layer in layers:
        at = 0.0
        for item in layer:
            x[item] = at + _room(item, widths) / 2
            at += _room(item, widths)

    def pull(item: Item, other: Item) -> float:
        """Lines that pass are straight before all else; what nothing leads to stands aside."""
        if isinstance(item, tuple) and isinstance(other, tuple):
            return 8.0
        return 1.0 if above[item] and above[other] else 0.01

    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        last = sweep >= SWEEPS
        for layer in layers if down else reversed(layers):
            wanted: list[float] = []
            weights: list[float] = []
            for item in layer:
                joined = [*(above[item] if down or last else ()),
                          *(below[item] if not down or last else ())]  # fmt: skip
                parts = [(pull(item, other), x[other]) for other in joined] or [(0.001, x[item])]
                weight = sum(w for w, _ in parts)
                wanted.append(sum(w * at for w, at in parts) / weight)
                weights.append(weight)
            rooms = [_room(item, widths) for item in layer]
            x.update(zip(layer, _apart(wanted, weights, rooms), strict=True))
    return x


def _apart(
    wanted: Sequence[float], weights: Sequence[float], rooms: Sequence[float]
) -> list[float]:
    """The places nearest to the wanted ones that leave everything its room, in the same order.

    Least squares under an order: neighbours that would be too near form a group that takes the
    average of what its members want (pool adjacent violators).

    >>> _apart([0, 0, 10], [1, 1, 1], [2, 2, 2])
    [-1.0, 1.0, 10.0]
    """
    offsets = [0.0]
    for a, b in pairwise(rooms):
        offsets.append(offsets[-1] + (a + b) / 2)
    groups: list[tuple[float, float, int]] = []  # the place of its start, its weight, its members
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        at, heavy, members = want - offset, weight, 1
        while groups and groups[-1][0] > at:
            other, others, count = groups.pop()
            at = (at * heavy + other * others) / (heavy + others)
            heavy, members = heavy + others, members + count
        groups.append((at, heavy, members))
    starts = [at for at, _, members in groups for _ in range(members)]
    return [float(at + offset) for at, offset in zip(starts, offsets, strict=True)]


def _ends(
    edges: Sequence[Edge],
    level: Mapping[str, int],
    x: Mapping[Item, float],
    widths: Mapping[str, float],
) -> dict[Edge, Point]:
    """Where each line leaves its first box and where it meets its last, across.

    The lines at a box lie beside one another, in the order of where they go.
    """
    leaving: dict[str, set[Item]] = {}
    meeting: dict[str, set[Item]] = {}
    joined: dict[Edge, tuple[Item, Item]] = {}
    for a, b in edges:
        through = level[b] - level[a] > 1
        joined[a, b] = ((a, level[a] + 1), (a, level[b] - 1)) if through else (b, a)
        leaving.setdefault(a, set()).add(joined[a, b][0])
        meeting.setdefault(b, set()).add(joined[a, b][1])
    ends: list[dict[tuple[str, Item], float]] = []
    for others in (leaving, meeting):
        found: dict[tuple[str, Item], float] = {}
        for name, items in others.items():
            step = min(PORTS, 0.7 * widths[name] / len(items))
            for i, item in enumerate(sorted(items, key=lambda item: (x[item], str(item)))):
                found[name, item] = x[name] + step * (i - (len(items) - 1) / 2)
        ends.append(found)
    return {
        (a, b): (ends[0][a, first], ends[1][b, last]) for (a, b), (first, last) in joined.items()
    }


__all__ = ["Edge", "Layout", "Point", "laid_out"]
