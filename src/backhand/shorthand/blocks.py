"""Known values as building blocks: a product of atoms covered by as few of them as possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

from ..algebra import coefficients as co
from ..algebra import laws
from ..algebra.expr import (
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
    inner_atoms,
)
from ..algebra.match import fingerprint, index_terms, matches, mono_expr
from ..algebra.normal import grouped, positive, substitute, term
from ..algebra.read import axis
from ..program.ir import Value


@dataclass(frozen=True)
class Block:
    """A value, its expression as one term, and what using it costs.

    ``function``: the block is this function of the value (``exp``).
    """

    value: Value
    mono: Mono
    c: co.Coefficient
    cost: float
    function: str = ""

    @cached_property
    def indices(self) -> tuple[str, ...]:
        return tuple(axis(k) for k, d in enumerate(self.value.shape) if d != 1)

    @cached_property
    def names(self) -> frozenset[str]:
        """The tensors that the block is made of, however deep inside it."""
        return names_in(mono_expr(self.mono))

    @cached_property
    def pivots(self) -> tuple[Atom, ...]:
        """The factors by which the block is recognised: the widest and heaviest first, until every
        index is known."""
        order = sorted(self.mono.factors, key=lambda f: (-len(f[0].free), -weight(*f), f[0].key))
        out: list[Atom] = []
        bound: set[str] = set()
        for atom, _ in order:
            if not out or atom.free - bound:
                out.append(atom)
                bound |= atom.free
        return tuple(out)


@dataclass(frozen=True)
class Use:
    """A block at given indices, to a power."""

    block: Block
    index: tuple[IndexTerm, ...]
    power: Power


def names_in(expr: Expr) -> frozenset[str]:
    """The tensors that occur in an expression."""
    return frozenset(a.name for a in inner_atoms(expr) if isinstance(a, Ref))


@lru_cache(maxsize=1 << 16)
def weight(atom: Atom, q: Power) -> float:
    """How much work an atom is when nothing known covers it."""
    if isinstance(atom, Red):
        base = 9.0 + 3 * len(atom.bound)
    elif isinstance(atom, Group):
        base = 4.0 + 2 * len(atom.expr.terms)
    elif isinstance(atom, Fn):
        base = 5.0
    elif isinstance(atom, Delta):
        base = 2.0
    else:
        base = 1.0
    extra = 0.5 if q < 0 or q.denominator != 1 else 0.0
    return base * max(Fraction(1), abs(q)) + extra


def total_weight(mono: Mono) -> float:
    return sum(weight(a, q) for a, q in mono.factors)


def cover(
    mono: Mono, c: co.Coefficient, blocks: Sequence[Block]
) -> tuple[list[Use], Mono, co.Coefficient]:
    """Blocks whose product is the term, up to a coefficient and what no block covers."""
    uses: list[Use] = []
    for _ in range(12):
        best: tuple[float, Use, Mono, co.Coefficient] | None = None
        here = total_weight(mono)
        for block in blocks:
            for use, rest, k in _uses(block, mono, c):
                price = block.cost + (0.6 if use.power < 0 else 0) + 0.3 * (abs(use.power) - 1)
                gain = float(here - total_weight(rest) - price)
                if gain > 1e-9 and (best is None or gain > best[0] + 1e-9):
                    best = gain, use, rest, k
        if best is None:
            return uses, mono, c
        _, use, mono, c = best
        uses.append(use)
    return uses, mono, c


def _uses(
    block: Block, mono: Mono, c: co.Coefficient
) -> Iterable[tuple[Use, Mono, co.Coefficient]]:
    """The ways in which a block divides a product."""
    if not block.mono.factors:
        return
    for mapping in _mappings(block.pivots, mono, {}):
        if any(i not in mapping for i in block.indices):
            continue
        index = tuple(mapping[i] for i in block.indices)
        found = instance(block, mapping)
        if found is None:
            continue
        shaped, k = found
        ratio = _ratio(shaped, mono)
        if ratio is None:
            continue
        rest = term(co.ONE, laws.known_value(mono, shaped, ratio))
        if len(rest.terms) != 1:
            continue
        (left, extra), *_ = rest.terms
        if _safe(left, mono):
            factor = co.times(co.times(c, extra), co.power(k, -ratio))
            yield Use(block, index, ratio), left, factor


def _mappings(
    pivots: tuple[Atom, ...], mono: Mono, known: Mapping[str, IndexTerm]
) -> Iterable[Mapping[str, IndexTerm]]:
    """The index mappings under which every pivot is a factor of the product."""
    if not pivots:
        yield known
        return
    pivot, *others = pivots
    kind = fingerprint(pivot)
    for atom, _ in mono.factors:
        if type(atom) is not type(pivot):
            continue
        if fingerprint(atom) != kind and not isinstance(atom, Ref) and not _has_data_index(atom):
            continue
        for mapping in matches(pivot, atom):
            if all(known.get(k, v) == v for k, v in mapping.items()):
                yield from _mappings(tuple(others), mono, {**known, **mapping})


def _ratio(shaped: Mono, mono: Mono) -> Power | None:
    """The power of the block that the product holds: a small whole number."""
    if not shaped.factors:
        return None  # groups that cancel at these indices
    atom, p = max(shaped.factors, key=lambda f: (weight(*f), f[0].key))
    q = mono.powers.get(atom)
    if q is None:
        return None
    ratio = q / p
    return ratio if ratio.denominator == 1 and abs(ratio) <= 4 else None


def _safe(left: Mono, before: Mono) -> bool:
    """Whether what is left divides by nothing that the product did not divide by.

    A factor that was not there, or turned to the other side, may be zero.
    """
    for atom, q in left.factors:
        had = before.powers.get(atom, Fraction(0))
        if q < 0 and had >= 0 and not positive(atom):
            return False
        if q > 0 and had <= 0 and not positive(atom):
            return False
    return True


def _has_data_index(atom: Atom) -> bool:
    """Whether data may stand in it for an index, so that its fingerprint says less."""
    return any(isinstance(t, Via) for t in index_terms(atom))


def instance(block: Block, mapping: Mapping[str, IndexTerm]) -> tuple[Mono, co.Coefficient] | None:
    """The block's term at other indices; ``None`` if it is zero there."""
    shaped: Expr = substitute(mono_expr(block.mono), mapping)
    if shaped.is_zero:
        return None
    k, factors = grouped(shaped)  # a group that stands alone has become its sum
    return Mono(factors), co.times(block.c, k)
