"""Expressions for people: index notation as text and as LaTeX, in the author's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import sympy

from ..algebra import coefficients as co
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
)
from ..algebra.read import axis
from ..program.ir import Value
from .blocks import Block, cover

LETTERS = "ijklmpqr"
SUM, PRODUCT, ATOM = 0, 1, 2
MOST_PARTS = 99  # of a whole, for it to be written as a fraction
FUNCTIONS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "eq": "=", "ne": "≠"}
LATEX_SIGNS = {"≥": r"\ge", "≤": r"\le", "≠": r"\ne"}

Piece = tuple[str, int]


@dataclass(frozen=True)
class Style:
    """How the parts of an expression are written."""

    times: str
    latex: bool

    def name(self, name: str) -> str:
        return r"\mathrm{" + name.replace("_", r"\_") + "}" if self.latex else name

    def indexed(self, name: str, index: Sequence[str]) -> str:
        if not index:
            return name
        return f"{name}_{{{','.join(index)}}}" if self.latex else f"{name}[{', '.join(index)}]"

    def sum(self, letters: str, body: str) -> str:
        return rf"\sum_{{{letters}}} {body}" if self.latex else f"Σ_{letters} {body}"

    def fraction(self, top: str, bottom: Piece) -> str:
        if self.latex:
            return rf"\frac{{{top}}}{{{bottom[0]}}}"
        return f"{top} / {_bracket(bottom, ATOM)}"

    def power(self, base: str, q: Power) -> str:
        if self.latex:
            return f"{base}^{{{q}}}"
        return f"{base}**{q}" if q.denominator == 1 else f"{base}**({q})"


    def decimal(self, number: float) -> str:
        """A number in six figures, for one that has no short name."""
        mantissa, _, exponent = f"{number:.6g}".partition("e")
        if not self.latex or not exponent:
            return mantissa + (f"e{int(exponent)}" if exponent else "")
        times = "" if mantissa == "1" else rf"{mantissa} \cdot "
        return f"{times}10^{{{int(exponent)}}}"


TEXT, LATEX = Style(" · ", False), Style(r"\,", True)


def _bracket(piece: Piece, at_least: int) -> str:
    return piece[0] if piece[1] >= at_least else f"({piece[0]})"


class Notation:
    """Writes expressions. ``blocks``: forward values that stand for products of atoms."""

    def __init__(
        self,
        values: Mapping[str, Value],
        names: Mapping[str, str],
        blocks: Sequence[Block],
        sizes: Mapping[str, str],
        latex: bool = False,
    ) -> None:
        self.values, self.names = values, names
        self.order = {name: i for i, name in enumerate(values)}
        self.blocks = [b for b in blocks if not b.function and b.value.name in names]
        self.sizes = sizes
        self.style = LATEX if latex else TEXT

    def gradient(self, value: Value) -> str:
        """The left side: the gradient with its indices."""
        letters = self._letters(value)
        shown = [letters[axis(k)] for k, d in enumerate(value.shape) if d != 1]
        return self.style.indexed(self.style.name(self._name(value.name)), shown)

    def expression(self, expr: Expr, value: Value) -> str:
        """The right side: an expression over the axes of ``value``."""
        return self._sum(expr, self._letters(value))[0]

    def _letters(self, value: Value) -> dict[str, str]:
        return {axis(k): LETTERS[k] for k in range(len(value.shape))}

    def _name(self, name: str) -> str:
        return self.names.get(name, name)

    def _sum(self, expr: Expr, letters: Mapping[str, str]) -> Piece:
        if not expr.terms:
            return "0", ATOM
        ordered = sorted(expr.terms, key=self._term_rank)
        out, strength = "", PRODUCT
        for mono, c in ordered:
            minus, (text, strength) = self._product(mono, c, letters)
            if out:
                out += f" {'-' if minus else '+'} {text}"
            else:
                out = f"-{text}" if minus else text
        if len(ordered) > 1:
            strength = SUM
        return out, strength

    def _term_rank(self, t: tuple[Mono, co.Coefficient]) -> tuple[bool, bool, int, int, str]:
        """Positive terms first, those with sums later, and a number after what it is added to."""
        mono, c = t
        nested = sum(isinstance(a, Red) for a, _ in mono.factors)
        constant = not mono.factors and not c.is_Integer
        return co.negative(c), constant, nested, len(mono.factors), mono.key

    def _product(
        self, mono: Mono, c: co.Coefficient, letters: Mapping[str, str]
    ) -> tuple[bool, Piece]:
        """Whether a minus sign comes first, and the rest."""
        uses, rest, c = cover(mono, c, self.blocks)
        placed: list[tuple[tuple[int, ...], Piece, Power]] = []
        for use in uses:
            shown = [self._index(i, letters) for i in use.index]
            name = use.block.value.name
            text = self.style.indexed(self.style.name(self._name(name)), shown)
            placed.append(((0, len(use.index), self._place(name)), (text, ATOM), use.power))
        for atom, q in rest.factors:
            placed.append((self._rank(atom), self._atom(atom, letters), q))
        factors = [(piece, q) for _, piece, q in sorted(placed, key=lambda p: p[0])]
        minus = co.negative(c)
        c = -c if minus else c
        number, sizes = c.as_coeff_Mul()
        long = number.is_Rational and number.q > MOST_PARTS
        top, bottom = sympy.fraction(sympy.together(sizes if long else c))
        above = [(self.style.decimal(float(number)), ATOM)] if long else []
        above += [] if top == 1 else [(self._number(top), PRODUCT if top.is_Mul else ATOM)]
        below = [] if bottom == 1 else [self._denominator(bottom)]
        for piece, q in factors:
            target = above if q > 0 else below
            target.append(self._raised(piece, abs(q)))
        upper = self.style.times.join(_bracket(p, PRODUCT) for p in above) or "1"
        if not below:
            return minus, (upper, PRODUCT if len(above) != 1 else above[0][1])
        lower = self.style.times.join(_bracket(p, PRODUCT) for p in below)
        piece = below[0] if len(below) == 1 else (lower, PRODUCT)
        return minus, (self.style.fraction(upper, piece), PRODUCT)

    def _place(self, name: str) -> int:
        return self.order.get(name, len(self.order))

    def _rank(self, atom: Atom) -> tuple[int, ...]:
        """Where people put a factor: small tensors first, sums last."""
        place = self._place(atom.name) if isinstance(atom, Ref) else len(self.order)
        return (1 if isinstance(atom, Red) else 0, len(atom.free), place)

    def _denominator(self, c: co.Coefficient) -> Piece:
        return self._number(c), SUM if c.is_Add else PRODUCT if c.is_Mul else ATOM

    def _number(self, c: co.Coefficient) -> str:
        renamed = c.subs({s: sympy.Symbol(self.sizes.get(s.name, s.name)) for s in c.free_symbols})
        if self.style.latex:
            return str(sympy.latex(renamed))
        if renamed.is_Rational and not renamed.is_Integer:
            return str(renamed) if renamed.q <= MOST_PARTS else self.style.decimal(float(renamed))
        return str(renamed)

    def _raised(self, piece: Piece, q: Power) -> Piece:
        if q == 1:
            return piece
        if q == Fraction(1, 2):
            root = rf"\sqrt{{{piece[0]}}}" if self.style.latex else f"√({piece[0]})"
            return root, ATOM
        return self.style.power(_bracket(piece, ATOM), q), ATOM

    def _index(self, term: IndexTerm, letters: Mapping[str, str]) -> str:
        if isinstance(term, Via):
            inside = [self._index(i, letters) for i in term.index]
            return self.style.indexed(self.style.name(self._name(term.name)), inside)
        return letters.get(term, term) if isinstance(term, str) else str(term)

    def _atom(self, atom: Atom, letters: Mapping[str, str]) -> Piece:
        if isinstance(atom, Ref):
            shown = [self._index(i, letters) for i in atom.index]
            return self.style.indexed(self.style.name(self._name(atom.name)), shown), ATOM
        if isinstance(atom, Delta):
            a, b = (self._index(t, letters) for t in (atom.a, atom.b))
            if isinstance(atom.a, Via):
                a, b = b, a
            return (rf"\mathbb{{1}}[{a} = {b}]" if self.style.latex else f"[{a} = {b}]"), ATOM
        if isinstance(atom, Group):
            text, _ = self._sum(atom.expr, letters)
            return text, SUM
        if isinstance(atom, Red):
            return self._reduction(atom, letters), PRODUCT
        assert isinstance(atom, Fn)
        return self._function(atom, letters)

    def _reduction(self, red: Red, letters: Mapping[str, str]) -> str:
        """A sum; its index is the letter of an axis that it replaces, primed."""
        inner = dict(letters)
        used = set(letters.values())
        for name, _ in red.bound:
            spare = (f"{letter}'" for letter in LETTERS)
            free = next(s for s in spare if s not in used)
            for k, letter in letters.items():
                if k not in red.free and f"{letter}'" not in used:
                    free = f"{letter}'"
                    break
            inner[name] = free
            used.add(free)
        minus, piece = self._product(red.mono, co.ONE, inner)
        shown = ",".join(inner[name] for name, _ in red.bound)
        body = _bracket(piece, PRODUCT)
        return self.style.sum(shown, f"-{body}" if minus else body)

    def _function(self, atom: Fn, letters: Mapping[str, str]) -> Piece:
        args = [self._sum(a, letters)[0] for a in atom.args]
        if atom.name in FUNCTIONS:
            sign = FUNCTIONS[atom.name]
            sign = LATEX_SIGNS.get(sign, sign) if self.style.latex else sign
            one = r"\mathbb{1}" if self.style.latex else ""
            return f"{one}[{args[0]} {sign} {args[1]}]", ATOM
        if atom.name == "not":
            return (rf"\overline{{{args[0]}}}" if self.style.latex else f"[not {args[0]}]"), ATOM
        known = {"exp", "log", "tanh", "sin", "cos"}
        name = atom.name
        if self.style.latex:
            name = rf"\{name}" if name in known else rf"\operatorname{{{name}}}"
        return f"{name}({', '.join(args)})", ATOM


__all__ = ["Notation"]
