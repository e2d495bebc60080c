"""From index notation back to the program: an expression as operators on whole tensors.

The frame says which index runs along which axis of the result; every part is made so that it
broadcasts to it. Known values cover what they can (``blocks.py``), the rest is spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any

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
)
from ..algebra.match import mono_expr
from ..algebra.normal import add, neg, substitute, term
from ..algebra.read import axis
from ..program.build import Builder, Var, op
from ..program.ir import Value
from ..program.sizes import Dim, Size
from .blocks import Block, cover
from .factoring import (
    alike,
    exponent,
    functions,
    logistic,
    shared,
    shared_coefficient,
    without,
)
from .numbers import NotWorthwhile, as_number, numeric, split
from .parts import Part, raised_to, rank, whole
from .places import Frame, leads, natural_axes, no_outer_product, span

DEEPEST = 24  # sums inside sums


def frame_of(value: Value) -> Frame:
    return tuple(axis(k) if d != 1 else None for k, d in enumerate(value.shape))


class Composer:
    """Spells expressions with a builder. ``variables`` are the values that may be read."""

    def __init__(
        self,
        builder: Builder,
        variables: Mapping[str, Var],
        blocks: Sequence[Block],
        order: Mapping[str, int],
        complements: bool = False,
    ) -> None:
        """``complements``: the sigmoid of ``-x`` is written ``1 - sigmoid(x)``."""
        self.complements = complements
        self.b = builder
        self.variables = variables
        self.blocks = blocks
        self.order = order
        self.sizes: dict[str, Dim] = {}
        self.open: list[tuple[Expr, Frame]] = []  # the sums that are being spelled
        self.dtype = ""

    def compose(self, expr: Expr, like: Value) -> Var:
        """The expression as a value of the given shape."""
        frame = frame_of(like)
        self.dtype = like.dtype
        self.sizes = {axis(k): d for k, d in enumerate(like.shape)}
        if expr.constant is not None:
            return self._filled(like, expr.constant)
        var = self._sum(expr, frame)
        if var.shape != like.shape:
            var = op.expand(var, like.shape)
        if var.value.dtype != like.dtype and like.floating:
            var = op.to(var, like.dtype)
        return var

    def _filled(self, like: Value, c: co.Coefficient) -> Var:
        number = 0 if c == 0 else as_number(c)
        return op.full(like.shape, number, dtype=like.dtype, builder=self.b)

    # sums

    @contextmanager
    def _once(self, expr: Expr, frame: Frame) -> Iterator[None]:
        """A known value that stands for a factor may itself be made of the sum."""
        if (expr, frame) in self.open or len(self.open) > DEEPEST:
            raise NotWorthwhile("a sum in terms of itself")
        self.open.append((expr, frame))
        try:
            yield
        finally:
            self.open.pop()

    def _sum(self, expr: Expr, frame: Frame) -> Var:
        with self._once(expr, frame):
            return self._spelled_sum(expr, frame)

    def _spelled_sum(self, expr: Expr, frame: Frame) -> Var:
        """A sum of terms: what they share first, then the terms."""
        if len(expr.terms) == 1:
            (mono, c), *_ = expr.terms
            return self._product(mono, c, frame)
        common = shared(expr)
        inner = add(*(term(c, without(m, common)) for m, c in expr.terms))
        c, inner = shared_coefficient(inner)
        if not common:
            return self._multiplied([whole(self._terms(inner, frame))], c)
        if len(inner.terms) == 1:
            (mono, k), *_ = inner.terms
            return self._product(Mono([*common.items(), *mono.factors]), co.times(c, k), frame)
        parts = self._parts(Mono(common.items()), co.ONE, frame)
        factor, found = parts
        found.append(whole(self._terms(inner, frame)))
        return self._multiplied(found, co.times(c, factor))

    def _terms(self, expr: Expr, frame: Frame) -> Var:
        """A sum term by term; terms that share something heavy are taken together first."""
        together = alike(expr)
        if together is not None:
            rest = Expr([t for t in expr.terms if t not in together.terms])
            alone = rest.constant
            one = self._terms(rest, frame) if alone is None else as_number(alone)
            other = self._sum(together, frame)
            return one + other if alone is None else other + one
        ordered = sorted(expr.terms, key=lambda t: self._term_order(*t))
        out: Any = None
        for mono, c in ordered:
            minus = out is not None and co.negative(c)
            c = co.times(co.number(-1), c) if minus else c
            made = self._product(mono, c, frame) if mono.factors else as_number(c)
            if isinstance(made, Var) and made.value.dtype == "bool":
                made = op.to(made, self.dtype)  # flags are not subtracted
            out = made if out is None else op.sub(out, made) if minus else op.add(out, made)
        if not isinstance(out, Var):
            raise NotWorthwhile("a number where a tensor is wanted")
        return out

    def _term_order(self, mono: Mono, c: co.Coefficient) -> tuple[Any, ...]:
        nested = sum(1 for a, _ in mono.factors if isinstance(a, Red))
        if not mono.factors:
            last = co.negative(c) or not c.is_Integer  # `1 - x`, but `x + 1e-5`
            return (co.negative(c), 9 if last else 0, 0, "")
        return (co.negative(c), nested, len(mono.factors), mono.key)

    # products

    def _product(self, mono: Mono, c: co.Coefficient, frame: Frame) -> Var:
        factor, parts = self._parts(mono, c, frame)
        return self._multiplied(parts, factor)

    def _parts(
        self, mono: Mono, c: co.Coefficient, frame: Frame
    ) -> tuple[co.Coefficient, list[Part]]:
        """The factors of a product as variables, and the coefficient that is left."""
        uses, rest, c = cover(mono, c, self.blocks)
        parts = []
        for use in uses:
            var = self._block(use.block, use.index, frame)
            parts.append(Part(var, use.power, span(use.index), self._place(use.block.value)))
        left = dict(rest.factors)
        parts += self._sigmoids(left, frame)
        parts += self._exponentials(left, frame)
        for atom, q in left.items():
            if isinstance(atom, Red) and q == 1:
                var, c = self._reduction(atom, c, frame)
            else:
                var = self._atom(atom, frame)
            parts.append(Part(var, q, len(atom.free), self._atom_place(atom)))
        return c, parts

    def _place(self, value: Value) -> int:
        return self.order.get(value.name, 1 << 20)

    def _atom_place(self, atom: Atom) -> int:
        return self.order.get(atom.name, 1 << 20) if isinstance(atom, Ref) else 1 << 21

    def _multiplied(self, parts: Sequence[Part], c: co.Coefficient = co.ONE) -> Var:
        """The factors with positive powers, small ones first, divided by the others.

        The coefficient goes where people write it: ``2 * x * y / n``.
        """
        above = sorted((p for p in parts if p.power > 0 or p.power.denominator != 1), key=rank)
        below = sorted((p for p in parts if p not in above), key=rank)
        lead, top, bottom = split(c)
        if below or bottom or any(not isinstance(number, (int, Size)) for number in (*lead, *top)):
            above = self._of_floats(above)
        out: Any = None
        for number in (*lead, *top):
            out = number if out is None else self._scaled(out, number)
        for part in above:
            raised = raised_to(part.var, part.power)
            out = raised if out is None else self._scaled(raised, out)
        if out is None:
            out = 1
        for part in below:
            out = op.div(out, raised_to(part.var, -part.power))
        if not isinstance(out, Var):
            raise NotWorthwhile("a number where a tensor is wanted")
        for number in bottom:
            out = op.div(out, number)
        assert isinstance(out, Var)
        return out

    def _of_floats(self, above: list[Part]) -> list[Part]:
        """Floats before integers and flags, which are cast if there are none: times a number they
        would be what the process has for its default, whatever the program computes in."""
        if not above or above[0].var.value.floating:
            return above
        first = next((p for p in above if p.var.value.floating), None)
        if first is not None:
            return [first, *(p for p in above if p is not first)]
        first, *rest = above
        return [replace(first, var=op.to(first.var, self.dtype)), *rest]

    def _scaled(self, var: Var, other: Any) -> Any:
        """A product, the number or the earlier factor first."""
        if isinstance(other, Var):
            return op.mul(other, var)
        if not isinstance(var, Var):
            return numeric(co.times(co.number(var), co.number(other)))
        return -var if other == -1 else op.mul(other, var)

    # values

    def _block(self, block: Block, index: tuple[IndexTerm, ...], frame: Frame) -> Var:
        var = self.variables[block.value.name]
        placed = self._placed(var, index, frame)
        if block.function == "complement":
            return 1 - placed
        return op.exp(placed) if block.function == "exp" else placed

    def _placed(self, var: Var, index: tuple[IndexTerm, ...], frame: Frame) -> Var:
        """A value so that it broadcasts to the frame, ``index`` one per axis that is not 1."""
        places: list[IndexTerm | None] = []
        rest = list(index)
        for d in var.shape:
            places.append(None if d == 1 else rest.pop(0))
        for k, place in enumerate(places):
            if isinstance(place, Via):
                var = self._gathered(var, k, place, places)
                places[k] = None
        offset = len(frame) - len(places)
        if offset >= 0 and all(p is None or frame[k + offset] == p for k, p in enumerate(places)):
            return var
        for k in reversed([k for k, p in enumerate(places) if p is None]):
            var = op.squeeze(var, k)
            del places[k]
        try:
            spots = [frame.index(p) for p in places]
        except ValueError:
            raise NotWorthwhile(f"an index of {var.value.name} that is not in the result") from None
        if not spots:
            return var  # one number
        order = sorted(range(len(spots)), key=spots.__getitem__)
        if order != list(range(len(spots))):
            var = op.transpose(var, 0, 1) if len(spots) == 2 else op.permute(var, tuple(order))
            spots.sort()
        for spot in range(spots[0] + 1, len(frame)):
            if spot not in spots:
                var = op.unsqueeze(var, spot - spots[0])
        return var

    def _gathered(self, var: Var, k: int, via: Via, places: list[IndexTerm | None]) -> Var:
        """``x.gather(1, Y.unsqueeze(1))``: the element that the data point at, along one axis."""
        pointer = self.variables[via.name]
        others = [p for i, p in enumerate(places) if i != k and p is not None]
        if list(via.index) != others or len(pointer.shape) != len(via.index):
            raise NotWorthwhile("a pick that is no gather")
        return op.gather(var, k, op.unsqueeze(pointer, k))

    def _atom(self, atom: Atom, frame: Frame) -> Var:
        if isinstance(atom, Ref):
            if atom.name not in self.variables:
                raise NotWorthwhile(f"{atom.name} is not at hand")
            return self._placed(self.variables[atom.name], atom.index, frame)
        if isinstance(atom, Delta):
            return self._one_hot(atom, frame)
        if isinstance(atom, Group):
            return self._sum(atom.expr, frame)
        if isinstance(atom, Red):
            var, c = self._reduction(atom, co.ONE, frame)
            return self._multiplied([whole(var)], c)
        assert isinstance(atom, Fn)
        return self._function(atom, frame)

    def _function(self, atom: Fn, frame: Frame) -> Var:
        args = []
        for arg in atom.args:
            c = arg.constant
            args.append(numeric(c) if c is not None else self._sum(arg, frame))
        if atom.name == "not":
            return op.logical_not(args[0])
        if atom.name == "masked":
            return op.masked_fill(args[0], args[1], float("-inf"))
        if not any(isinstance(a, Var) for a in args):
            raise NotWorthwhile("a function of constants")
        made: Var = getattr(op, atom.name)(*args)
        return made

    def _one_hot(self, atom: Delta, frame: Frame) -> Var:
        via = next((t for t in (atom.a, atom.b) if isinstance(t, Via)), None)
        name = next((t for t in (atom.a, atom.b) if isinstance(t, str)), None)
        known = via is not None and via.name in self.variables and name in self.sizes
        if via is None or name is None or not known:
            raise NotWorthwhile("a delta that is no one-hot row")
        pointer = self.variables[via.name]
        if len(pointer.shape) != len(via.index):  # axes of size one, as an argmax keeps them
            for k in reversed([k for k, d in enumerate(pointer.shape) if d == 1]):
                pointer = op.squeeze(pointer, k)
        hot = op.one_hot(pointer, self.sizes[name])
        return self._placed(hot, (*via.index, name), frame)

    # sums over axes

    def _reduction(self, red: Red, c: co.Coefficient, frame: Frame) -> tuple[Var, co.Coefficient]:
        """A sum over axes: in a free place of the frame if there is one, else along a new axis."""
        natural = natural_axes(red.mono, len(frame))
        inner, kept, added = list(frame), [], []
        for name, size in red.bound:
            self.sizes[name] = Size.of(size)
            wanted = natural.get(name)
            free = [
                k
                for k, index in enumerate(frame)
                if (index is None or index not in red.free) and k not in kept
            ]
            if free and (wanted is None or wanted in free):
                place = wanted if wanted is not None else free[0]
                inner[place] = name
                kept.append(place)
            else:
                added.append(name)
        if added:
            return self._added_axes(red, c, frame, natural)
        # an index that the sum does not depend on has no place in it
        shown = tuple(
            index if k in kept or index in red.free else None for k, index in enumerate(inner)
        )
        no_outer_product(red.mono, shown)
        product, k = self._summand(red.mono, shown)
        dims = sorted(kept)
        axes = dims[0] if len(dims) == 1 else tuple(dims)
        c = co.times(c, k)
        offset = len(frame) - len(product.shape)
        if offset:
            axes = tuple(d - offset for d in dims)
            axes = axes[0] if len(axes) == 1 else axes
        lean = offset + (axes if isinstance(axes, int) else min(axes)) == 0 or all(
            frame[i] is None or frame[i] not in red.free for i in range(min(dims))
        )
        return self._summed(product, axes, not (lean and leads(dims, frame)), red, c)

    def _summand(self, mono: Mono, frame: Frame) -> tuple[Var, co.Coefficient]:
        with self._once(mono_expr(mono), frame):
            factor, parts = self._parts(mono, co.ONE, frame)
        return self._multiplied(parts), factor

    def _summed(
        self, product: Var, axes: Any, keepdim: bool, red: Red, c: co.Coefficient
    ) -> tuple[Var, co.Coefficient]:
        """``sum``, or ``mean`` where the coefficient divides by the number of elements."""
        size = co.ONE
        for _, s in red.bound:
            size = co.times(size, s)
        if c != 1 and len(str(co.times(c, size))) < len(str(c)) and size != 1:
            return op.mean(product, axes, keepdim=keepdim), laws.mean_of_sum(c, size)
        return op.sum(product, axes, keepdim=keepdim), c

    def _added_axes(
        self, red: Red, c: co.Coefficient, frame: Frame, natural: Mapping[str, int]
    ) -> tuple[Var, co.Coefficient]:
        """A sum whose bound indices have no place in the frame: they get axes of their own."""
        free = [i for i in frame if i is not None and i in red.free]
        if [i for i in frame if i is not None] != free:
            raise NotWorthwhile("a sum that fits no axis of the result")
        names = [n for n, _ in red.bound]
        order = sorted([*names, *free], key=lambda n: (natural.get(n, -1), n))
        if [n for n in order if n in free] != free:
            order = [*names, *free]
        inner: Frame = tuple(order)
        no_outer_product(red.mono, inner)
        product, k = self._summand(red.mono, inner)
        dims = tuple(order.index(n) for n in names)
        if len(product.shape) != len(inner):
            raise NotWorthwhile("a sum over an axis that is not there")
        keepdim = len(frame) == len(inner) and all(frame[i] is None for i in dims)
        axes = dims[0] if len(dims) == 1 else tuple(sorted(dims))
        if not keepdim and any(i is None for i in frame):
            raise NotWorthwhile("a sum beside axes of size one")
        return self._summed(product, axes, keepdim, red, co.times(c, k))

    # exponentials

    def _sigmoids(self, left: dict[Atom, Power], frame: Frame) -> list[Part]:
        """``e^x / (1 + e^x)`` and ``1 / (1 + e^x)``, which must not overflow."""
        out: list[Part] = []
        for group, q in list(left.items()):
            inner = logistic(group) if isinstance(group, Group) and q < 0 else None
            if inner is None or q.denominator != 1:
                continue
            ratios = {left.get(a, Fraction(0)) / p for a, p in inner.factors}
            above = next(iter(ratios)) if len(ratios) == 1 else Fraction(-1)
            if above.denominator != 1 or not 0 <= above <= -q:
                continue
            for atom in (group, *(a for a, _ in inner.factors)):
                left.pop(atom, None)
            inside = exponent(inner.powers)
            for argument, p in ((inside, above), (neg(inside), -q - above)):
                if p:
                    turned = all(co.negative(c) for _, c in argument.terms)
                    if self.complements and turned:
                        var = 1 - op.sigmoid(self._sum(neg(argument), frame))
                    else:
                        var = op.sigmoid(self._sum(argument, frame))
                    out.append(Part(var, p, len(group.free), 1 << 20))
        return out

    def _exponentials(self, left: dict[Atom, Power], frame: Frame) -> list[Part]:
        """``exp`` factors at once; over their own sum they are a softmax, which is shifted."""
        found = functions(left, "exp")
        if not found:
            return []
        flags = functions(left, "not")
        for atom, q in list(left.items()):
            if not isinstance(atom, Red) or q != -1 or len(atom.bound) != 1:
                continue
            here = self._softmax(atom, {**found, **flags}, left, frame)
            if here is not None:
                return [here]
        inside = exponent(found)
        for atom in found:
            del left[atom]
        var = op.exp(self._sum(inside, frame))
        return [Part(var, Fraction(1), len(inside.free), 1 << 21)]

    def _softmax(
        self, red: Red, above: Mapping[Atom, Power], left: dict[Atom, Power], frame: Frame
    ) -> Part | None:
        (bound, _), *_ = red.bound
        for k, index in enumerate(frame):
            if index is None or index in red.free:
                continue
            shifted = substitute(mono_expr(red.mono), {bound: index})
            if len(shifted.terms) != 1:
                continue
            wanted = shifted.terms[0][0].powers
            over = {a: q for a, q in above.items() if index in a.free}
            if wanted != over:
                continue
            var = self._sum(exponent(functions(over, "exp")), frame)
            for atom in over:
                if isinstance(atom, Fn) and atom.name == "not":
                    mask = self._sum(atom.args[0], frame)
                    var = op.masked_fill(var, mask, float("-inf"))
            for atom in (*over, red):
                del left[atom]
            return Part(op.softmax(var, k), Fraction(1), len(frame), 1 << 19)
        return None


__all__ = ["Composer", "NotWorthwhile", "Part", "frame_of"]
