"""What the terms of a sum have in common, for spelling it as people would."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import sympy

from ..algebra import coefficients as co
from ..algebra import laws
from ..algebra.expr import EMPTY, Atom, Expr, Fn, Group, Mono, Power, Red
from ..algebra.normal import add, scaled


def functions(factors: Mapping[Atom, Power], name: str) -> dict[Atom, Power]:
    """The factors that are this function of something."""
    return {a: q for a, q in factors.items() if isinstance(a, Fn) and a.name == name}


def exponent(found: Mapping[Atom, Power]) -> Expr:
    return add(
        *(scaled(a.args[0], sympy.Rational(q)) for a, q in found.items() if isinstance(a, Fn))
    )


def shared(expr: Expr) -> dict[Atom, Power]:
    """What all terms have in common: the lesser power of each atom."""
    out: dict[Atom, Power] = {}
    first, *others = [m.powers for m, _ in expr.terms]
    for atom, q in first.items():
        powers = [q, *(o.get(atom, Fraction(0)) for o in others)]
        if all(p > 0 for p in powers):
            out[atom] = min(powers)
        elif all(p < 0 for p in powers):
            out[atom] = max(powers)
    return out


def alike(expr: Expr) -> Expr | None:
    """The terms that share the heaviest factor, if some do and others do not."""
    if len(expr.terms) < 3:
        return None
    counts: dict[Atom, int] = {}
    for mono, _ in expr.terms:
        for atom, q in mono.factors:
            if q > 0 and isinstance(atom, (Group, Red)):
                counts[atom] = counts.get(atom, 0) + 1
    most = [a for a, n in counts.items() if 1 < n < len(expr.terms)]
    if not most:
        return None
    best = max(most, key=lambda a: (counts[a], a.key))
    found = Expr([t for t in expr.terms if t[0].powers.get(best, 0) > 0])
    return None if all(m.free == frozenset() for m, _ in found.terms) else found


def without(mono: Mono, common: Mapping[Atom, Power]) -> list[tuple[Atom, Power]]:
    left: list[tuple[Atom, Power]] = laws.common_factor(mono, common)
    return left


def shared_coefficient(expr: Expr) -> tuple[co.Coefficient, Expr]:
    """A coefficient taken out of a sum, where that makes the sum shorter."""

    def length(e: Expr) -> int:
        return sum(len(str(c)) for _, c in e.terms)

    best: tuple[co.Coefficient, Expr] = (co.ONE, expr)
    for _, c in expr.terms:
        c = -c if co.negative(c) else c
        divided = Expr(laws.common_coefficient(expr.terms, c))
        if length(divided) + len(str(c)) < length(best[1]) + (
            len(str(best[0])) if best[0] != 1 else 0
        ):
            best = c, divided
    return best


def logistic(group: Group) -> Mono | None:
    """The exponential in ``1 + e^x``."""
    inner = [m for m, c in group.expr.terms if m.factors and c == 1]
    if len(inner) != 1 or len(group.expr.terms) != 2 or group.expr.by_mono.get(EMPTY) != 1:
        return None
    exponentials = functions(inner[0].powers, "exp")
    return inner[0] if len(exponentials) == len(inner[0].factors) else None
