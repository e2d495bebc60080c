"""The backward pass inside a function that is asked for some of the gradients only.

A statement runs if one of the gradients that need it is asked for. Statements that every gradient
needs carry no condition, and neighbours with the same condition share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .layout import WIDTH, broken
from .listing import names_in, preamble, printed_name, read_before, size_names
from .passes import Passes
from .python import Line, Printer

Wants = frozenset[str]


@dataclass(frozen=True)
class Body:
    """The statements of a backward pass, and the expression of each input's gradient."""

    lines: tuple[str, ...]
    results: tuple[tuple[str, str], ...]


def backward_lines(p: Passes) -> tuple[Body, set[str]]:
    """The body of ``_backward`` before its ``return``, and the names that it reads."""
    symbols = p.backward.symbols
    printer = Printer(p.backward, size_names(symbols))
    blocks = [(step, made) for step in p.backward.steps if (made := printer.step_lines(step))]
    lines = [line for _, made in blocks for line in made]
    results = [printed_name(v) for v in p.backward.outputs]
    wants = dict(zip(p.gradients, results, strict=True))
    need = _needed(lines, wants)
    ends = _last_uses(lines, {*results, *p.ups})
    conditions = _Conditions(p.gradients, [s for s in need.values()])
    head = preamble(symbols, names_in(line.text for line in lines))
    out: list[str] = [*head, *conditions.definitions]
    conditional = [
        name
        for name, result in wants.items()
        if result not in p.ups and _made_under(result, lines, need, p.gradients)
    ]
    if conditional:
        targets = " = ".join(wants[name] for name in conditional)
        out.append(f"{targets} = None")
    position = 0
    for step, made in blocks:
        if out:
            out.append("")
        if step.source:
            out.append(f"# {step.source}")
        for group in _groups(made, need, position):
            condition = conditions.text(need[group[0][0]])
            margin = 4 if condition else 0
            if condition:
                out += broken(f"if {condition}:", WIDTH - 4)
            for _, line in group:
                out += [
                    " " * margin + part for part in broken(line.text, WIDTH - 4 - margin)
                ]
            gone = sorted(name for i, _ in group for name in ends.get(i, ()))
            if gone:
                out.append(" " * margin + f"del {', '.join(gone)}")
        position += len(made)

    def passed_on(result: str) -> bool:
        """Whether a gradient is what came in, or began as that."""
        return result in p.ups or not any(result in line.targets for line in lines)

    given = [
        (name, f"{result} if wants_{name} else None" if passed_on(result) else result)
        for name, result in wants.items()
    ]
    read = read_before((*head, *(line.text for line in lines), *results))
    return Body(tuple(out), tuple(given)), read


def _needed(lines: Sequence[Line], wants: Mapping[str, str]) -> dict[int, Wants]:
    """For each statement, the inputs whose gradients need it."""
    need: dict[str, set[str]] = {}
    for of, result in wants.items():
        need.setdefault(result, set()).add(of)
    found: dict[int, Wants] = {}
    for i in range(len(lines) - 1, -1, -1):
        line = lines[i]
        asked: set[str] = set()
        for name in line.targets:
            asked |= need.pop(name, set())
        for name in line.reads:
            need.setdefault(name, set()).update(asked)
        found[i] = frozenset(asked)
    return found


def _made_under(
    result: str, lines: Sequence[Line], need: Mapping[int, Wants], everything: Sequence[str]
) -> bool:
    """Whether the statement that first assigns ``result`` has a condition."""
    first = next((i for i, line in enumerate(lines) if result in line.targets), None)
    return first is not None and need[first] != frozenset(everything)


def _last_uses(lines: Sequence[Line], keep: set[str]) -> dict[int, set[str]]:
    """After which statement each value of the backward pass is not read any more."""
    last: dict[str, int] = {}
    made: set[str] = set()
    for i, line in enumerate(lines):
        for name in (*line.reads, *line.targets):
            last[name] = i
        made.update(line.targets)
    ends: dict[int, set[str]] = {}
    for name, i in last.items():
        if name in made and name not in keep:
            ends.setdefault(i, set()).add(name)
    return ends


def _groups(
    made: Sequence[Line], need: Mapping[int, Wants], position: int
) -> list[list[tuple[int, Line]]]:
    out: list[list[tuple[int, Line]]] = []
    for i, line in enumerate(made, position):
        if out and need[out[-1][0][0]] == need[i]:
            out[-1].append((i, line))
        else:
            out.append([(i, line)])
    return out


class _Conditions:
    """Conditions by the gradients that ask: the larger ones are made of the smaller ones."""

    def __init__(self, everything: Sequence[str], found: Sequence[Wants]) -> None:
        self.everything = frozenset(everything)
        self.order = list(everything)
        self.named: dict[Wants, str] = {}
        self.definitions: list[str] = []
        for wants in sorted({w for w in found if 2 < len(w) < len(everything)}, key=self._size):
            text = self._joined(wants)
            name = f"asked_{len(self.named) + 1}"
            self.named[wants] = name
            self.definitions += broken(f"{name} = {text}", WIDTH - 4)

    def _size(self, wants: Wants) -> tuple[int, list[int]]:
        return len(wants), sorted(map(self.order.index, wants))

    def _joined(self, wants: Wants) -> str:
        parts: list[str] = []
        rest = set(wants)
        for smaller in sorted(self.named, key=len, reverse=True):
            if smaller <= rest:
                parts.append(self.named[smaller])
                rest -= smaller
        parts += [f"wants_{name}" for name in self.order if name in rest]
        return " or ".join(parts)

    def text(self, wants: Wants) -> str:
        """The condition as source; empty if whatever is asked for needs it."""
        if wants == self.everything:
            return ""
        return self.named.get(wants) or self._joined(wants)
