"""Constructors of expressions: each gives back the normal form.

Sums are flat and like terms collected; products distribute over sums of gradients, and take a sum
of forward values as one group, so that ``(x - mean)**2`` is never multiplied out. A sum over an
index lets go of every factor in which the index does not occur, and of a delta that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from itertools import permutations
from typing import Any

from ..errors import ProgramError
from . import coefficients as co
from . import laws
from .coefficients import Coefficient
from .expr import (
    EMPTY,
    Atom,
    Delta,
    Expr,
    Fn,
    Group,
    IndexTerm,
    Mono,
    Power,
    Red,
    Ref,
    Via,
    index_names,
)
from .laws import Factors

ZERO = Expr(())
ONE = Expr([(EMPTY, co.ONE)])


class TooLarge(ProgramError):
    """An expression outgrew the bound of the search."""


MOST_TERMS = 40


def constant(value: Any) -> Expr:
    """A number, a size or a rational function of sizes."""
    c = co.number(value)
    return ZERO if c == 0 else Expr([(EMPTY, c)])


def of_atom(atom: Atom, power: Power | int = 1) -> Expr:
    return term(co.ONE, [(atom, Fraction(power))])


def ref(name: str, *index: IndexTerm, linear: bool = False, flag: bool = False) -> Expr:
    return of_atom(Ref(name, index, linear, flag))


def delta(a: IndexTerm, b: IndexTerm) -> Expr:
    """1 where the indices are equal."""
    if a == b:
        return constant(laws.delta_of_equals())
    if isinstance(a, int) and isinstance(b, int):
        return ZERO
    return of_atom(Delta(a, b))


def term(c: Coefficient, factors: Iterable[tuple[Atom, Power]]) -> Expr:
    """One term, its equal atoms merged."""
    powers: dict[Atom, Power] = {}
    for atom, q in factors:
        powers[atom] = laws.merge_powers(powers[atom], q) if atom in powers else q
    merged: Factors = []
    for atom, q in powers.items():
        if atom.flag and q > 0 and q != 1:
            q = laws.power_of_flag(q)
        if q and not (atom.flag and _implied(atom, powers)):
            merged.append((atom, q))
    opposed = _opposed(powers)
    if opposed:
        c, merged = laws.flag_and_opposite(c, [f for f in merged if f[0] not in opposed])
    if c == 0:
        return ZERO
    if len(merged) == 1 and merged[0][1] == 1 and isinstance(merged[0][0], Group):
        return scaled(merged[0][0].expr, c)  # a group that stands alone is its sum
    return Expr([(Mono(merged), c)])


def _opposed(powers: Mapping[Atom, Power]) -> list[Atom]:
    """A flag and its opposite, if both are factors."""
    for atom in powers:
        if isinstance(atom, Fn) and atom.name == "not":
            inner = next((i for i in atom.args[0].atoms() if i in powers), None)
            if inner is not None:
                return [atom, inner]
    return []


def _implied(flag: Atom, powers: Mapping[Atom, Power]) -> bool:
    """Whether a product is the same without the flag: the rest is 0, or no number, where it is 0.

    ``relu(x)`` times ``x > 0`` is ``relu(x)``; ``x != 0`` says nothing beside ``1 / x``.
    """
    negated = isinstance(flag, Fn) and flag.name == "not"
    inside = next(flag.args[0].atoms(), None) if negated and isinstance(flag, Fn) else flag
    if not isinstance(inside, Fn) or len(inside.args) != 2 or not inside.args[1].is_zero:
        return False
    x = inside.args[0]
    if len(x.terms) != 1:
        return False
    if negated and inside.name == "eq":
        return all(q < 0 or powers.get(a, 0) < 0 for a, q in x.terms[0][0].factors)
    if inside.name in (("le", "lt") if negated else ("gt", "ge")):
        rectified = [a for a, q in powers.items() if q > 0 and isinstance(a, Fn)]
        return any(a.name == "relu" and x in (a.args[0], of_atom(a)) for a in rectified)
    return False


def scaled(expr: Expr, c: Coefficient) -> Expr:
    if c == 1:
        return expr
    return ZERO if c == 0 else Expr([(m, co.times(k, c)) for m, k in expr.terms])


def add(*exprs: Expr) -> Expr:
    """The sum, like terms collected."""
    if len(exprs) == 1:
        return exprs[0]
    total: dict[Mono, Coefficient] = {}
    for expr in exprs:
        for mono, c in expr.terms:
            known = total.get(mono)
            total[mono] = c if known is None else laws.like_terms(known, c)
    if len(total) > MOST_TERMS:
        raise TooLarge(f"more than {MOST_TERMS} terms")
    return Expr([(m, c) for m, c in total.items() if c != 0])


def neg(expr: Expr) -> Expr:
    return scaled(expr, co.number(-1))


def mul(*exprs: Expr) -> Expr:
    out = exprs[0]
    for expr in exprs[1:]:
        out = _mul(out, expr)
    return out


@laws.cached(maxsize=1 << 14)
def _mul(a: Expr, b: Expr) -> Expr:
    for one, other in ((a, b), (b, a)):
        c = one.constant
        if c is not None:
            return scaled(other, c)
    if not a.terms or not b.terms:
        return ZERO
    left, right = _summands(a), _summands(b)
    if len(left) == len(right) == 1:
        return term(co.times(left[0][0], right[0][0]), [*left[0][1], *right[0][1]])
    return add(*(term(c, factors) for c, factors in laws.distribute(left, right)))


def _summands(expr: Expr) -> list[tuple[Coefficient, Factors]]:
    """What a product distributes over: the terms of a gradient, a forward sum as a whole."""
    if expr.linear or len(expr.terms) == 1:
        return [(c, list(m.factors)) for m, c in expr.terms]
    return [grouped(expr)]


@laws.cached(maxsize=1 << 14)
def _grouped(expr: Expr) -> tuple[Coefficient, tuple[tuple[Atom, Power], ...]]:
    if len(expr.terms) == 1:
        (mono, c), *_ = expr.terms
        return c, mono.factors
    common = _common(expr)
    if common:
        inner = add(*(term(c, laws.common_factor(m, common)) for m, c in expr.terms))
        if inner.is_zero:
            return co.ZERO, ()
        c, factors = grouped(inner)
        return c, (*common.items(), *factors)
    content = _content(expr)
    inner = Expr(laws.common_coefficient(expr.terms, content)) if content != 1 else expr
    return content, ((Group(inner), Fraction(1)),)


def _content(expr: Expr) -> Coefficient:
    """What a group is divided by, so that its multiples are one group.

    Only where the coefficients differ by signs and sizes: ``eps`` beside a variance stays as it is.
    """
    _, lead = min(expr.terms, key=lambda t: (t[0].depth, len(t[0].factors), t[0].key))
    inverse = co.power(lead, Fraction(-1))
    if all(abs(co.times(c, inverse).as_coeff_Mul()[0]) == 1 for _, c in expr.terms):
        return lead
    return co.number(-1) if co.negative(expr.terms[0][1]) else co.ONE


def grouped(expr: Expr) -> tuple[Coefficient, Factors]:
    """A sum as one product: its common factors and a group of what is left."""
    c, factors = _grouped(expr)
    return c, list(factors)


def _common(expr: Expr) -> dict[Atom, Power]:
    """The powers of atoms that every term has, negative ones in any term included."""
    atoms = dict.fromkeys(a for m, _ in expr.terms for a, _ in m.factors)
    lowest = {a: min(m.powers.get(a, Fraction(0)) for m, _ in expr.terms) for a in atoms}
    return {a: q for a, q in lowest.items() if q}


def power(expr: Expr, q: Power | int | float) -> Expr:
    """The expression to a rational power."""
    q = q if isinstance(q, Fraction) else Fraction(repr(q)) if isinstance(q, float) else Fraction(q)
    if q == 1:
        return expr
    if q == 0:
        return ONE
    if expr.is_zero:
        if q > 0:
            return ZERO
        raise ProgramError("a power of zero")
    c, factors = grouped(expr)
    if q.denominator != 1 and (co.negative(c) or not all(map(_rooted, factors))):
        whole = Group(expr)
        return Expr([(Mono([(whole, q)]), co.ONE)])
    return term(*_raised(c, factors, q))


def _raised(c: Coefficient, factors: Factors, q: Power) -> tuple[Coefficient, Factors]:
    if c == 1 and len(factors) == 1:
        k, powers = c, [(*factors[0], q)]
    else:
        k, powers = laws.power_of_product(c, factors, q)
    return k, [(a, laws.power_of_power(p, r) if p != 1 else r) for a, p, r in powers]


def _rooted(factor: tuple[Atom, Power]) -> bool:
    """Whether ``(a^p)^q`` is ``a^(p·q)``: not for the root of a square of either sign."""
    atom, p = factor
    return p.denominator != 1 or p.numerator % 2 == 1 or positive(atom)


def positive(atom: Atom) -> bool:
    """Whether the atom cannot be negative, by its form."""
    if isinstance(atom, Fn):
        return atom.flag or atom.name in ("exp", "abs")
    if isinstance(atom, Red):
        return _positive_mono(atom.mono)
    if isinstance(atom, Group):
        return all(
            _positive_mono(m) and (not c.is_number or c > 0) and not co.negative(c)
            for m, c in atom.expr.terms
        )
    return atom.flag


def _positive_mono(mono: Mono) -> bool:
    return all(
        positive(a) or (q.denominator == 1 and q.numerator % 2 == 0) for a, q in mono.factors
    )


def reduce(expr: Expr, index: str, size: Any) -> Expr:
    """The sum over an index of the given size."""
    return add(*(_reduced(m, c, index, co.number(size)) for m, c in expr.terms), ZERO)


@laws.cached(maxsize=1 << 14)
def _reduced(mono: Mono, c: Coefficient, index: str, size: Coefficient) -> Expr:
    if index not in mono.free:
        return Expr([(mono, laws.sum_of_constant(c, size))])
    inside, outside = list(mono.factors), []
    if any(index not in a.free for a, _ in inside):
        inside, outside = laws.pull_out(inside, index)
    for atom, _ in inside:
        if isinstance(atom, Delta) and index in (atom.a, atom.b):
            rest, other = laws.delta_picks(inside, atom, index)
            return mul(term(c, outside), substitute(term(co.ONE, rest), {index: other}))
    atom, q = inside[0]
    if len(inside) == 1 and q == 1 and isinstance(atom, Group):
        return mul(term(c, outside), reduce(Expr(laws.sum_over_group(atom)), index, size))
    if len(inside) == 1 and q == 1 and isinstance(atom, Red):
        red = _red(*laws.sum_of_sum(index, size, atom))
    else:
        red = _red([(index, size)], inside)
    return term(c, [*outside, (red, Fraction(1))])


def _red(bound: list[tuple[str, Coefficient]], factors: Factors) -> Red:
    """A sum with its bound indices renamed to the canonical ones."""
    mono = Mono(factors)
    depth = mono.depth + 1
    parts = Expr([(mono, co.ONE)])
    best: Red | None = None
    orders = permutations(bound) if len(bound) <= 3 else [bound]
    for order in orders:
        names = laws.rename_bound([name for name, _ in order], depth)
        renamed = substitute(parts, names)
        (inner, _), *_ = renamed.terms
        red = Red(tuple((names[n], size) for n, size in order), inner)
        if best is None or red.key < best.key:
            best = red
    assert best is not None
    return best


def rename_index(index: IndexTerm, mapping: Mapping[str, IndexTerm]) -> IndexTerm:
    if isinstance(index, str):
        return mapping.get(index, index)
    if isinstance(index, Via):
        return Via(index.name, tuple(rename_index(i, mapping) for i in index.index))
    return index


def substitute(expr: Expr, mapping: Mapping[str, IndexTerm]) -> Expr:
    """The expression with free indices replaced, all at once."""
    live = {k: v for k, v in mapping.items() if k in expr.free and v != k}
    return _substituted(expr, tuple(sorted(live.items()))) if live else expr


@laws.cached(maxsize=1 << 15)
def _substituted(expr: Expr, items: tuple[tuple[str, IndexTerm], ...]) -> Expr:
    mapping = dict(items)
    out = []
    for mono, c in expr.terms:
        parts = [(_substituted_atom(a, mapping), q) for a, q in mono.factors]
        out.append(scaled(rebuilt(parts), c))
    return add(*out)


def rebuilt(parts: Iterable[tuple[Expr, Power]]) -> Expr:
    """A product of powers of what atoms have become."""
    factors: Factors = []
    c: Coefficient = co.ONE
    for part, q in parts:
        if part.is_zero:
            return ZERO
        k, inner = grouped(part)
        if q != 1:
            k, inner = _raised(k, inner, q)
        c = co.times(c, k)
        factors += inner
    return term(c, factors)


def _substituted_atom(atom: Atom, mapping: Mapping[str, IndexTerm]) -> Expr:
    if not atom.free & mapping.keys():
        return Expr([(Mono([(atom, Fraction(1))]), co.ONE)])
    if isinstance(atom, Ref):
        index = tuple(rename_index(i, mapping) for i in atom.index)
        return ref(atom.name, *index, linear=atom.linear, flag=atom.flag)
    if isinstance(atom, Delta):
        return delta(rename_index(atom.a, mapping), rename_index(atom.b, mapping))
    if isinstance(atom, Group):
        return substitute(atom.expr, mapping)
    return map_inside(atom, lambda e: substitute(e, mapping))


def map_inside(atom: Atom, change: Callable[[Expr], Expr]) -> Expr:
    """A sum or a function made again with every expression inside it changed."""
    if isinstance(atom, Red):
        out = change(Expr([(atom.mono, co.ONE)]))
        for name, size in atom.bound:
            out = reduce(out, name, size)
        return out
    if isinstance(atom, Group):
        return change(atom.expr)
    if isinstance(atom, Fn):
        from .functions import apply

        return apply(atom.name, *(change(a) for a in atom.args))
    return Expr([(Mono([(atom, Fraction(1))]), co.ONE)])


def names_of(index: Iterable[IndexTerm]) -> set[str]:
    return {n for t in index for n in index_names(t)}
