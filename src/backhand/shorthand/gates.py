"""Three gates that a closed form has to pass: the algebra is not believed.

1. With real numbers of fifty digits it equals the longhand at random small sizes (``digits.py``);
   this costs most, so it comes last. The region says where an operator has no such version.
2. In float64 it agrees with the longhand to 1e-9.
3. In float32 its error against the float64 truth is at most one and a half times the longhand's, on
   ordinary inputs and on ones made to cancel and overflow.

The forward values that a region reads are made by running the forward pass; what a contraction or a
random operator gives is made up, so that logits of 1e4 can reach a softmax in any network.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..program.invoke import dtype_of, invoke
from ..program.ir import Node, Program, Value, map_arg
from ..program.ops import get_op
from ..program.sizes import Scalar, Size, number_value
from .digits import Digits

SMALL = (2, 3, 5, 7)
AGREES = 1e-9
WORSE = 1.5
# Below four units in the last place of the largest element a ratio of two roundings says nothing.
ROUNDING = 4 * torch.finfo(torch.float32).eps
SEEDS = 4
AGREEING = ("ordinary inputs", "inputs between 0 and 1")
MADE_UP = frozenset({"contraction", "random"})

Space = dict[str, Any]
Fill = Callable[[Value, tuple[int, ...], torch.Generator], torch.Tensor]


def _normal(scale: float = 1.0, shift: float = 0.0) -> Fill:
    def fill(value: Value, shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64) * scale + shift

    return fill


def _unit(value: Value, shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=rng, dtype=torch.float64) * 0.9 + 0.05


def _constant(value: Value, shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    if not shape:
        return torch.rand((), generator=rng, dtype=torch.float64)
    return torch.randn(shape[-1:], generator=rng, dtype=torch.float64).expand(shape).clone()


# What inputs look like: by name, for the message.
INPUTS: dict[str, Fill] = {
    "ordinary inputs": _normal(),
    "inputs between 0 and 1": _unit,
    "inputs of size 1e4": _normal(1e4),
    "inputs of mean 1e4 and deviation 1e-2": _normal(1e-2, 1e4),
    "inputs that are constant along an axis": _constant,
}


@dataclass(frozen=True)
class Trial:
    """One set of sizes and inputs, the values in double precision."""

    name: str
    sizes: Mapping[str, int]
    seed: int


class Gates:
    """Judges closed forms of one forward pass's regions."""

    def __init__(
        self,
        forward: Program,
        shared: Sequence[Node],
        backward: Sequence[Node],
        upstream: Sequence[Value],
        holds: Callable[[Mapping[str, int]], bool] | None = None,
        seed: int = 0,
    ) -> None:
        self.forward = forward
        self.shared = shared  # nodes of the backward pass that carry no gradient
        self.backward, self.upstream = backward, upstream
        self.holds = holds
        self.seed = seed
        self.true = False
        self._linear = {v.name for v in upstream}
        for node in backward:
            if any(v.name in self._linear for v in node.operands()):
                self._linear |= {v.name for v in node.outs}
        self._spaces: dict[tuple[str, str, int, bool, bool], Space | None] = {}
        self._sizes = self._bindings()
        self.digits = Digits(forward, backward, self._sizes, AGREEING, _seeded, MADE_UP)
        self.uncounted: str | None = None  # why the form last judged did not come to gate 1

    def refusal(
        self,
        longhand: Sequence[Node],
        closed: Sequence[Node],
        given: Sequence[Value],
        targets: Sequence[Value],
    ) -> str | None:
        """Why the closed form is refused, or ``None``."""
        compared = 0
        made = {v.name for n in closed for v in n.outs} | {v.name for v in given}
        # a closed form that reads what contractions give needs them to be true
        self.true = any(
            v.name in self._linear and v.name not in made for n in closed for v in n.operands()
        )
        for name in INPUTS:
            tally = Tally(name, targets)
            for trial in self._trials(name):
                space = self._space(trial)
                if space is None:
                    continue
                space = self._with_gradients(space, given, trial)
                truth = _ran(longhand, space, trial.sizes)
                ours = _ran(closed, space, trial.sizes)
                if truth is None or ours is None:
                    continue
                if name in AGREEING and _usable(truth, targets):
                    compared += 1
                    reason = _apart(ours, truth, targets, trial, _largest(longhand, truth))
                    if reason:
                        return reason
                self._round(tally, longhand, closed, space, trial, given)
            if tally.reason():
                return tally.reason()
        if not compared:
            return "no inputs were found on which it could be compared"
        found = self.digits.compare(longhand, closed, given, targets, self.true)
        self.uncounted = found.missing
        return found.refusal

    def _round(
        self,
        tally: Tally,
        longhand: Sequence[Node],
        closed: Sequence[Node],
        space: Space,
        trial: Trial,
        given: Sequence[Value],
    ) -> None:
        """Gate 3: both run on the values rounded to single precision."""
        single = {k: _cast(v, torch.float32) for k, v in space.items()}
        # the truth for what the single-precision run is given
        exact = _ran(longhand, {k: _cast(v, torch.float64) for k, v in single.items()}, trial.sizes)
        theirs, ours = _ran(longhand, single, trial.sizes), _ran(closed, single, trial.sizes)
        if exact is None or theirs is None or ours is None:
            return
        moved = self._space(trial, moved=True)
        if moved is not None:
            moved = _ran(longhand, self._with_gradients(moved, given, trial), trial.sizes)
        tally.note(exact, theirs, ours, _largest(longhand, exact), moved)

    # inputs

    def _bindings(self) -> list[dict[str, int]]:
        """Random small sizes for which the derivation holds, two of them with the batch at 2."""
        rng = random.Random(self.seed)
        hints = self.forward.hints()
        if not hints:
            return [{}]
        found: list[dict[str, int]] = []
        for attempt in range(60):
            sizes = {name: rng.choice(SMALL) for name in hints}
            if attempt % 3 == 0:
                sizes[next(iter(hints))] = 2
            if sizes not in found and (self.holds is None or self.holds(sizes)):
                found.append(sizes)
            if len(found) == 3:
                break
        return [*found, hints] if len(found) < 3 else found

    def _trials(self, name: str) -> Iterator[Trial]:
        for i, sizes in enumerate(self._sizes):
            for k in range(SEEDS):
                yield Trial(name, sizes, self.seed + 101 * i + 7 * k)

    def _space(self, trial: Trial, moved: bool = False) -> Space | None:
        """Every forward value, and what the backward pass makes of them alone.

        ``moved``: with every input one unit in the last place off, in single precision.
        """
        key = (trial.name, str(sorted(trial.sizes.items())), trial.seed, moved, self.true)
        if key not in self._spaces:
            self._spaces[key] = self._run_forward(trial, moved)
        found = self._spaces[key]
        return None if found is None else dict(found)

    def _run_forward(self, trial: Trial, moved: bool) -> Space | None:
        rng = torch.Generator().manual_seed(trial.seed)
        signs = torch.Generator().manual_seed(trial.seed)
        space: Space = {}

        def make(value: Value) -> torch.Tensor:
            shape = tuple(int(number_value(d, trial.sizes)) for d in value.shape)
            made = _made(trial.name, value, shape, trial.sizes, rng)
            if moved and value.floating:
                off = torch.randint(2, shape, generator=signs) * 2 - 1
                made = made * (1 + off * torch.finfo(torch.float32).eps)
            return made

        for value in self.forward.inputs:
            space[value.name] = make(value)
        try:
            with torch.no_grad():
                for node in self.forward.nodes():
                    if get_op(node.op).kind in MADE_UP and not self.true:
                        for out in node.outs:
                            space[out.name] = make(out)
                    else:
                        _run_node(node, space, trial.sizes)
                if self.true:
                    space |= {v.name: make(v) for v in self.upstream}
                for node in self.backward if self.true else self.shared:
                    _run_node(node, space, trial.sizes)
        except (RuntimeError, IndexError, ValueError, TypeError):
            return None  # sizes that do not fit together
        return space

    def _with_gradients(self, space: Space, given: Sequence[Value], trial: Trial) -> Space:
        if self.true:
            return space
        rng = torch.Generator().manual_seed(trial.seed + 1)
        for value in given:
            shape = tuple(int(number_value(d, trial.sizes)) for d in value.shape)
            space[value.name] = torch.randn(shape, generator=rng, dtype=torch.float64)
        return space


def _made(
    kind: str,
    value: Value,
    shape: tuple[int, ...],
    sizes: Mapping[str, int],
    rng: torch.Generator,
) -> torch.Tensor:
    """A tensor of random values; integers are valid indices of every axis of an open size."""
    if value.floating:
        return INPUTS[kind](value, shape, rng)
    if value.dtype == "bool":
        return torch.rand(shape, generator=rng) < 0.5
    high = max(1, min(sizes.values(), default=2))
    return torch.randint(high, shape, generator=rng, dtype=dtype_of(value.dtype))


def _seeded(
    kind: str, value: Value, shape: tuple[int, ...], sizes: Mapping[str, int], seed: int
) -> torch.Tensor:
    return _made(kind, value, shape, sizes, torch.Generator().manual_seed(seed))


def _run_node(node: Node, space: Space, sizes: Mapping[str, int]) -> None:
    def bound(arg: Any) -> Any:
        if isinstance(arg, tuple):
            return tuple(bound(a) for a in arg)
        return number_value(arg, sizes) if isinstance(arg, (Size, Scalar)) else arg

    args = tuple(bound(map_arg(a, lambda v: space.get(v.name))) for a in node.args)
    op = get_op(node.op)
    if op.name in ("full", "to"):  # the dtype in which everything else is computed here
        args = (
            tuple(
                space["__dtype__"] if p.name == "dtype" and a in ("float32", "float64") else a
                for p, a in zip(op.params, args, strict=True)
            )
            if "__dtype__" in space
            else args
        )
    result = invoke(op, args)
    results = result if isinstance(result, (tuple, list)) else (result,)
    for out, tensor in zip(node.outs, results, strict=True):
        space[out.name] = tensor


def _ran(nodes: Sequence[Node], space: Space, sizes: Mapping[str, int]) -> Space | None:
    out = dict(space)
    try:
        with torch.no_grad():
            for node in nodes:
                _run_node(node, out, sizes)
    except (RuntimeError, IndexError, ValueError, TypeError):
        return None
    return out


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.to(dtype)
    return value


def _largest(nodes: Sequence[Node], space: Space) -> float:
    """The largest number that the longhand comes by."""
    found = [space[v.name] for n in nodes for v in n.outs]
    sizes = [float(t.abs().max()) for t in found if t.is_floating_point() and t.numel()]
    return max((s for s in sizes if s < float("inf")), default=0.0)


class Tally:
    """Rounding errors of both spellings on one kind of inputs, over all sizes and seeds."""

    def __init__(self, name: str, targets: Sequence[Value]) -> None:
        self.name, self.targets = name, targets
        self.theirs = dict.fromkeys((t.name for t in targets), 0.0)
        self.ours = dict(self.theirs)
        self.count = dict.fromkeys(self.theirs, 0)
        self.beyond: set[str] = set()

    def note(
        self, exact: Space, theirs: Space, ours: Space, largest: float, moved: Space | None
    ) -> None:
        for target in self.targets:
            truth = exact[target.name]
            if not truth.numel() or not bool(torch.isfinite(truth).all()):
                continue
            size = float(truth.abs().max())
            noise = _error(moved[target.name], truth) if moved is not None else 0.0
            if size <= noise:
                continue  # smaller than what a last place of the inputs makes of it: no digits
            a, b = _error(theirs[target.name], truth), _error(ours[target.name], truth)
            if a == float("inf"):
                continue  # the longhand has no number there
            self.count[target.name] += 1
            self.theirs[target.name] += (a / size) ** 2
            self.ours[target.name] += (b / size) ** 2
            if not b <= ROUNDING * max(size, largest / 4):
                self.beyond.add(target.name)

    def reason(self) -> str | None:
        for target in self.targets:
            name = target.name
            if name not in self.beyond or not self.count[name]:
                continue
            a = (self.theirs[name] / self.count[name]) ** 0.5
            b = (self.ours[name] / self.count[name]) ** 0.5
            if not b <= WORSE * a:
                return (
                    f"in float32, on {self.name}, {target.var or name} has a relative error of "
                    f"{b:.2g} where the longhand has {a:.2g}"
                )
        return None


def _usable(space: Space, targets: Sequence[Value]) -> bool:
    return all(bool(torch.isfinite(space[t.name]).all()) for t in targets)


def _error(value: torch.Tensor, truth: torch.Tensor) -> float:
    if not bool(torch.isfinite(value).all()):
        return float("inf")
    return float((value.to(torch.float64) - truth).abs().max())


def _apart(
    ours: Space, truth: Space, targets: Sequence[Value], trial: Trial, largest: float
) -> str | None:
    """Gate 2. ``largest``: the largest number that the gradients are made of."""
    scale = max(
        (float(truth[t.name].abs().max()) for t in targets if truth[t.name].numel()), default=0.0
    )
    for target in targets:
        a, b = ours[target.name], truth[target.name]
        if a.shape != b.shape:
            return f"{target.var or target.name} has the shape {list(a.shape)}, not {list(b.shape)}"
        if not a.numel():
            continue
        off = _error(a, b)
        # a gradient that is zero but for rounding is judged by its neighbours' size, and by that
        # of what cancelled
        size = max(float(b.abs().max()), 1e-3 * scale, 1e-5 * largest)
        if not off <= AGREES * size:
            return (
                f"in float64, on {trial.name}, {target.var or target.name} is off by {off:.2g} "
                f"of {size:.2g}"
            )
    return None
