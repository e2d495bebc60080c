"""Which names of the handwritten code stand for which forward values and gradients."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .handwritten import Handwritten, Statement


@dataclass(frozen=True)
class Candidate:
    """The statements that together make one gradient, and the temporaries they need before.

    ``index`` is the position of the last statement; ``last`` is false where a later statement
    makes the same gradient anew.
    """

    name: str
    of: str
    own: tuple[int, ...]
    needed: tuple[int, ...]
    last: bool = True

    @property
    def index(self) -> int:
        return self.own[-1]


@dataclass(frozen=True)
class Names:
    """Name by name: whose gradient it is (``of``), and the forward value it is (``value``)."""

    known: frozenset[str]
    aliases: Mapping[str, str]
    gradients: Mapping[str, str]
    outputs: tuple[str, ...]
    upstream: str | None = None

    def of(self, name: str) -> str | None:
        """The forward value whose gradient ``name`` is, if it is one."""
        if name in self.gradients:
            return self.gradients[name]
        if name == self.upstream:
            return self.outputs[0]
        if name in self.known or not name.startswith("d"):
            return None
        stem = name[1:]
        stem = self.aliases.get(stem, stem)
        return stem if stem in self.known else None

    def label(self, of: str) -> str:
        """How the person calls the gradient of ``of``."""
        for name, value in self.gradients.items():
            if value == of:
                return name
        if self.upstream is not None and of == self.outputs[0]:
            return self.upstream
        return f"d{of}"


def names_of(handwritten: Handwritten, known: frozenset[str], outputs: tuple[str, ...]) -> Names:
    return Names(
        known, handwritten.names, handwritten.gradients, outputs, handwritten.upstream
    )


def candidates(handwritten: Handwritten, names: Names) -> list[Candidate]:
    """Every attempt at a gradient, in the order in which they are finished."""
    statements = handwritten.statements
    groups: dict[str, list[list[int]]] = {}
    called: dict[str, str] = {}
    for i, statement in enumerate(statements):
        for name in dict.fromkeys(statement.writes):
            of = names.of(name)
            if of is None or statement.blank:
                continue
            called[of] = name
            if of in groups and not starts_anew(statement, name):
                groups[of][-1].append(i)
            else:
                groups.setdefault(of, []).append([i])
    out: list[Candidate] = []
    for of, attempts in groups.items():
        for k, own in enumerate(attempts):
            needed = tuple(_needed(statements, own, names))
            out.append(Candidate(called[of], of, tuple(own), needed, k == len(attempts) - 1))
    return sorted(out, key=lambda c: (c.index, c.own))


def _needed(statements: tuple[Statement, ...], own: list[int], names: Names) -> Iterator[int]:
    """The statements for temporaries that ``own`` read, directly or not, in order."""
    wanted: set[str] = set()
    found: set[int] = set()
    for i in reversed(range(own[-1] + 1)):
        statement = statements[i]
        temporary = any(w in wanted for w in statement.writes)
        if i in own or temporary:
            if i not in own:
                found.add(i)
            wanted.update(r for r in statement.reads if names.of(r) is None)
            # writing to a gradient through another name counts as well
    yield from sorted(found)


def starts_anew(statement: Statement, name: str) -> bool:
    """Whether the statement binds ``name`` without reading what it held before."""
    if name in statement.reads or isinstance(statement.node, ast.AugAssign):
        return False
    return any(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store)
        for n in ast.walk(statement.node)
    )
