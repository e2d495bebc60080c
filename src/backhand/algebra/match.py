"""Finding known products inside others: which indices make two atoms the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations

from . import coefficients as co
from . import laws
from .expr import Atom, Delta, Expr, Fn, Group, IndexTerm, Mono, Ref, Via, index_names, inner_atoms
from .normal import of_atom, substitute

Mapped = Mapping[str, IndexTerm]


def _alone(atom: Atom) -> Expr:
    """The atom as an expression; a group is its sum."""
    return atom.expr if isinstance(atom, Group) else of_atom(atom)


@laws.cached(maxsize=1 << 14)
def fingerprint(atom: Atom) -> str:
    """What two atoms that are the same up to indices share: their kind, what they are made of."""
    parts: Counter[str] = Counter()
    for inner in inner_atoms(_alone(atom)):
        if isinstance(inner, Ref):
            parts[inner.name] += 1
        elif isinstance(inner, Fn):
            parts[inner.name + "()"] += 1
        else:
            parts[type(inner).__name__] += 1
    return f"{type(atom).__name__} {len(atom.free)} {sorted(parts.items())}"


@laws.cached(maxsize=1 << 14)
def index_terms(atom: Atom) -> tuple[IndexTerm, ...]:
    """The free indices of an atom and the data-made ones that stand in it."""
    found: dict[str, IndexTerm] = {n: n for n in sorted(atom.free)}
    for inner in inner_atoms(_alone(atom)):
        terms: tuple[IndexTerm, ...] = ()
        if isinstance(inner, Ref):
            terms = inner.index
        elif isinstance(inner, Delta):
            terms = (inner.a, inner.b)
        for t in terms:
            if isinstance(t, Via) and all(isinstance(i, str) and i in atom.free for i in t.index):
                found[t.key] = t
    return tuple(found.values())


@laws.cached(maxsize=1 << 14)
def _matches(template: Atom, target: Atom) -> tuple[tuple[tuple[str, IndexTerm], ...], ...]:
    if type(template) is not type(target):
        return ()
    if isinstance(template, Ref) and isinstance(target, Ref):
        return _ref_matches(template, target)
    names = sorted(template.free)
    terms = index_terms(target)
    if len(names) > len(terms):
        return ()
    if fingerprint(template) != fingerprint(target) and not any(isinstance(t, Via) for t in terms):
        return ()
    out = []
    whole, wanted = _alone(template), _alone(target)
    for choice in permutations(terms, len(names)):
        items = tuple(zip(names, choice, strict=True))
        if _in_place(template, target, items) and substitute(whole, dict(items)) == wanted:
            out.append(items)
    return tuple(out)


def _in_place(template: Atom, target: Atom, items: Sequence[tuple[str, IndexTerm]]) -> bool:
    """Whether every index stands where the one does that takes its place: quickly told.

    An index that data point at may change what an atom is: then nothing can be told.
    """
    here, there = places_of(template), places_of(target)
    names = {a: b for a, b in items if isinstance(b, str)}
    return len(names) < len(items) or all(here[a] == there[b] for a, b in names.items())


@laws.cached(maxsize=1 << 14)
def places_of(atom: Atom) -> dict[str, set[tuple[str, int]]]:
    """The tensors, and the axes of them, at which each free index stands."""
    found: dict[str, set[tuple[str, int]]] = {name: set() for name in atom.free}
    for inner in inner_atoms(_alone(atom)):
        if isinstance(inner, Ref):
            for k, index in enumerate(inner.index):
                for name in index_names(index):
                    if name in found:
                        found[name].add((inner.name, k))
    return found


def _ref_matches(template: Ref, target: Ref) -> tuple[tuple[tuple[str, IndexTerm], ...], ...]:
    if template.name != target.name:
        return ()
    mapping: dict[str, IndexTerm] = {}
    for a, b in zip(template.index, target.index, strict=True):
        if not isinstance(a, str):
            if a != b:
                return ()
        elif mapping.setdefault(a, b) != b:
            return ()
    return (tuple(mapping.items()),)


def matches(template: Atom, target: Atom) -> Iterator[Mapped]:
    """The index mappings under which ``template`` becomes ``target``."""
    for items in _matches(template, target):
        yield dict(items)


def mono_expr(mono: Mono) -> Expr:
    return Expr([(mono, co.ONE)])
