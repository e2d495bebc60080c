"""One cell of a little matrix, as an expression in letters: sums of products of powers.

A cell is kept in one form: terms are added up, factors are merged, a sum inside a product stays a
group, as people write it. It can be written as a formula and evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

DIGITS = 4


@dataclass(frozen=True, slots=True)
class Letter:
    """An element of a tensor: the tensor's letter, the element's place (from 0)."""

    name: str
    index: tuple[int, ...] = ()

    @property
    def tex(self) -> str:
        places = [str(i + 1) for i in self.index]
        joined = "".join(places) if all(len(p) == 1 for p in places) else ",".join(places)
        return f"{self.name}_{{{joined}}}" if joined else self.name


@dataclass(frozen=True, slots=True)
class Call:
    """A function of cells that has no spelling of its own here."""

    name: str
    args: tuple[Cell, ...]
    compute: Callable[..., float] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Group:
    """A sum as a factor."""

    inside: Cell


Atom: TypeAlias = Letter | Call | Group
Factors: TypeAlias = tuple[tuple[Atom, float], ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """Terms: a coefficient times factors, each an atom and its power. No terms: zero."""

    terms: tuple[tuple[float, Factors], ...] = ()

    @property
    def constant(self) -> float | None:
        """Its value, if it has no letters."""
        if not self.terms:
            return 0.0
        (coefficient, factors), *more = self.terms
        return coefficient if not factors and not more else None

    def letters(self) -> Iterator[Letter]:
        for _, factors in self.terms:
            for atom, _power in factors:
                if isinstance(atom, Letter):
                    yield atom
                elif isinstance(atom, Group):
                    yield from atom.inside.letters()
                else:
                    for arg in atom.args:
                        yield from arg.letters()


ZERO = Cell()


def number(value: float) -> Cell:
    return Cell(((float(value), ()),)) if value != 0 else ZERO


ONE = number(1)


def letter(name: str, *index: int) -> Cell:
    return Cell(((1.0, ((Letter(name, index), 1.0),)),))


def total(*cells: Cell) -> Cell:
    """The sum, like terms taken together."""
    found: dict[Factors, float] = {}
    for cell in cells:
        for coefficient, factors in cell.terms:
            found[factors] = found.get(factors, 0.0) + coefficient
    return Cell(tuple((c, f) for f, c in found.items() if c != 0))


def scaled(cell: Cell, by: float) -> Cell:
    return Cell(tuple((by * c, f) for c, f in cell.terms)) if by != 0 else ZERO


def product(*cells: Cell) -> Cell:
    """The product; a factor that is a sum stays whole."""
    coefficient = 1.0
    powers: dict[Atom, float] = {}
    for cell in cells:
        if not cell.terms:
            return ZERO
        if len(cell.terms) == 1:
            c, factors = cell.terms[0]
            coefficient *= c
        else:
            factors = ((Group(cell), 1.0),)
        for atom, q in factors:
            powers[atom] = powers.get(atom, 0.0) + q
    kept = tuple((a, q) for a, q in powers.items() if q != 0)
    only = len(kept) == 1 and kept[0][1] == 1
    if only and coefficient == 1 and isinstance(kept[0][0], Group):
        return kept[0][0].inside
    return Cell(((coefficient, kept),))


def power(cell: Cell, q: float) -> Cell:
    """``cell ** q``; of a product, each factor's, where that is the same number."""
    if q == 1:
        return cell
    if q == 0:
        return ONE
    known = cell.constant
    if known is not None and (known > 0 or float(q).is_integer()) and (known != 0 or q > 0):
        return number(known**q)
    if len(cell.terms) == 1 and float(q).is_integer():
        c, factors = cell.terms[0]
        # an even power inside a root would lose its sign; whole powers only
        return Cell(((c**q, tuple((a, p * q) for a, p in factors)),))
    if len(cell.terms) == 1:
        ((c, factors),) = cell.terms
        if c == 1 and len(factors) == 1 and factors[0][1] == 1:
            return Cell(((1.0, ((factors[0][0], q),)),))
    return Cell(((1.0, ((Group(cell), q),)),))


def call(name: str, compute: Callable[..., float], *args: Cell) -> Cell:
    return Cell(((1.0, ((Call(name, args, compute), 1.0),)),))


def put(cell: Cell, instead: Mapping[Letter, Cell]) -> Cell:
    """The cell with others in the place of letters."""

    def factor(atom: Atom, q: float) -> Cell:
        if isinstance(atom, Letter):
            return power(instead[atom], q) if atom in instead else _one(atom, q)
        if isinstance(atom, Group):
            return power(put(atom.inside, instead), q)
        args = tuple(put(arg, instead) for arg in atom.args)
        return _one(Call(atom.name, args, atom.compute), q)

    return total(
        *(scaled(product(*(factor(a, q) for a, q in factors)), c) for c, factors in cell.terms)
    )


def _one(atom: Atom, q: float) -> Cell:
    return Cell(((1.0, ((atom, q),)),))


def evaluate(cell: Cell, at: Mapping[Letter, float]) -> float:
    """The cell's number where the letters have these values."""
    out = 0.0
    for coefficient, factors in cell.terms:
        term = coefficient
        for atom, q in factors:
            term *= _value(atom, at) ** q
        out += term
    return out


def _value(atom: Atom, at: Mapping[Letter, float]) -> float:
    if isinstance(atom, Letter):
        return at[atom]
    if isinstance(atom, Group):
        return evaluate(atom.inside, at)
    return atom.compute(*(evaluate(arg, at) for arg in atom.args))


# writing

_SUM, _PRODUCT, _ATOM = 0, 1, 2


def tex(cell: Cell) -> str:
    """The cell as a formula."""
    return _sum(cell)[0]


def number_tex(value: float) -> str:
    """A number as people write it: whole, a fraction with a small denominator, or rounded."""
    if math.isnan(value) or math.isinf(value):
        return r"\text{NaN}" if math.isnan(value) else r"-\infty" if value < 0 else r"\infty"
    near = Fraction(value).limit_denominator(99)
    if abs(float(near) - value) <= 1e-9 * max(1.0, abs(value)):
        if near.denominator == 1:
            return str(near.numerator)
        short = f"{value:.12g}"
        if len(short.lstrip("-")) <= 4:
            return short
        sign = "-" if near < 0 else ""
        return rf"{sign}\frac{{{abs(near.numerator)}}}{{{near.denominator}}}"
    short = f"{value:.{DIGITS}g}"
    mantissa, _, exponent = short.partition("e")
    if not exponent:
        return mantissa
    times = {"1": "", "-1": "-"}.get(mantissa, rf"{mantissa} \cdot ")
    return rf"{times}10^{{{int(exponent)}}}"


def _sum(cell: Cell) -> tuple[str, int]:
    if not cell.terms:
        return "0", _ATOM
    out, strength = "", _PRODUCT
    for coefficient, factors in _ordered(cell):
        minus = coefficient < 0
        text, strength = _term(abs(coefficient), factors)
        out += (" - " if minus else " + ") + text if out else ("-" if minus else "") + text
        if minus:
            strength = _SUM
    return out, _SUM if len(cell.terms) > 1 else strength


def _ordered(cell: Cell) -> list[tuple[float, Factors]]:
    """A positive term first, if there is one; the others as they came."""
    terms = list(cell.terms)
    first = next((i for i, (c, _) in enumerate(terms) if c > 0), 0)
    return terms if terms[0][0] > 0 else [terms[first], *terms[:first], *terms[first + 1 :]]


def _term(coefficient: float, factors: Factors) -> tuple[str, int]:
    if not factors:
        return number_tex(coefficient), _ATOM
    above = [_factor(a, q) for a, q in factors if q > 0]
    below = [_factor(a, -q) for a, q in factors if q < 0]
    if coefficient != 1:
        above.insert(0, (number_tex(coefficient), _ATOM))
    upper = r" \cdot ".join(t for t, _ in above) or "1"
    if not below:
        return upper, above[0][1] if len(above) == 1 else _PRODUCT
    # a group alone above or below the line needs no brackets
    bottom = below[0][0] if len(below) == 1 else r" \cdot ".join(t for t, _ in below)
    return rf"\frac{{{upper}}}{{{bottom}}}", _PRODUCT


def _factor(atom: Atom, q: float) -> tuple[str, int]:
    if isinstance(atom, Letter):
        text = atom.tex
    elif isinstance(atom, Group):
        text = f"({tex(atom.inside)})"
    else:
        args = ", ".join(tex(arg) for arg in atom.args)
        text = f"e^{{{args}}}" if atom.name == "e" else f"{atom.name}({args})"
        if q != 1:
            text = f"({text})"
    if q == 1:
        return text, _ATOM
    if q == 0.5:
        inside = tex(atom.inside) if isinstance(atom, Group) else text
        return rf"\sqrt{{{inside}}}", _ATOM
    if isinstance(atom, Letter):
        return f"{{{text}}}^{{{number_tex(q)}}}", _ATOM
    return f"{text}^{{{number_tex(q)}}}", _ATOM


__all__ = [
    "ONE",
    "ZERO",
    "Call",
    "Cell",
    "Group",
    "Letter",
    "call",
    "evaluate",
    "letter",
    "number",
    "number_tex",
    "power",
    "product",
    "put",
    "scaled",
    "tex",
    "total",
]
