"""Expressions in index notation, and the atoms that they are made of.

An expression is a sum of terms ``c · Π atom^q``: ``c`` a rational function of sizes, ``q``
rational. An atom is a tensor with an index per axis, a Kronecker delta, a sum over bound indices,
a group (a sum of terms that is raised to a power or multiplied as a whole, such as ``x - mean``),
or a function of expressions. Everything here is immutable and compared by a canonical key, so equal
expressions are equal objects; ``normal.py`` has the constructors that keep the form normal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias

from . import coefficients as co

Power: TypeAlias = Fraction
Coefficient: TypeAlias = co.Coefficient


@dataclass(frozen=True)
class Via:
    """An index read from a tensor of integers: ``Y[i]`` in ``x[i, Y[i]]``."""

    name: str
    index: tuple[IndexTerm, ...]

    @property
    def key(self) -> str:
        return f"{self.name}[{','.join(map(index_key, self.index))}]"


# An axis or bound name, a constant, or data.
IndexTerm: TypeAlias = "str | int | Via"


def index_key(term: IndexTerm) -> str:
    return term.key if isinstance(term, Via) else str(term)


def index_names(term: IndexTerm) -> Iterator[str]:
    """The free names in an index."""
    if isinstance(term, str):
        yield term
    elif isinstance(term, Via):
        for inner in term.index:
            yield from index_names(inner)


class Atom:
    """Base of all atoms: compared by ``key``.

    ``free``: the indices it depends on. ``linear``: it holds a gradient. ``flag``: it is 0 or 1
    everywhere, so its powers are itself. ``depth``: how deep sums are nested in it.
    """

    key: str
    free: frozenset[str]
    linear: bool = False
    flag: bool = False
    depth: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return self.key


class Ref(Atom):
    """A tensor of the program with an index per axis (axes of size one have none)."""

    def __init__(
        self,
        name: str,
        index: tuple[IndexTerm, ...] = (),
        linear: bool = False,
        flag: bool = False,
    ) -> None:
        self.name, self.index, self.linear, self.flag = name, index, linear, flag
        self.key = f"{name}[{','.join(map(index_key, index))}]"
        self.free = frozenset(n for t in index for n in index_names(t))


class Delta(Atom):
    """1 where the two indices are equal, else 0."""

    flag = True

    def __init__(self, a: IndexTerm, b: IndexTerm) -> None:
        self.a, self.b = sorted((a, b), key=index_key)
        self.key = f"δ({index_key(self.a)},{index_key(self.b)})"
        self.free = frozenset((*index_names(self.a), *index_names(self.b)))


class Red(Atom):
    """A sum of a product over bound indices; ``bound`` pairs names and sizes."""

    def __init__(self, bound: tuple[tuple[str, Coefficient], ...], mono: Mono) -> None:
        self.bound, self.mono = bound, mono
        names = ",".join(f"{n}<{size}" for n, size in bound)
        self.key = f"Σ({names})({mono.key})"
        self.free = mono.free - {n for n, _ in bound}
        self.linear = mono.linear
        self.depth = mono.depth + 1


class Group(Atom):
    """A sum of terms taken as a whole."""

    def __init__(self, expr: Expr) -> None:
        self.expr = expr
        self.key = f"({expr.key})" if len(expr.key) < 40 else f"(#{_digest(expr.key)})"
        self.free, self.linear, self.depth = expr.free, expr.linear, expr.depth


class Fn(Atom):
    """An elementwise function of expressions: ``exp``, ``tanh``, ``gt``, …"""

    def __init__(self, name: str, args: tuple[Expr, ...], flag: bool = False) -> None:
        self.name, self.args, self.flag = name, args, flag
        inside = ",".join(a.key for a in args)
        self.key = f"{name}({inside if len(inside) < 60 else '#' + _digest(inside)})"
        self.free = frozenset().union(*(a.free for a in args))
        self.linear = any(a.linear for a in args)
        self.depth = max((a.depth for a in args), default=0)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=9).hexdigest()


class Mono:
    """A product of atoms to powers, in the order of their keys."""

    def __init__(self, factors: Iterable[tuple[Atom, Power]]) -> None:
        self.factors = tuple(sorted(factors, key=lambda f: f[0].key))
        self.key = "·".join(a.key if q == 1 else f"{a.key}^{q}" for a, q in self.factors)
        self.free = frozenset[str]().union(*(a.free for a, _ in self.factors))
        self.linear = any(a.linear for a, _ in self.factors)
        self.depth = max((a.depth for a, _ in self.factors), default=0)

    @cached_property
    def powers(self) -> dict[Atom, Power]:
        return dict(self.factors)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mono) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return self.key or "1"


EMPTY = Mono(())


class Expr:
    """A sum of terms; ``terms`` pairs each product with its coefficient, in canonical order."""

    def __init__(self, terms: Iterable[tuple[Mono, Coefficient]]) -> None:
        self.terms = tuple(sorted(terms, key=lambda t: t[0].key))
        self.key = " + ".join(f"{co.key(c)}*{m.key}" for m, c in self.terms)
        self.free = frozenset[str]().union(*(m.free for m, _ in self.terms))
        self.linear = any(m.linear for m, _ in self.terms)
        self.depth = max((m.depth for m, _ in self.terms), default=0)

    @cached_property
    def by_mono(self) -> dict[Mono, Coefficient]:
        return dict(self.terms)

    @property
    def is_zero(self) -> bool:
        return not self.terms

    @property
    def constant(self) -> Coefficient | None:
        """The coefficient, if the expression is nothing else."""
        if not self.terms:
            return co.ZERO
        (mono, c), *rest = self.terms
        return c if not rest and not mono.factors else None

    def atoms(self) -> Iterator[Atom]:
        """The atoms of all terms, those inside other atoms not included."""
        for mono, _ in self.terms:
            for atom, _ in mono.factors:
                yield atom

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return self.key or "0"


def inner_atoms(expr: Expr) -> Iterator[Atom]:
    """Every atom, however deep, each before what is inside it."""
    for atom in expr.atoms():
        yield atom
        if isinstance(atom, Red):
            yield from inner_atoms(Expr([(atom.mono, co.ONE)]))
        elif isinstance(atom, Group):
            yield from inner_atoms(atom.expr)
        elif isinstance(atom, Fn):
            for arg in atom.args:
                yield from inner_atoms(arg)
