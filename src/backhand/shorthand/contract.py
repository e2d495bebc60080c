"""Contractions as sums, so that a sum over one may go through another.

``O = P @ V`` makes ``Σ_j P_ij dP_ij`` with ``dP = dO @ V.T`` the same as ``Σ_d dO_id O_id``: the
identity behind FlashAttention's backward pass (Dao et al., 2022, appendix B).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ..algebra import coefficients as co
from ..algebra import laws
from ..algebra.expr import Expr, Mono, Red, Ref
from ..algebra.match import matches, mono_expr
from ..algebra.normal import add, mul, rebuilt, reduce, ref, scaled, substitute, term
from ..algebra.read import Reader, axis
from ..program.ir import Node, Value


def contraction(reader: Reader, node: Node) -> Expr | None:
    """What a product of matrices computes, or ``None``."""
    if node.op not in ("matmul", "mm", "bmm"):
        return None
    a, b = node.args
    if not isinstance(a, Value) or not isinstance(b, Value):
        return None
    rank = len(node.outs[0].shape)
    if len(a.shape) < 2 or len(b.shape) < 2:
        return None
    left = substitute(reader.at(a, rank), {axis(rank - 1): "k"})
    right = substitute(reader.at(b, rank), {axis(rank - 2): "k"})
    return reduce(mul(left, right), "k", co.number(a.shape[-1]))


def through(expr: Expr, definitions: Mapping[str, Expr], values: Mapping[str, Value]) -> Expr:
    """Every sum over a gradient that is a contraction, the other way round where that is known."""
    out = []
    for mono, c in expr.terms:
        parts = []
        for atom, q in mono.factors:
            found = _swapped(atom, definitions, values) if isinstance(atom, Red) else None
            parts.append((found or mono_expr(Mono([(atom, Fraction(1))])), q))
        out.append(scaled(rebuilt(parts), c))
    return add(*out) if out else expr


def _swapped(red: Red, definitions: Mapping[str, Expr], values: Mapping[str, Value]) -> Expr | None:
    if not red.linear or len(red.bound) != 1:
        return None
    (old, size), *_ = red.bound
    bound = "j"  # free inside, so that it must not be the name of an inner sum's index
    (mono, _), *_ = substitute(mono_expr(red.mono), {old: bound}).terms
    for atom, q in mono.factors:
        if not isinstance(atom, Ref) or not atom.linear or q != 1 or atom.name not in definitions:
            continue
        inner = _opened(atom, definitions[atom.name], values[atom.name])
        if inner is None or bound not in atom.free:
            continue
        index, length, above, below = inner
        rest = [(a, p) for a, p in mono.factors if a is not atom]
        kept, moved = (above, below) if bound in below.free else (below, above)
        if bound in kept.free:
            continue
        within, beside = laws.swap_sums(term(co.ONE, rest), moved, kept)
        made = reduce(mul(*within), bound, size)
        known = _known(made, definitions, values)
        if known is not None:
            return reduce(mul(*beside, known), index, length)
    return None


def _opened(
    atom: Ref, definition: Expr, value: Value
) -> tuple[str, co.Coefficient, Expr, Expr] | None:
    """A contraction's index and its two factors, at the indices of ``atom``."""
    names = [axis(k) for k, d in enumerate(value.shape) if d != 1]
    if any(not isinstance(i, str) for i in atom.index) or len(names) != len(atom.index):
        return None
    here = substitute(definition, dict(zip(names, atom.index, strict=True)))
    if len(here.terms) != 1:
        return None
    (mono, c), *_ = here.terms
    if c != 1 or len(mono.factors) != 1 or not isinstance(mono.factors[0][0], Red):
        return None
    red = mono.factors[0][0]
    if len(red.bound) != 1:
        return None
    (name, length), *_ = red.bound
    inside = substitute(mono_expr(red.mono), {name: "k"})
    gradient = [f for f in inside.terms[0][0].factors if f[0].linear]
    other = [f for f in inside.terms[0][0].factors if not f[0].linear]
    return "k", length, term(co.ONE, gradient), term(co.ONE, other)


def _known(expr: Expr, definitions: Mapping[str, Expr], values: Mapping[str, Value]) -> Expr | None:
    """A contraction's value, if the expression is what it computes."""
    if len(expr.terms) != 1:
        return None
    (mono, c), *_ = expr.terms
    pivots = [a for a, _ in mono.factors if isinstance(a, Red)]
    for name, definition in definitions.items():
        if definition.linear or len(definition.terms) != 1:
            continue
        (whole, k), *_ = definition.terms
        axes = [axis(i) for i, d in enumerate(values[name].shape) if d != 1]
        for template, p in whole.factors:
            if p != 1 or not isinstance(template, Red) or set(axes) - template.free:
                continue
            for mapping in (m for pivot in pivots for m in matches(template, pivot)):
                (here, _), *_ = substitute(mono_expr(whole), mapping).terms
                left = laws.known_value(mono, here, Fraction(1))
                rest = term(co.times(c, co.power(k, Fraction(-1))), left)
                found = mul(ref(name, *(mapping[i] for i in axes)), rest)
                if len(found.terms) == 1:
                    return found
    return None


__all__ = ["contraction", "through"]
