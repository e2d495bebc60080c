"""Expressions in numbers: every atom as a float64 tensor over the indices that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from backhand.algebra.expr import Delta, Expr, Fn, Group, IndexTerm, Mono, Red, Ref, Via

Index = tuple[str, ...]
HIDDEN = "an outer index of the name of a bound one"


class Numbers:
    """Random values for every tensor that an expression names; indices have the given sizes.

    ``f…`` are flags, ``u…`` are positive, ``Y…`` are integers below the size of ``j``.
    """

    def __init__(self, sizes: Mapping[str, int], seed: int) -> None:
        self.sizes = dict(sizes)
        self.rng = torch.Generator().manual_seed(seed)
        self.values: dict[str, Tensor] = {}

    def of(self, expr: Expr, index: Sequence[str] | None = None) -> Tensor:
        """The expression over its free indices in order, or over those given."""
        free = tuple(sorted(expr.free)) if index is None else tuple(index)
        return self._expr(expr, free).expand([self.sizes[i] for i in free]).clone()

    def _expr(self, expr: Expr, index: Index) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for mono, c in expr.terms:
            total = total + float(c) * self._mono(mono, index)
        return total

    def _mono(self, mono: Mono, index: Index) -> Tensor:
        out = torch.ones((), dtype=torch.float64)
        for atom, q in mono.factors:
            value = self._atom(atom, index)
            out = out * (value ** int(q) if q.denominator == 1 else value ** float(q))
        return out

    def _atom(self, atom: object, index: Index) -> Tensor:
        if isinstance(atom, Ref):
            return self._picked(self._value(atom), atom.index, index)
        if isinstance(atom, Delta):
            return (self._position(atom.a, index) == self._position(atom.b, index)).double()
        if isinstance(atom, Red):
            for name, size in atom.bound:
                self.sizes[name] = int(size)
            names = tuple(name for name, _ in atom.bound)
            self.sizes[HIDDEN] = 1
            inside = (*(HIDDEN if i in names else i for i in index), *names)
            inner = self._mono(atom.mono, inside)
            shape = [self.sizes[i] for i in inside]
            return inner.expand(shape).sum(tuple(range(len(index), len(shape))))
        if isinstance(atom, Group):
            return self._expr(atom.expr, index)
        assert isinstance(atom, Fn)
        args = [self._expr(a, index) for a in atom.args]
        if atom.name == "not":
            return 1 - args[0]
        return getattr(torch, atom.name)(*args)

    def _value(self, ref: Ref) -> Tensor:
        known = self.values.get(ref.name)
        if known is None:
            shape = [self._length(i) for i in ref.index]
            known = torch.randn(shape, generator=self.rng, dtype=torch.float64)
            if ref.flag:
                known = (known > 0).double()
            elif ref.name.startswith("u"):
                known = known.abs() + 0.1
            self.values[ref.name] = known
        return known

    def _length(self, term: IndexTerm) -> int:
        if isinstance(term, str):
            return self.sizes[term]
        return self.sizes["j"]  # a number or data stands where there was a `j`

    def _position(self, term: IndexTerm, index: Index) -> Tensor:
        """An index as integers that broadcast over ``index``."""
        if isinstance(term, int):
            return torch.tensor(term)
        if isinstance(term, str):
            shape = [self.sizes[i] if i == term else 1 for i in index]
            return torch.arange(self.sizes[term]).reshape(shape)
        assert isinstance(term, Via)
        if term.name not in self.values:
            shape = [self._length(i) for i in term.index]
            self.values[term.name] = torch.randint(self.sizes["j"], shape, generator=self.rng)
        return self._picked(self.values[term.name], term.index, index)

    def _picked(self, value: Tensor, at: tuple[IndexTerm, ...], index: Index) -> Tensor:
        if not at:
            return value
        places = [self._position(t, index) for t in at]
        return value[tuple(torch.broadcast_tensors(*places))]
