"""Rewriting beyond the normal form: sums multiplied out or taken together where that is shorter.

Each step is directed: it is kept only if the expression gets lighter, so the search ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction

from . import coefficients as co
from . import laws
from .coefficients import Coefficient
from .expr import Atom, Delta, Expr, Fn, Group, Mono, Power, Red
from .match import matches, mono_expr
from .normal import TooLarge, add, map_inside, mul, rebuilt, scaled, substitute, term

MOST_ROUNDS = 12


def lightness(expr: Expr) -> tuple[float, float, str]:
    """Fewer terms first, then fewer and simpler factors."""
    total = sum(_weight(a, q) for m, _ in expr.terms for a, q in m.factors)
    return len(expr.terms), total, expr.key


def _weight(atom: Atom, q: Power) -> float:
    if isinstance(atom, Red):
        base = 4.0 + sum(_weight(a, p) for a, p in atom.mono.factors)
    elif isinstance(atom, Group):
        base = 2.0 + len(atom.expr.terms)
    else:
        base = 2.0 if isinstance(atom, (Fn, Delta)) else 1.0
    return base * float(max(Fraction(1), abs(q)))


def simplify(expr: Expr, sums: Iterable[Group] = ()) -> Expr:
    """The lightest expression found by taking sums together and multiplying groups out."""
    known = list(dict.fromkeys([*sums]))
    for _ in range(MOST_ROUNDS):
        better = min(_neighbours(expr, known), key=lightness, default=expr)
        if lightness(better) >= lightness(expr):
            return expr
        expr = better
    return expr


def _neighbours(expr: Expr, known: list[Group]) -> Iterator[Expr]:
    groups = _groups(expr)
    for group in dict.fromkeys([*groups, *known]):
        yield collected(expr, group)
    for group in groups:
        try:
            opened = expanded(expr, group)
        except TooLarge:
            continue
        yield opened
        for other in dict.fromkeys([*groups, *_groups(opened), *known]):
            if other != group:
                opened = collected(opened, other)
                yield opened


def _groups(expr: Expr) -> list[Group]:
    return list(dict.fromkeys(a for a in expr.atoms() if isinstance(a, Group)))


def expanded(expr: Expr, group: Group) -> Expr:
    """Products with the group multiplied out, where its power is a small whole number."""
    out = []
    for mono, c in expr.terms:
        q = mono.powers.get(group, Fraction(0))
        if q <= 0 or q.denominator != 1 or q > 2:
            out.append(Expr([(mono, c)]))
            continue
        rest = [(a, p) for a, p in mono.factors if a != group]
        parts = laws.multiply_out(group.expr.terms, q)
        out += [term(co.times(c, k), [*rest, *f]) for k, f in parts]
    return add(*out)


def collected(expr: Expr, group: Group) -> Expr:
    """Terms that are a multiple of the group's sum, taken together: ``a·y + b·y = (a + b)·y``."""
    (first, k0), *others = group.expr.terms
    if len(expr.terms) <= len(others):
        return expr
    terms = dict(expr.terms)
    for mono, _ in expr.terms:
        if mono not in terms:
            continue
        rest = term(co.ONE, [*mono.factors, *((a, -q) for a, q in first.factors)])
        if len(rest.terms) != 1 or _worse(rest.terms[0][0], mono):
            continue
        (multiple, extra), *_ = rest.terms
        scale = co.times(co.times(terms[mono], extra), co.power(k0, Fraction(-1)))
        needed: dict[Mono, Coefficient] = {mono: terms[mono]}
        for m, k in others:
            partner = term(co.times(scale, k), [*multiple.factors, *m.factors])
            if len(partner.terms) != 1 or terms.get(partner.terms[0][0]) != partner.terms[0][1]:
                break
            needed[partner.terms[0][0]] = partner.terms[0][1]
        else:
            if len(needed) != len(group.expr.terms):
                continue
            left = Expr([(m, k) for m, k in terms.items() if m not in needed])
            whole = term(*laws.take_together(scale, multiple, group))
            terms = dict(add(left, whole).terms)
    return Expr(terms.items())


def _worse(rest: Mono, before: Mono) -> bool:
    """Whether dividing brought in atoms that were not there."""
    return any(a not in before.powers for a, _ in rest.factors)


def unfolded(expr: Expr, define: Callable[[Atom], Expr | None]) -> Expr:
    """Atoms replaced by what they stand for, inside sums of gradients too."""
    out = []
    for mono, c in expr.terms:
        parts: list[tuple[Expr, Power]] = []
        for atom, q in mono.factors:
            found = define(atom)
            if found is not None:
                found, q = laws.unfold_value(found, q)
            else:
                inside = isinstance(atom, Red) and atom.linear
                found = (
                    map_inside(atom, lambda e: unfolded(e, define))
                    if inside
                    else mono_expr(Mono([(atom, Fraction(1))]))
                )
            parts.append((found, q))
        linear = [p for p, q in parts if len(p.terms) != 1 and p.linear and q == 1]
        rest = [(p, q) for p, q in parts if not (len(p.terms) != 1 and p.linear and q == 1)]
        out.append(scaled(mul(rebuilt(rest), *linear), c))
    return add(*out)


def rebased(expr: Expr, old: Atom, new: Expr) -> Expr:
    """The expression with every instance of ``old`` replaced by ``new`` at the same indices."""

    def define(atom: Atom) -> Expr | None:
        if type(atom) is not type(old):
            return None
        for mapping in matches(old, atom):
            return substitute(new, mapping)
        return None

    return unfolded(expr, define)


__all__ = ["Mapping", "collected", "expanded", "lightness", "rebased", "simplify", "unfolded"]
