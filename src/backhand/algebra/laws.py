"""The laws by which expressions are rewritten: all of them, one small function each.

The constructors of the normal form, the simplifier and the composer decide where a law applies;
what it makes of the pieces is written here and nowhere else. So the list can be read, a proof can
name what it rests on (``recorded``), and a test can put a wrong law in a right one's place
(``replaced``) to see that the gates notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import _lru_cache_wrapper, lru_cache
from typing import Any, TypeVar

from . import coefficients as co
from .coefficients import Coefficient
from .expr import Atom, Delta, Expr, Fn, Group, IndexTerm, Mono, Power, Red

T = TypeVar("T")
Factors = list[tuple[Atom, Power]]
Terms = Sequence[tuple[Mono, Coefficient]]


@dataclass(frozen=True)
class Law:
    """One law: an equation, and what has to hold for it to be true of real numbers.

    ``exact``: it holds for floating-point numbers too, bit for bit. Calling it applies it.
    """

    name: str
    statement: str
    assumption: str
    exact: bool
    function: Callable[..., Any]

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ")

    def __str__(self) -> str:
        supposed = f"  ({self.assumption})" if self.assumption else ""
        return f"{self.title}: {self.statement}{supposed}"

    def __call__(self, *pieces: Any) -> Any:
        for fired in (*_recorders, *_keepers):
            fired[self.name] = fired.get(self.name, 0) + 1
        return _instead.get(self.name, self.function)(*pieces)


LAWS: dict[str, Law] = {}
_recorders: list[dict[str, int]] = []
_keepers: list[dict[str, int]] = []
_instead: dict[str, Callable[..., Any]] = {}
_caches: list[Callable[[], None]] = []


def law(
    statement: str, assumption: str = "", exact: bool = False
) -> Callable[[Callable[..., Any]], Law]:
    def register(function: Callable[..., Any]) -> Law:
        made = Law(function.__name__, statement, assumption, exact, function)
        LAWS[made.name] = made
        return made

    return register


def cached(maxsize: int) -> Callable[[Callable[..., T]], _lru_cache_wrapper[T]]:
    """``lru_cache`` for what laws have a part in: ``fresh`` empties it."""

    def wrap(function: Callable[..., T]) -> _lru_cache_wrapper[T]:
        made = lru_cache(maxsize)(function)
        _caches.append(made.cache_clear)
        return made

    return wrap


def fresh() -> None:
    """Forget every result, so that the laws behind it are applied again."""
    for clear in _caches:
        clear()


@contextmanager
def recorded(searched: bool = True) -> Iterator[dict[str, int]]:
    """The names of the laws that are applied meanwhile, in the order of first use, with counts.

    ``searched``: also those on ways that a search gave up.
    """
    fired: dict[str, int] = {}
    fresh()
    active = _recorders if searched else _keepers
    active.append(fired)
    try:
        yield fired
    finally:
        # not `remove`, which compares by value
        active[:] = [r for r in active if r is not fired]


def found(search: Callable[[], tuple[T, Callable[[], T]]], before: T) -> T:
    """What a search gives: a result, and the way that leads there at once.

    Where only that counts it is gone once more, with nothing known of it, if it leads anywhere.
    """
    kept, _keepers[:] = _keepers[:], []
    try:
        result, way = search()
    finally:
        _keepers[:] = kept
    if not kept or result == before:
        return result
    fresh()
    return way()


@contextmanager
def replaced(name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Another function in a law's place, to see what notices."""
    if name not in LAWS:
        raise KeyError(name)
    fresh()
    _instead[name] = function
    try:
        yield
    finally:
        del _instead[name]
        fresh()


# Products and powers.


@law("a^p · a^q = a^(p+q)", "a ≠ 0 where a power is negative")
def merge_powers(p: Power, q: Power) -> Power:
    return p + q


@law("(a^p)^q = a^(p·q)", "a > 0, or p is odd, or q is whole")
def power_of_power(p: Power, q: Power) -> Power:
    return p * q


@law("(c·a·b)^q = c^q · a^q · b^q", "c > 0 and roots of a and b exist, or q is whole")
def power_of_product(
    c: Coefficient, factors: Factors, q: Power
) -> tuple[Coefficient, list[tuple[Atom, Power, Power]]]:
    return co.power(c, q), [(a, p, q) for a, p in factors]


@law("f^q = f", "f is 0 or 1, q > 0", exact=True)
def power_of_flag(q: Power) -> Power:
    return Fraction(1)


@law("f · not f = 0", "f is 0 or 1", exact=True)
def flag_and_opposite(c: Coefficient, others: Factors) -> tuple[Coefficient, Factors]:
    return co.ZERO, []


@law("not not f = f", "f is 0 or 1", exact=True)
def opposite_of_opposite(atom: Fn) -> Expr:
    return atom.args[0]


# Sums of terms.


@law("c·m + d·m = (c + d)·m")
def like_terms(c: Coefficient, d: Coefficient) -> Coefficient:
    return co.plus(c, d)


@law("a·(u + v) = a·u + a·v")
def distribute(
    left: Iterable[tuple[Coefficient, Factors]], right: Sequence[tuple[Coefficient, Factors]]
) -> list[tuple[Coefficient, Factors]]:
    return [(co.times(c, d), [*a, *b]) for c, a in left for d, b in right]


@law("a·b + a·c = a·(b + c)", "a ≠ 0 where its power is negative")
def common_factor(mono: Mono, common: Mapping[Atom, Power]) -> Factors:
    """What one term has in the bracket."""
    out = dict(mono.factors)
    for atom, q in common.items():
        out[atom] = out.get(atom, Fraction(0)) - q
    return [(a, q) for a, q in out.items() if q]


@law("c·m + c·d·n = c·(m + d·n)", "c ≠ 0")
def common_coefficient(terms: Terms, c: Coefficient) -> list[tuple[Mono, Coefficient]]:
    inverse = co.power(c, Fraction(-1))
    return [(m, co.times(k, inverse)) for m, k in terms]


@law("(a + b)·c = a·c + b·c and (a + b)²·c = a²·c + 2·a·b·c + b²·c")
def multiply_out(terms: Terms, q: Power) -> list[tuple[Coefficient, Factors]]:
    parts = [(k, list(m.factors)) for m, k in terms]
    return parts if q == 1 else distribute(parts, parts)


@law("x·a + x·b = x·(a + b)", "a + b is a sum that is there as a value")
def take_together(scale: Coefficient, multiple: Mono, group: Group) -> tuple[Coefficient, Factors]:
    return scale, [*multiple.factors, (group, Fraction(1))]


@law("a·g^k = b·g^k, so that a = b", "g ≠ 0")
def clear_denominator(mono: Mono, group: Group, k: Power) -> Factors:
    """What a term of both sides has then."""
    return [*mono.factors, (group, k)]


# Sums over an index.


@law("Σ_i a = n·a", "a does not depend on i, which has n values")
def sum_of_constant(c: Coefficient, size: Coefficient) -> Coefficient:
    return co.times(c, size)


@law("Σ_i a·b_i = a·Σ_i b_i", "a does not depend on i")
def pull_out(factors: Sequence[tuple[Atom, Power]], index: str) -> tuple[Factors, Factors]:
    """What stays inside the sum, and what goes before it."""
    inside = [f for f in factors if index in f[0].free]
    return inside, [f for f in factors if index not in f[0].free]


@law("Σ_i δ(i,j)·a_i = a_j", "j is in the range of i", exact=True)
def delta_picks(inside: Factors, delta: Delta, index: str) -> tuple[Factors, IndexTerm]:
    """The other factors, and the index that takes the place of the bound one."""
    other = delta.b if delta.a == index else delta.a
    return [f for f in inside if f[0] is not delta], other


@law("δ(i,i) = 1", exact=True)
def delta_of_equals() -> Coefficient:
    return co.ONE


@law("Σ_i (a_i + b_i) = Σ_i a_i + Σ_i b_i")
def sum_over_group(group: Group) -> Terms:
    return group.expr.terms


@law("Σ_i Σ_j a_ij = Σ_ij a_ij")
def sum_of_sum(
    index: str, size: Coefficient, red: Red
) -> tuple[list[tuple[str, Coefficient]], Factors]:
    return [(index, size), *red.bound], list(red.mono.factors)


@law("Σ_i a_i = Σ_j a_j", "j occurs nowhere in a", exact=True)
def rename_bound(names: Sequence[str], depth: int) -> dict[str, str]:
    return {name: f"r{depth}_{i}" for i, name in enumerate(names)}


@law("Σ_j a_j·(Σ_k b_k·c_jk) = Σ_k b_k·(Σ_j a_j·c_jk)", "a and c make a known contraction")
def swap_sums(rest: Expr, moved: Expr, kept: Expr) -> tuple[list[Expr], list[Expr]]:
    """The factors of what becomes the inner sum, and those that stay in the outer one."""
    return [rest, moved], [kept]


@law("Σ_i a_i / n = mean_i a_i", "i has n values")
def mean_of_sum(c: Coefficient, size: Coefficient) -> Coefficient:
    """The coefficient of the mean, from that of the sum."""
    return co.times(c, size)


# Exponentials and logarithms.


@law("exp(a + b) = exp(a)·exp(b)")
def exp_of_sum(expr: Expr) -> Terms:
    return expr.terms


@law("exp(q·a) = exp(a)^q")
def exp_of_multiple(q: Power) -> tuple[Fraction, int]:
    """What stays inside as a coefficient, and the power outside."""
    return Fraction(1, q.denominator), q.numerator


@law("exp(q·log a) = a^q", "a > 0")
def exp_of_log(q: Power) -> Power:
    return q


@law("exp(c·a where not m, else −∞) = exp(c·a)·(not m)", "c > 0", exact=True)
def exp_of_masked(atom: Fn) -> tuple[Expr, tuple[str, Expr]]:
    """What is under the exponential, and the function that it is multiplied by."""
    return atom.args[0], ("not", atom.args[1])


@law("log(a^p·b^q) = p·log a + q·log b", "a > 0 and b > 0, or there is one of them and p is odd")
def log_of_product(factors: Sequence[tuple[Atom, Power]]) -> Sequence[tuple[Atom, Power]]:
    return factors


@law("log(exp a) = a")
def log_of_exp(atom: Fn) -> Expr:
    return atom.args[0]


# Values.


@law("v = a·b, so that (a·b)^q·x = v^q·x", "a ≠ 0 and b ≠ 0 where q is negative", exact=True)
def known_value(mono: Mono, definition: Mono, q: Power) -> Factors:
    """The factors of the term that are left beside ``v^q``."""
    return [*mono.factors, *((a, -p * q) for a, p in definition.factors)]


@law("v = a·b, so that v^q = (a·b)^q", exact=True)
def unfold_value(definition: Expr, q: Power) -> tuple[Expr, Power]:
    return definition, q


@law("v = c·a^q·b, so that a = (v / (c·b))^(1/q)", "c·b ≠ 0, and a ≥ 0 where q is even")
def solve_for_factor(
    c: Coefficient, value: Atom, factors: Mapping[Atom, Power], atom: Atom
) -> tuple[Coefficient, Factors]:
    q = factors[atom]
    others = [(a, -p) for a, p in factors.items() if a != atom]
    return co.power(c, -1 / q), [(a, p / q) for a, p in [(value, Fraction(1)), *others]]
