"""Functions of expressions: exponentials and logarithms undo each other, the rest stay whole."""

from __future__ import annotations

from fractions import Fraction

import sympy

from . import coefficients as co
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
    return mul(ONE, *(_exp_of_term(m, c) for m, c in expr.terms))


def _exp_of_term(mono: Mono, c: co.Coefficient) -> Expr:
    if len(mono.factors) == 1 and mono.factors[0][1] == 1:
        atom = mono.factors[0][0]
        if isinstance(atom, Fn) and atom.name == "log" and c.is_Rational:
            return power(atom.args[0], Fraction(int(c.p), int(c.q)))
        if isinstance(atom, Fn) and atom.name == "masked" and not co.negative(c):
            # -inf where the mask is set, and c is positive: its exponential is 0 there
            return mul(exp(scaled(atom.args[0], c)), negation(atom.args[1]))
    if c.is_Rational:
        q = Fraction(int(c.p), int(c.q))
        inside = Expr([(mono, sympy.Rational(1, q.denominator))])
        return of_atom(Fn("exp", (inside,)), q.numerator)
    sign = -1 if co.negative(c) else 1
    inside = Expr([(mono, co.times(c, co.number(sign)))])
    return of_atom(Fn("exp", (inside,)), sign)


def log(expr: Expr) -> Expr:
    """``log`` of a product of positive factors is a sum, and of an exponential its argument."""
    if len(expr.terms) == 1:
        (mono, c), *_ = expr.terms
        splits = all(_log_splits(a) for a, _ in mono.factors) or len(mono.factors) == 1
        odd = all(q.numerator % 2 == 1 or positive(a) for a, q in mono.factors)
        if splits and odd and not co.negative(c):
            parts = [scaled(_log_of_atom(a), sympy.Rational(q)) for a, q in mono.factors]
            number = [] if c == 1 else [of_atom(Fn("log", (Expr([(EMPTY, c)]),)))]
            return add(ZERO, *parts, *number)
    return of_atom(Fn("log", (expr,)))


def _log_splits(atom: Atom) -> bool:
    return positive(atom)


def _log_of_atom(atom: Atom) -> Expr:
    if isinstance(atom, Fn) and atom.name == "exp":
        return atom.args[0]
    return of_atom(Fn("log", (Expr([(Mono([(atom, Fraction(1))]), co.ONE)]),)))


def negation(expr: Expr) -> Expr:
    """``not`` of a condition."""
    if expr.constant is not None:
        return ONE if expr.is_zero else ZERO
    if len(expr.terms) == 1 and len(expr.terms[0][0].factors) == 1:
        atom = expr.terms[0][0].factors[0][0]
        if isinstance(atom, Fn) and atom.name == "not":
            return atom.args[0]
    return of_atom(Fn("not", (expr,), True))


def sigmoid(expr: Expr) -> Expr:
    e = exp(expr)
    return mul(e, power(add(ONE, e), -1))


__all__ = ["apply", "exp", "log", "negation", "sigmoid", "term"]
