"""Writes docs/evidence.md: rounding errors of longhand and shorthand, form by form, in float32.

    .venv/bin/python -m docs.build_evidence

The forms are those of ``benchmarks/forms``, each as its first spelling and at its small sizes. An
error is the largest difference to the same gradient in float64, at the same float32 inputs, over
the largest element of that gradient; of several seeds the root mean square counts, of several
inputs the worst. Takes a minute or two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backhand import Backprop, derive
from backhand.shorthand.gates import INPUTS
from benchmarks.forms import FORMS, Form, Random

PAGE = Path(__file__).with_name("evidence.md")
SEEDS = 8
EPS = torch.finfo(torch.float32).eps
COLUMNS = dict(
    zip(
        INPUTS, ("ordinary", "0 to 1", "size 1e4", "mean 1e4", "constant", "whole"), strict=True
    )
)
HEAD = """# Rounding, form by form

A closed form is another order of operations, so it rounds differently. These are the errors of both
backward passes in float32 against float64, longhand / shorthand, in units of 2⁻²³ ≈ 1.2e-7 of the
gradient's largest element. One unit is as good as float32 gets, 1e3 units leave four digits, and ∞
stands where no digit is right.

The columns are the kinds of inputs on which closed forms are judged before they are taken: ordinary
ones (normal numbers), between 0 and 1, of size 1e4, of mean 1e4 and deviation 1e-2, constant along
an axis, and small whole numbers with zeros and ties among them. They are laid over every
floating-point input of a form. The upstream is random. – means that there is nothing to compare:
the gradient in float64 is not a number, or it is zero, or smaller than what the last place of the
inputs makes of it.

Most large errors are the forward pass's, which both have in common: with a mean of 1e4 and a
deviation of 1e-2, float32 has lost most of the deviation before anything goes backwards.

**Variance and standard deviation are worse in shorthand.** The gradient of a variance is
`2 * (x - mean) / (k - 1)`: so is shorthand's, and PyTorch's own. The longhand takes the mean of
that away once more: the mean was made of `x` too. In real numbers this is 0, and the closed form
leaves it out; in float32 it takes away what was rounded in `mean`. At a mean of 1e4 and a deviation
of 1e-2 that is worth five digits: center such data first, or keep the longhand.

Written by `python -m docs.build_evidence`; the last digits differ from processor to processor.

"""


@dataclass(frozen=True)
class Filled(Random):
    """Draws inputs of one of the kinds that closed forms are judged on."""

    kind: str = "ordinary inputs"

    def normal(self, *shape: int) -> Tensor:
        made = INPUTS[self.kind](shape, self.generator)
        return made.to(torch.float32).to(self.dtype)

    def uniform(self, *shape: int) -> Tensor:
        if self.kind == "ordinary inputs":
            return super().uniform(*shape).to(torch.float32).to(self.dtype)
        return self.normal(*shape)


def drawn(form: Form, kind: str, seed: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The same numbers in either precision: those of float32."""
    generator = torch.Generator().manual_seed(seed)
    return form.draw(Filled(generator, dtype, kind), **form.small)


@dataclass(frozen=True)
class Passes:
    """The three backward passes of a form that are compared."""

    truth: Backprop
    longhand: Backprop
    shorthand: Backprop


def passes(form: Form) -> Passes:
    """The first spelling, derived in float64 and float32."""
    double, single = (form.inputs(form.small, d) for d in (torch.float64, torch.float32))
    made = partial(derive, form.spellings[0])
    return Passes(made(*double), made(*single), made(*single, runs="shorthand"))


def errors(form: Form, made: Passes, kind: str) -> tuple[float, float] | None:
    """The errors of longhand and shorthand in units of float32's precision, if there are digits."""
    worst: list[tuple[float, float]] = []
    tally: dict[str, list[tuple[float, float]]] = {}
    for seed in range(SEEDS):
        wide, narrow = (drawn(form, kind, seed, d) for d in (torch.float64, torch.float32))
        truth = _gradients(made.truth, wide, seed)
        ours = [_gradients(bp, narrow, seed) for bp in (made.longhand, made.shorthand)]
        if truth is None or ours[0] is None or ours[1] is None:
            continue
        moved = _gradients(made.truth, tuple(map(_nudged, wide)), seed)
        for name in form.of:
            true = truth[name]
            size = float(true.abs().max())
            # what the last place of the inputs decides has no digits that a formula could keep
            noise = _off(moved[name], true) if moved is not None else 0.0
            if not math.isfinite(size) or size <= noise:
                continue
            off = [_off(g[name], true) / size / EPS for g in ours if g is not None]
            tally.setdefault(name, []).append((off[0], off[1]))
    for found in tally.values():
        worst.append((_mean([a for a, _ in found]), _mean([b for _, b in found])))
    return max(worst, key=max) if worst else None


def _nudged(t: Tensor) -> Tensor:
    if not t.is_floating_point():
        return t
    signs = torch.randint(2, t.shape, generator=torch.Generator().manual_seed(7)) * 2 - 1
    return t * (1 + signs * EPS)


def _gradients(bp: Backprop, inputs: tuple[Tensor, ...], seed: int) -> dict[str, Tensor] | None:
    generator = torch.Generator().manual_seed(1000 + seed)

    def upstream(out: Any) -> Tensor:
        return torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype)

    given = {} if bp.scalar else {"upstream": upstream(bp.captured.arguments.function(*inputs))}
    return bp(*inputs, **given)[1]


def _off(value: Tensor, truth: Tensor) -> float:
    off = float((value.double() - truth.double()).abs().max())
    return off if math.isfinite(off) else math.inf


def _mean(numbers: list[float]) -> float:
    return math.sqrt(sum(x * x for x in numbers) / len(numbers))


def _number(x: float) -> str:
    if x * EPS >= 1:
        return "∞"
    return f"{x:.1f}" if x < 100 else f"{x:.0e}".replace("e+0", "e")


def cells(form: Form) -> Iterator[str]:
    """The row of one form."""
    made = passes(form)
    for kind in COLUMNS:
        found = errors(form, made, kind)
        yield "–" if found is None else " / ".join(map(_number, found))


def page() -> str:
    """The whole page."""
    lines = [f"| form | {' | '.join(COLUMNS.values())} |", "| --- |" + " --- |" * len(COLUMNS)]
    lines += [f"| {form.name} | {' | '.join(cells(form))} |" for form in FORMS]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
