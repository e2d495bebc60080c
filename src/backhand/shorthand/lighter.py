"""The lightest way to say what a gradient is: with sums of gradients as they stand, or opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..algebra import laws
from ..algebra.expr import Atom, Expr, Group, Red
from ..algebra.normal import TooLarge
from ..algebra.simplify import lightness, simplify, unfolded
from ..errors import ProgramError


def lightest(
    expr: Expr,
    sums: Sequence[Group],
    contracted: Callable[[Expr], Expr],
    define: Callable[[Atom], Expr | None],
) -> Expr:
    """The lightest of an expression simplified, taken through contractions, and with every
    gradient for which ``define`` has an expression written out.
    """

    def alone() -> Expr:
        return simplify(expr, sums)

    def through(found: Expr) -> Expr:
        return simplify(contracted(found), sums)

    def opened(found: Expr) -> Expr:
        return simplify(unfolded(found, define), sums)

    def search() -> tuple[Expr, Callable[[], Expr]]:
        found = alone()
        best = through(found)
        way = alone if best == found else lambda: through(alone())
        if best.is_zero or not any(isinstance(a, Red) for a in found.atoms()):
            return best, way
        try:
            other = opened(found)
        except (TooLarge, ProgramError):
            return best, way
        # what is opened has more in it: it has to be worth that, not only come first in order
        worth = lightness(other)[:2] < lightness(found)[:2] and lightness(other) < lightness(best)
        return (other, lambda: opened(alone())) if other.is_zero or worth else (best, way)

    return laws.found(search, expr)


__all__ = ["lightest"]
