"""The minimal cut of a network: which edges, at the least total capacity, separate two nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

Edge = tuple[str, str, "int | None"]


def least_cut(edges: Iterable[Edge], source: str, sink: str) -> set[str]:
    """The heads of the edges of a minimal cut, the one nearest to the sink.

    A capacity of ``None`` has no limit; of two cuts of one capacity, the one with fewer edges is
    taken. Shortest augmenting paths (Edmonds and Karp).

    >>> least_cut([("s", "a", None), ("a", "b", 3), ("b", "t", 2)], "s", "t")
    {'t'}
    """
    edges = list(edges)
    finite = [c for _, _, c in edges if c is not None]
    scale = len(edges) + 1
    endless = (sum(finite) + 1) * scale * 2 + scale
    room: dict[str, dict[str, int]] = {source: {}, sink: {}}
    for a, b, capacity in edges:
        size = endless if capacity is None else capacity * scale + 1
        room.setdefault(a, {})[b] = size
        room.setdefault(b, {}).setdefault(a, 0)
    while (path := _path(room, source, sink)) is not None:
        flow = min(room[a][b] for a, b in path)
        for a, b in path:
            room[a][b] -= flow
            room[b][a] += flow
    behind = {sink}
    waiting = [sink]
    while waiting:
        b = waiting.pop()
        for a in room[b]:
            if a not in behind and room[a].get(b, 0) > 0:
                behind.add(a)
                waiting.append(a)
    return {b for a, b, _ in edges if a not in behind and b in behind}


def _path(room: dict[str, dict[str, int]], source: str, sink: str) -> list[tuple[str, str]] | None:
    """A shortest path along which there is room."""
    before = {source: source}
    waiting = deque([source])
    while waiting:
        a = waiting.popleft()
        for b, left in room[a].items():
            if left > 0 and b not in before:
                before[b] = a
                if b == sink:
                    path = []
                    while b != source:
                        path.append((before[b], b))
                        b = before[b]
                    return path[::-1]
                waiting.append(b)
    return None
