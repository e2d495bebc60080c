"""The bank of mutants of each exercise, and judging one of them as a person's worksheet is.

As a program: every mutant of every exercise, with the figures that the documentation quotes.

    python -m tests.practice.bank [EXERCISE …]
"""

from __future__ import annotations

import linecache
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch

from backhand.checking.rounding import doubled
from backhand.checking.verify import Truth, autograd_truth
from backhand.errors import BackhandError
from backhand.practice.curriculum import ORDER, exercise
from backhand.practice.exercise import Exercise
from backhand.practice.worksheet import Blank, backward_text, given
from backhand.review import Handwritten, Review, judge, review
from backhand.review.causes import Found
from backhand.review.sources.functions import from_function

from .mistakes import TYPICAL
from .mutants import Mutant, mutants

# Edits that change no number, whatever the inputs, and are therefore no mistakes: the gradient is
# zero in real numbers, or what is put to zero is zero already.
SAME_NUMBERS = {
    # shifting all scores of a row changes no probability
    "cross_entropy": {"dlogit_maxes", "dlogits", "dnorm_logits"},
    # the same, and a shift of a whole column does not outlive batch norm
    "article": {"dlogit_maxes", "dlogits", "dnorm_logits", "db1"},
    # a weight of zero lets no gradient through, masked or not
    "causal_attention": {"dscores"},
}


def wanted(name: str) -> tuple[Blank, ...]:
    return exercise(name).wanted


def solution(name: str) -> tuple[str, ...]:
    return exercise(name).solution


@cache
def _truth(name: str) -> tuple[dict[str, Any], Truth]:
    """Forward values and autograd's gradients in double precision, with a random upstream."""
    bp = exercise(name).derivation
    values = doubled([leaf.value for leaf in bp.leaves])
    named = {v.name for v in bp.captured.program.values() if v.var is not None and v.floating}
    inputs = {leaf.name for leaf in bp.leaves if _floating(leaf.value)}
    derived = bp.derived("plain")
    truth = autograd_truth(bp.captured, values, derived.upstream_of, inputs, named, None, 0)
    space = bp.namespace(values, 0)
    for value, of in zip(derived.upstream, derived.upstream_of, strict=True):
        space[value.var or value.name] = truth.upstream[of]
    forward: Any = exercise(name).forward
    return {**forward.__globals__, **space}, truth


def _floating(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def changes_numbers(name: str, body: Sequence[str]) -> bool:
    """Whether a body gives other gradients than the solution, by plain running in float64."""
    space, truth = _truth(name)
    space = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in space.items()}
    try:
        with torch.no_grad():
            exec("\n".join([*given(exercise(name).derivation), *body]), space)
    except Exception:
        return True
    for blank in wanted(name):
        mine, true = space.get(blank.name), truth.gradients[blank.of]
        assert true is not None
        if not isinstance(mine, torch.Tensor) or mine.shape != true.shape:
            return True
        if mine.dtype != true.dtype or not torch.allclose(mine, true, rtol=1e-8, atol=1e-10):
            return True
    return False


@cache
def made(name: str) -> tuple[Mutant, ...]:
    """Every mutant of an exercise."""
    space, _ = _truth(name)
    full = dict(space)
    with torch.no_grad():
        exec("\n".join([*given(exercise(name).derivation), *solution(name)]), full)
    values = {k: v for k, v in full.items() if isinstance(v, torch.Tensor)}
    return tuple(mutants(solution(name), wanted(name), values, TYPICAL.get(name, ())))


def is_mistake(name: str, mutant: Mutant) -> bool:
    """Whether a mutant can be told from the solution; those that cannot are known and few."""
    if changes_numbers(name, mutant.body):
        return True
    assert mutant.gradient in SAME_NUMBERS.get(name, ()), f"{name} hides a mistake: {mutant.line}"
    return False


def written(name: str, body: Sequence[str]) -> Handwritten:
    """A worksheet with this body, as a check reads it."""
    e: Exercise = exercise(name)
    text = backward_text(e.derivation, e.code, body or ["pass"])
    file = f"<{name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    forward: Any = e.forward
    space = dict(forward.__globals__)
    exec(compile(text, file, "exec"), space)
    return from_function(e.forward, space["backward"], e.inputs, file)


def judged(name: str, body: Sequence[str]) -> Review:
    return review(written(name, body), only=[b.name for b in wanted(name)])


def fails(name: str, mutant: Mutant) -> bool:
    """Whether a check finds fault with a mutant; why is not asked, which takes longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "causes_of", lambda _: Found(()))
        try:
            return not judged(name, mutant.body).ok
        except BackhandError:
            return True  # nothing is left to be judged


def main(names: Sequence[str]) -> None:
    """Judge every mutant and print how many fail, and which do not."""
    kinds: Counter[str] = Counter()
    passed: list[tuple[str, Mutant]] = []
    started = time.monotonic()
    for name in names or ORDER:
        bank = [m for m in made(name) if is_mistake(name, m)]
        for mutant in bank:
            kinds[mutant.mistake] += 1
            if not fails(name, mutant):
                passed.append((name, mutant))
                print(f"PASSES {name}: {mutant.mistake}: {mutant.line}", flush=True)
        print(f"{name}: {len(bank)} mutants", flush=True)
    total = sum(kinds.values())
    print(f"\n{total - len(passed)} of {total} mutants fail ({time.monotonic() - started:.0f} s)")
    for kind, count in kinds.most_common():
        print(f"  {count:>5}  {kind}")


if __name__ == "__main__":
    with torch.random.fork_rng(devices=[]):
        main(sys.argv[1:])
