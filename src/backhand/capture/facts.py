"""Torch's facts about symbolic sizes, kept up to date in time that grows with what is new.

Torch notes every comparison of sizes that a trace makes. Whenever a size turns out to divide
another, it simplifies all of them once more, which is quadratic in the depth of a network. But what
a fact about some sizes comes to depends on facts about those sizes alone.
"""

from __future__ import annotations

from typing import Any

import sympy
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy.functions import FloorDiv, Max

Symbols = frozenset[sympy.Symbol]


class Facts(ShapeEnv):
    """A ``ShapeEnv`` that simplifies again only what a new fact can change."""

    def __init__(self, **settings: Any) -> None:
        self._stale = False
        # Of the facts in whose text a division rounds down, the symbols that they depend on.
        self._floors: dict[sympy.Basic, Symbols] = {}
        self._seen: set[sympy.Basic] = set()
        self._seen_divisible: set[sympy.Basic] = set()
        self._seen_replacements: dict[sympy.Symbol, sympy.Expr] = {}
        self.renewals = 0
        super().__init__(**settings)

    @property
    def _resimplify_floor_div_axioms(self) -> bool:
        """Torch asks this before it goes over all facts: what is to be done, is done here."""
        if self._stale:
            self._stale = False
            self._renew()
        return False

    @_resimplify_floor_div_axioms.setter
    def _resimplify_floor_div_axioms(self, stale: bool) -> None:
        self._stale = stale

    def _renew(self) -> None:
        replaced = {
            s for s, by in self.replacements.items() if self._seen_replacements.get(s) is not by
        }
        divided = {frozenset(d.free_symbols) for d in self.divisible - self._seen_divisible}
        new = [fact for fact in self.axioms if fact not in self._seen]
        learned = {frozenset(fact.free_symbols) for fact in new}
        self._seen_replacements = dict(self.replacements)
        self._seen_divisible = set(self.divisible)
        self._seen.update(new)
        due = [fact for fact in new if fact.has(FloorDiv)]
        for fact, symbols in self._floors.items():
            # a maximum is settled by what is known of its operands, a division by what divides
            about = divided | learned if fact.has(Max) else divided
            if not replaced.isdisjoint(symbols) or any(a <= symbols for a in about):
                due.append(fact)
        renewed: dict[Any, Any] = {}
        for fact in due:
            symbols = fact.free_symbols
            self._floors[fact] = frozenset(symbols.union(*(self._of(s) for s in symbols)))
            renewed[self.simplify(fact)] = self.axioms[fact]
        self.renewals += len(due)
        self.axioms.update(renewed)

    def _of(self, symbol: sympy.Symbol) -> set[sympy.Symbol]:
        found: set[sympy.Symbol] = self._find(symbol).free_symbols
        return found
