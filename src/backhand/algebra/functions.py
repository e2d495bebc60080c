"""Functions of expressions: exponentials and logarithms undo each other, the rest stay whole."""

from __future__ import annotations

from fractions import Fraction

import sympy

from . import coefficients as co
from . import laws
from .expr import EMPTY, Atom, Expr, Fn, Mono
from .normal import ONE, ZERO, add, mul, of_atom, positive, power, scaled, term

# Functions whose values are 0 and 1.
FLAGS = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "not", "and", "or", "xor", "mask"})


def apply(name: str, *args: Expr) -> Expr:
    """The function of that name."""
    if name == "exp":
        return exp(args[0])
    if name == "log":
        return log(args[0])
    if name == "not":
        return negation(args[0])
    return of_atom(Fn(name, args, name in FLAGS))


def exp(expr: Expr) -> Expr:
    """``exp`` of a sum is a product, and of a logarithm its argument."""
    terms = laws.exp_of_sum(expr) if len(expr.terms) > 1 else expr.terms
    return mul(ONE, *(_exp_of_term(m, c) for m, c in terms))


def _exp_of_term(mono: Mono, c: co.Coefficient) -> Expr:
    if len(mono.factors) == 1 and mono.factors[0][1] == 1:
        atom = mono.factors[0][0]
        if isinstance(atom, Fn) and atom.name == "log" and c.is_Rational:
            return power(atom.args[0], laws.exp_of_log(Fraction(int(c.p), int(c.q))))
        if isinstance(atom, Fn) and atom.name == "masked" and not co.negative(c):
            # -inf where the mask is set, and c is positive: its exponential is 0 there
            inside, (name, mask) = laws.exp_of_masked(atom)
            return mul(exp(scaled(inside, c)), apply(name, mask))
    if c.is_Rational:
        q = Fraction(int(c.p), int(c.q))
        within, outside = laws.exp_of_multiple(q) if q.numerator != 1 else (q, 1)
        inside = Expr([(mono, sympy.Rational(within))])
        return of_atom(Fn("exp", (inside,)), outside)
    _, sign = laws.exp_of_multiple(Fraction(-1)) if co.negative(c) else (1, 1)
    inside = Expr([(mono, co.times(c, co.number(sign)))])
    return of_atom(Fn("exp", (inside,)), sign)


def log(expr: Expr) -> Expr:
    """``log`` of a product of positive factors is a sum, and of an exponential its argument."""
    if len(expr.terms) == 1:
        (mono, c), *_ = expr.terms
        splits = all(positive(a) for a, _ in mono.factors) or len(mono.factors) == 1
        odd = all(q.numerator % 2 == 1 or positive(a) for a, q in mono.factors)
        if splits and odd and not co.negative(c):
            whole = len(mono.factors) == 1 and c == 1 and mono.factors[0][1] == 1
            factors = mono.factors if whole else laws.log_of_product(mono.factors)
            parts = [scaled(_log_of_atom(a), sympy.Rational(q)) for a, q in factors]
            number = [] if c == 1 else [of_atom(Fn("log", (Expr([(EMPTY, c)]),)))]
            return add(ZERO, *parts, *number)
    return of_atom(Fn("log", (expr,)))


def _log_of_atom(atom: Atom) -> Expr:
    if isinstance(atom, Fn) and atom.name == "exp":
        inside: Expr = laws.log_of_exp(atom)
        return inside
    return of_atom(Fn("log", (Expr([(Mono([(atom, Fraction(1))]), co.ONE)]),)))


def negation(expr: Expr) -> Expr:
    """``not`` of a condition."""
    if expr.constant is not None:
        return ONE if expr.is_zero else ZERO
    if len(expr.terms) == 1 and len(expr.terms[0][0].factors) == 1:
        atom = expr.terms[0][0].factors[0][0]
        if isinstance(atom, Fn) and atom.name == "not":
            inside: Expr = laws.opposite_of_opposite(atom)
            return inside
    return of_atom(Fn("not", (expr,), True))


def sigmoid(expr: Expr) -> Expr:
    e = exp(expr)
    return mul(e, power(add(ONE, e), -1))


__all__ = ["apply", "exp", "log", "negation", "sigmoid", "term"]
