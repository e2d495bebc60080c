"""The first gate: a closed form and its longhand with real numbers of fifty digits.

Why digits, and not a finite field in which equality would be exact: backward passes hold ``exp``,
``log`` and roots, which no finite field has; making each a free variable would forget what relates
them (``exp(log x) = x``), and true closed forms would fail. Two analytic formulas that differ at
all differ at random points by far more than ``1e-40``, and rounding at fifty digits is far less;
so this is no proof, but chance cannot pass it. It is blind where all its points are blind: on
branches that no random input takes, and at sizes that were not tried.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ProgramError
from ..program.exact import evaluate_exact
from ..program.ir import Node, Program, Value
from ..program.ops import get_op
from ..program.real import MP, mpf_of, real_array
from ..program.sizes import number_value

AGREES = MP.mpf(10) ** -40
# A gradient that is zero but for rounding is judged by the numbers that it was made of.
NOTHING = MP.mpf(10) ** -8
MOST_NUMBERS = 10_000  # that one comparison may compute: more takes seconds
TRIES = 3  # seeds per sizes and kind of inputs, until every gradient is finite
# What the references raise where integers that are made up fit nothing.
UNFIT = (IndexError, ValueError)
POINTS = 3  # sizes at which forms are compared

Space = dict[str, Any]
Sizes = Mapping[str, int]
Made = Callable[[str, Value, tuple[int, ...], Sizes, int], Any]


@dataclass(frozen=True)
class Finding:
    """``refusal``: why the form is wrong. ``missing``: why it could not be compared at all."""

    refusal: str | None = None
    missing: str | None = None


class Digits:
    """Compares forms of one forward pass's regions, at the smallest of the given sizes.

    ``make`` gives a tensor of a kind of inputs, for a value of a shape, from a seed; what an
    operator kind in ``made_up`` gives is made so too, unless a form needs its true value.
    """

    def __init__(
        self,
        forward: Program,
        backward: Sequence[Node],
        sizes: Iterable[Sizes],
        kinds: Sequence[str],
        make: Made,
        made_up: frozenset[str],
    ) -> None:
        self.forward, self.backward = forward, backward
        self.kinds, self.make, self.made_up = kinds, make, made_up
        self.sizes = sorted(sizes, key=lambda s: sorted(s.values(), reverse=True))[:POINTS]

    def compare(
        self,
        longhand: Sequence[Node],
        closed: Sequence[Node],
        given: Sequence[Value],
        targets: Sequence[Value],
        true: bool,
    ) -> Finding:
        """The first difference found. ``true``: contractions have the values that they compute."""
        nodes = [*longhand, *closed]
        inner = {v.name for n in nodes for v in n.outs}
        needed = {v.name: v for n in nodes for v in n.operands() if v.name not in inner}
        needed |= {v.name: v for v in given}
        cone = self._cone(set(needed) - (set() if true else {v.name for v in given}), true)
        made = {v.name for n in cone for v in n.outs}
        needed |= {v.name: v for n in cone for v in n.operands()}
        free = [v for v in needed.values() if v.name not in made]
        # numbers of this region's own, the same ones in every run
        dice = random.Random(" ".join(sorted(inner)))
        compared = 0
        try:
            for sizes in self.sizes:
                if _numbers([*cone, *nodes], sizes) > MOST_NUMBERS:
                    continue
                for space in self._spaces(cone, free, sizes, true, dice):
                    if space is None:
                        continue
                    try:
                        truth = evaluate_exact(longhand, space, sizes)
                    except UNFIT:
                        continue
                    if not all(_finite(truth[t.name]) for t in targets):
                        continue
                    ours = evaluate_exact(closed, space, sizes)
                    compared += 1
                    reason = _apart(ours, truth, longhand, targets)
                    if reason:
                        return Finding(refusal=reason)
                    break
        except ProgramError as error:
            return Finding(missing=str(error).splitlines()[0])
        if compared:
            return Finding()
        large = all(_numbers([*cone, *nodes], s) > MOST_NUMBERS for s in self.sizes)
        return Finding(
            missing=f"more than {MOST_NUMBERS} numbers at its sizes"
            if large
            else "no inputs were found on which it is finite"
        )

    def _cone(self, names: set[str], true: bool) -> list[Node]:
        """The nodes that make these values, in order."""
        out: list[Node] = []
        for node in (*reversed(self.backward), *reversed(list(self.forward.nodes()))):
            if any(v.name in names for v in node.outs):
                out.append(node)
                if not self._made_up(node, true):
                    names = names | {v.name for v in node.operands()}
        return out[::-1]

    def _made_up(self, node: Node, true: bool) -> bool:
        op = get_op(node.op)
        return op.random or (op.kind in self.made_up and not true)

    def _spaces(
        self,
        cone: Sequence[Node],
        free: Sequence[Value],
        sizes: Sizes,
        true: bool,
        dice: random.Random,
    ) -> Iterator[Space | None]:
        """What the forms read, for one kind of inputs and seed after another.

        None where integers that are made up point to elements that there are not.
        """

        def made(value: Value, kind: str) -> Any:
            shape = tuple(int(number_value(d, sizes)) for d in value.shape)
            array = self.make(kind, value, shape, sizes, dice.randrange(1 << 40)).numpy()
            return real_array(array) if value.floating else array

        for kind in (k for k in self.kinds for _ in range(TRIES)):
            space: Space = {v.name: made(v, kind) for v in free}
            try:
                for node in cone:
                    if self._made_up(node, true):
                        space |= {v.name: made(v, kind) for v in node.outs}
                    else:
                        space = evaluate_exact([node], space, sizes)
            except UNFIT:
                yield None
                continue
            yield space


def _numbers(nodes: Iterable[Node], sizes: Sizes) -> int:
    total = 0
    for node in nodes:
        for value in (*node.operands(), *node.outs):
            count = 1
            for d in value.shape:
                count *= int(number_value(d, sizes))
            total += count
    return total


def _finite(array: Any) -> bool:
    return all(MP.isfinite(mpf_of(x)) for x in np.asarray(array).ravel())


def _largest(arrays: Iterable[Any]) -> Any:
    numbers = (mpf_of(x) for a in arrays for x in np.asarray(a).ravel())
    return max((abs(x) for x in numbers if MP.isfinite(x)), default=MP.zero)


def _apart(
    ours: Space, truth: Space, longhand: Sequence[Node], targets: Sequence[Value]
) -> str | None:
    steps = [truth[v.name] for n in longhand for v in n.outs if v.floating]
    floor = NOTHING * _largest(steps)
    for target in targets:
        a, b = (np.asarray(s[target.name]) for s in (ours, truth))
        if a.dtype == bool:
            a, b = a.astype(int), b.astype(int)
        off = _largest([a - b]) if _finite(a) else MP.inf
        size = max(_largest([b]), floor)
        if off > AGREES * size:
            return (
                f"with fifty digits, {target.var or target.name} is off by {MP.nstr(off, 2)} "
                f"of {MP.nstr(size, 2)}"
            )
    return None


__all__ = ["Digits", "Finding"]
