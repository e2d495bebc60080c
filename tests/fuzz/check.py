"""A program derived and run, held against autograd on the program itself."""

from __future__ import annotations

import random
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor

from backhand import Backprop, derive
from backhand.checking.compare import CLOSE, EXACT, WRONG, Comparison, coarsest_of, compare
from backhand.checking.rounding import Noise, Run, nearby
from backhand.errors import BackhandError, InputError, InternalError, ProgramError

from .program import Program, compiled

# A program ends as one of these. Skipped: autograd itself has no gradient for it.
EXACTLY, CLOSELY, MISMATCH, CRASH, REFUSED, SKIPPED = OUTCOMES = (
    "exact", "close", "MISMATCH", "CRASH", "refused", "skipped",
)  # fmt: skip
FAULTS = (MISMATCH, CRASH)


SINGLE = 1e-7


@dataclass(frozen=True)
class Outcome:
    """How a program ended and what there is to say about it; ``key`` groups outcomes of a kind.

    ``telling``: a gradient was compared that is not zero, infinite or NaN in all of its elements.
    """

    verdict: str
    key: str = ""
    detail: str = ""
    telling: bool = False

    @property
    def fault(self) -> bool:
        return self.verdict in FAULTS


@dataclass(frozen=True)
class Truth:
    """What autograd says of one call: outputs, cotangents (``None``: no gradient), gradients."""

    outputs: tuple[Tensor, ...]
    cotangents: tuple[Tensor | None, ...]
    gradients: tuple[Tensor | None, ...]


class NoTruth(Exception):
    """Autograd refuses the program, or has no gradient for any input."""


def tensors(result: Any) -> list[Tensor]:
    """The tensors of what a program returned, in order."""
    return [t for t in pytree.tree_leaves(result) if isinstance(t, Tensor)]


def autograd(
    function: Callable[..., Any],
    values: Sequence[Tensor],
    chosen: int | Sequence[Tensor | None],
    ones: bool = False,
) -> Truth:
    """Run the function under autograd; raises ``NoTruth``.

    ``chosen``: the cotangents, or a seed for random ones. A scalar that alone has a gradient is a
    loss: its cotangent is one.
    """
    fresh = [v.clone().requires_grad_(v.is_floating_point()) for v in values]
    try:
        outputs = tensors(function(*fresh))
    except Exception as error:  # while shrinking: whatever a program without a statement does
        raise NoTruth(f"{type(error).__name__}: {error}".splitlines()[0]) from None
    if any(not torch.equal(_bits(a), _bits(b)) for a, b in zip(values, fresh, strict=True)):
        raise NoTruth("an input is changed in place")
    wanted = [v for v in fresh if v.requires_grad]
    scalar = sum(t.requires_grad for t in outputs) == 1 and all(
        t.dim() == 0 for t in outputs if t.requires_grad
    )
    if isinstance(chosen, int):
        generator = torch.Generator().manual_seed(chosen)
        cotangents = [
            None
            if not t.requires_grad
            else torch.ones_like(t)
            if scalar or ones
            else torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype)
            for t in outputs
        ]
        # a tensor returned twice is one output, with the first one's cotangent
        cotangents = [
            None if any(t is earlier for earlier in outputs[:i]) else c
            for i, (t, c) in enumerate(zip(outputs, cotangents, strict=True))
        ]
    else:
        cotangents = list(chosen)
    roots, ups = [], []
    for t, c in zip(outputs, cotangents, strict=True):
        if c is not None:
            roots.append(t)
            ups.append(c)
    if not roots or not wanted:
        raise NoTruth("no output needs a gradient")
    try:
        found = iter(torch.autograd.grad(roots, wanted, ups, allow_unused=True))
    except RuntimeError as error:
        raise NoTruth(str(error).splitlines()[0]) from None
    gradients = tuple(next(found) if v.requires_grad else None for v in fresh)
    if all(g is None for g in gradients):
        raise NoTruth("no input is reached")
    return Truth(tuple(t.detach() for t in outputs), tuple(cotangents), gradients)


def _bits(t: Tensor) -> Tensor:
    t = t.detach()
    return torch.nan_to_num(t, nan=0.125) if t.is_floating_point() else t


def judge(
    program: Program,
    symbolic: bool = False,
    batches: Sequence[int] = (),
    source: str | None = None,
    runs: str = "longhand",
) -> Outcome:
    """Derive a program and compare; at the sizes in ``batches`` as well, as derived at its own.

    ``runs`` is the form of the backward pass that is compared.
    """
    source = source or program.source()
    with warnings.catch_warnings(), compiled(source) as function:
        warnings.simplefilter("ignore")
        values = program.values()
        try:
            truth = autograd(function, values, program.seed)
        except NoTruth as reason:
            return Outcome(SKIPPED, str(reason)[:70])
        try:
            bp = derive(function, *values, symbolic=symbolic, runs=runs)
            names = [x.name for x in program.inputs]
            if bp.scalar:  # though autograd sees other outputs too, those that gradients pass by
                truth = autograd(function, values, program.seed, ones=True)
            worst = _held(bp, names, values, truth)
            for batch in batches:
                others = program.values(batch)
                try:
                    truth = autograd(function, others, program.seed, bp.scalar)
                    again = _held(bp, names, others, truth, f"at n = {batch}: ")
                except NoTruth:
                    continue
                worst = worse(worst, again)
            extreme = any(x.kind in ("special", "edges") for x in program.inputs)
            if runs == "shorthand" and extreme and worst.verdict == MISMATCH:
                # at 1e-30 or infinity it is the chain rule that is off, as often as not
                return Outcome(SKIPPED, "extreme values, in shorthand")
            return worst
        except NoTruth as reason:
            return Outcome(SKIPPED, str(reason))
        except (InternalError, ProgramError) as error:  # faults of ours, however they are worded
            return Outcome(CRASH, f"{type(error).__name__}", traceback.format_exc())
        except BackhandError as error:
            return Outcome(REFUSED, _reason(error), str(error))
        except Exception as error:
            return Outcome(CRASH, f"{type(error).__name__}", traceback.format_exc())


def _held(
    bp: Backprop, names: Sequence[str], values: Sequence[Tensor], truth: Truth, where: str = ""
) -> Outcome:
    """One call of a derivation against the truth."""
    bp = bp.specialised(tuple(values), {})
    through = coarsest_of(v.dtype for v in bp.captured.program.values())
    run = _run(bp, names, values, truth)
    if len(run.ours) != len(run.theirs):
        counted = f"{len(run.ours)} outputs and gradients, not {len(run.theirs)}"
        return Outcome(MISMATCH, "outputs", f"{where}{counted}")
    if bp.runs == "shorthand":
        run = Run({k: _with_holes_of(run.theirs[k], t) for k, t in run.ours.items()}, run.theirs)
    compared = {k: compare(mine, run.theirs[k], through) for k, mine in run.ours.items()}
    noise: Noise | None = None
    found = Outcome(EXACTLY)
    for what, result in compared.items():
        if result.verdict == WRONG and not result.why:
            if noise is None:
                runs = [run, *_near(bp, names, values, truth)]
                noise = Noise(runs, [*values, *truth.cotangents], through)
            if noise.explains(what, result.maxdiff):
                result = replace(result, verdict=CLOSE, why="noise: moves as far by itself")
        theirs = run.theirs[what]
        if result.verdict == WRONG and bp.runs == "shorthand" and theirs is not None:
            # some of torch's kernels have constants of single precision in double
            largest = float(theirs.abs().max()) if theirs.numel() else 0.0
            if not result.why and result.maxdiff <= SINGLE * max(1.0, largest):
                result = replace(result, verdict=CLOSE, why="a constant of single precision")
        key = "outputs" if what.startswith("output") else "gradient"
        found = worse(found, _told(where + what, key, result))
    if found.verdict == MISMATCH:
        if not reproducible(bp.forward, values, truth):
            raise NoTruth("autograd gives other numbers each time")
        if not same_without_gradients(bp.forward, values, truth):
            raise NoTruth("the function gives other numbers where no gradient is asked for")
    if any(t is not None and bool((t.isfinite() & (t != 0)).any()) for t in truth.gradients):
        found = replace(found, telling=True)
    return found


def _with_holes_of(theirs: Tensor | None, ours: Tensor | None) -> Tensor | None:
    """Ours, without a number where autograd has none.

    A closed form cancels what the chain rule divides by: the gradient of ``x / x`` at zero is zero.
    """
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return ours
    return torch.where(theirs.isfinite(), ours, theirs)


def same_without_gradients(
    function: Callable[..., Any], values: Sequence[Tensor], truth: Truth
) -> bool:
    """Whether the function's outputs are the same, but for rounding, where autograd is off.

    Products of matrices take another kernel there. A sum that cancels may be zero in one of them
    only, or zero with another sign, and what is divided by it is infinite.
    """
    with torch.no_grad():
        alone = tensors(function(*(v.clone() for v in values)))
    return all(compare(a, b).verdict != WRONG for a, b in zip(alone, truth.outputs, strict=True))


def reproducible(
    function: Callable[..., Any], values: Sequence[Tensor], truth: Truth
) -> bool:
    """Whether autograd gives the same bits again in memory that holds other things.

    Some kernels read what nobody has written: a median of a broadcast tensor, the backward pass of
    group norm below ``sgn``.
    """
    held = [t for t in (*values, *truth.outputs, *truth.gradients) if t is not None]
    for k in range(3):
        litter = [torch.full_like(t, 1000 + i + k) for t in held for i in range(16)]
        del litter
        again = autograd(function, values, truth.cotangents)
        pairs = zip(
            (*truth.outputs, *truth.gradients), (*again.outputs, *again.gradients), strict=True
        )
        if any(compare(a, b).verdict != EXACT for a, b in pairs):
            return False
    return True


def _run(bp: Backprop, names: Sequence[str], values: Sequence[Tensor], truth: Truth) -> Run:
    """Outputs and gradients by what they are called."""
    outputs, gradients = bp(*values, upstream=_upstreams(bp, truth))
    ours: dict[str, Tensor | None] = {
        f"output {i}": t for i, t in enumerate(tensors(outputs))
    } | {f"gradient of {name}": gradients.get(name) for name in names}
    theirs = {f"output {i}": t for i, t in enumerate(truth.outputs)} | {
        f"gradient of {name}": t for name, t in zip(names, truth.gradients, strict=True)
    }
    return Run(ours, theirs)


def _near(
    bp: Backprop, names: Sequence[str], values: Sequence[Tensor], truth: Truth
) -> Iterator[Run]:
    """The same near the inputs, with the same cotangents, as far as it can be run there."""
    for near in nearby(values):
        try:
            yield _run(bp, names, near, autograd(bp.forward, near, truth.cotangents))
        except (NoTruth, InputError):
            return


def _upstreams(bp: Backprop, truth: Truth) -> tuple[Tensor, ...] | None:
    """The cotangents that the derivation asks for: one per distinct differentiable output.

    Tensors that are views of all of each other are one output: theirs is the sum.
    """
    if bp.scalar:
        return None
    given: dict[str, Tensor] = {}
    for value, out, up in zip(
        bp.captured.program.outputs, truth.outputs, truth.cotangents, strict=True
    ):
        up = torch.zeros_like(out) if up is None else up
        given[value.name] = given[value.name] + up if value.name in given else up
    return tuple(given[name] for name in bp.derived("exact").upstream_of)


def _told(what: str, key: str, found: Comparison) -> Outcome:
    if found.verdict == EXACT:
        return Outcome(EXACTLY)
    verdict = MISMATCH if found.verdict == WRONG else CLOSELY
    detail = f"{what}: {found.why or 'differs'} (by {found.maxdiff:.3g}, {found.ulp} ulp)"
    return Outcome(verdict, key, detail)


def worse(a: Outcome, b: Outcome) -> Outcome:
    """The worse of two outcomes, the first one's details if they are alike."""
    order = (EXACTLY, CLOSELY, MISMATCH, CRASH)
    worst = b if order.index(b.verdict) > order.index(a.verdict) else a
    return replace(worst, telling=a.telling or b.telling)


def _reason(error: BackhandError) -> str:
    """A refusal's first line without what belongs to one program only."""
    kind = "" if not isinstance(error, InputError) else "input: "
    return kind + str(error).splitlines()[0][:100]


@dataclass(frozen=True)
class Settings:
    """How a seed's program is made and derived."""

    symbolic: bool
    batches: tuple[int, ...]


def settings(seed: int) -> Settings:
    """One program in ten has an open size: derived at one, run at two others as well."""
    dice = random.Random(f"settings {seed}")
    if dice.random() < 0.1:
        return Settings(True, (dice.choice([13, 17]), *([1] if dice.random() < 0.2 else [])))
    return Settings(dice.random() < 0.03, ())


def judge_seed(seed: int, runs: str = "longhand") -> tuple[Program, Outcome]:
    """Make the program of a seed and judge it."""
    from .generator import generate

    how = settings(seed)
    program = generate(seed, batch=bool(how.batches))
    return program, judge(program, how.symbolic, how.batches, runs=runs)
