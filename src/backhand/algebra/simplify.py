"""Rewriting beyond the normal form: sums multiplied out or taken together where that is shorter.

Each step is directed: it is kept only if the expression gets lighter, so the search ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from itertools import chain

from . import coefficients as co
from . import laws
from .coefficients import Coefficient
from .expr import Atom, Delta, Expr, Fn, Group, Mono, Power, Red
from .match import matches, mono_expr
from .normal import TooLarge, add, map_inside, mul, neg, rebuilt, scaled, substitute, term

MOST_ROUNDS = 12
Move = tuple[Callable[[Expr, Group], Expr], Group]


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
        better = laws.found(partial(_lighter, expr, known), expr)
        if better == expr:
            return expr
        expr = better
    return expr


def _lighter(expr: Expr, known: list[Group]) -> tuple[Expr, Callable[[], Expr]]:
    """The lightest of what one step makes of an expression, or itself; and the way there."""
    stay: tuple[Expr, list[Move]] = (expr, [])
    ways = chain([stay], _neighbours(expr, known))
    best, moves = min(ways, key=lambda n: lightness(n[0]))
    return best, partial(_moved, expr, moves)


def _moved(expr: Expr, moves: Iterable[Move]) -> Expr:
    for move, group in moves:
        expr = move(expr, group)
    return expr


def _neighbours(expr: Expr, known: list[Group]) -> Iterator[tuple[Expr, list[Move]]]:
    """What one step makes of an expression, and how."""
    groups = _groups(expr)
    for group in dict.fromkeys([*groups, *known]):
        yield collected(expr, group), [(collected, group)]
    for group in groups:
        try:
            opened = expanded(expr, group)
        except TooLarge:
            continue
        moves: list[Move] = [(expanded, group)]
        yield opened, moves
        for other in dict.fromkeys([*groups, *_groups(opened), *known]):
            if other != group:
                taken = collected(opened, other)
                if taken != opened:
                    opened, moves = taken, [*moves, (collected, other)]
                    yield opened, moves


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


def same(a: Expr, b: Expr) -> bool:
    """Whether two expressions are equal once every product is multiplied out, and multiplied by
    what stands in a denominator.
    """
    if a == b:
        return True
    gap = opened(add(opened(a), neg(opened(b))))
    for _ in range(MOST_ROUNDS):
        lowest = {
            g: min(m.powers.get(g, Fraction(0)) for m, _ in gap.terms) for g in _groups(gap)
        }
        below = next((g for g, q in lowest.items() if q < 0 and q.denominator == 1), None)
        if below is None:
            break
        k = -lowest[below]
        gap = opened(add(*(term(c, laws.clear_denominator(m, below, k)) for m, c in gap.terms)))
    return gap.is_zero


def opened(expr: Expr) -> Expr:
    """Every product with a sum multiplied out, as far as ``expanded`` goes; in functions too."""
    for _ in range(MOST_ROUNDS):
        before = expr
        for group in _groups(expr):
            expr = expanded(expr, group)
        for atom in [a for a in expr.atoms() if isinstance(a, Fn)]:
            inside = map_inside(atom, opened)
            if inside != mono_expr(Mono([(atom, Fraction(1))])):
                expr = rebased(expr, atom, inside)
        if expr == before:
            break
    return expr


def collected(expr: Expr, group: Group) -> Expr:
    """Terms that are a multiple of the group's sum, taken together: ``a·y + b·y = (a + b)·y``."""
    (first, k0), *others = group.expr.terms
    if len(expr.terms) <= len(others):
        return expr
    terms = dict(expr.terms)
    for mono, _ in expr.terms:
        powers = mono.powers
        # dividing by what is not there makes nothing lighter
        if mono not in terms or any(a not in powers for a, _ in first.factors):
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


__all__ = [
    "Mapping", "collected", "expanded", "lightness", "rebased", "same", "simplify", "unfolded",
]  # fmt: skip
