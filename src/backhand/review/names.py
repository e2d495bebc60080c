"""Which names of the handwritten code stand for which forward values and gradients."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .handwritten import Handwritten, Statement


@dataclass(frozen=True)
class Candidate:
    """The statements that together make one gradient, and the temporaries they need before.

    ``index`` is the position of the last statement; ``last`` is false where a later statement
    makes the same gradient anew, ``final`` where the name holds another gradient in the end.
    """

    name: str
    of: str
    own: tuple[int, ...]
    needed: tuple[int, ...]
    last: bool = True
    final: bool = True

    @property
    def index(self) -> int:
        return self.own[-1]


@dataclass(frozen=True)
class Names:
    """Name by name: whose gradient it is (``of``), and the forward value it is (``value``).

    A variable that the forward pass binds again (``h = h.tanh()``) stands for several values, and
    ``dh`` for their gradients in turn, from the last value's to the first's: ``held`` has, for such
    a name, from which statement on it holds whose gradient.
    """

    known: frozenset[str]
    aliases: Mapping[str, str]
    gradients: Mapping[str, str]
    outputs: tuple[str, ...]
    upstream: str | None = None
    held: Mapping[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)

    def of(self, name: str, at: int | None = None) -> str | None:
        """The forward value whose gradient ``name`` is, if it is one.

        ``at`` is the statement that reads it; without it the name is meant as it is in the end.
        """
        if name in self.held:
            since = [of for i, of in self.held[name] if at is None or i < at]
            return since[-1] if since else self.held[name][0][1]
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
        for name, values in self.held.items():
            if of in {value for _, value in values}:
                return name
        if self.upstream is not None and of == self.outputs[0]:
            return self.upstream
        return f"d{of}"

    def spoken(self, text: str, labels: Mapping[str, str]) -> str:
        """A line of longhand as the person would write it; ``labels`` are its gradients' names."""
        known = {label: self.label(of) for of, label in labels.items()}
        return re.sub(r"(?<![.\w])[^\W\d]\w*", lambda m: known.get(m[0], m[0]), text)


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
            of = names.of(name, i + 1)
            if of is None or statement.blank:
                continue
            called[of] = name
            begun = (i, of) in names.held.get(name, ())
            if of in groups and not begun and not starts_anew(statement, name):
                groups[of][-1].append(i)
            else:
                groups.setdefault(of, []).append([i])
    out: list[Candidate] = []
    for of, attempts in groups.items():
        for k, own in enumerate(attempts):
            needed = tuple(_needed(statements, own, names))
            last = k == len(attempts) - 1
            final = last and names.of(called[of]) == of
            out.append(Candidate(called[of], of, tuple(own), needed, last, final))
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


def attempts_at(handwritten: Handwritten, name: str) -> list[int]:
    """The statements that give ``name`` another gradient, rather than add to the one it holds."""
    return [
        i
        for i, statement in enumerate(handwritten.statements)
        if name in statement.writes
        and not statement.blank
        and (starts_anew(statement, name) or not _adds(statement.node, name))
    ]


def _adds(node: ast.stmt, name: str) -> bool:
    """Whether a statement adds to ``name`` (or changes a part of it) and leaves it what it is."""
    if isinstance(node, ast.AugAssign):
        whole = isinstance(node.target, ast.Name)
        return not whole or isinstance(node.op, (ast.Add, ast.Sub))
    if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) for t in node.targets):
        return name in _terms(node.value)
    return True


def _terms(node: ast.expr) -> set[str]:
    """The names that are terms of a sum."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        return _terms(node.left) | _terms(node.right)
    return {node.id} if isinstance(node, ast.Name) else set()
