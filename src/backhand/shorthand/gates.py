"""Three gates that a closed form has to pass: the algebra is not believed.

1. With real numbers of fifty digits it equals the longhand at random small sizes (``digits.py``);
   this costs most, so it comes last. The region says where an operator has no such version.
2. In float64 it agrees with the longhand to 1e-9.
3. In float32, the forward pass included, its error against the float64 truth is at most one and a
   half times the longhand's, or what the last place of the inputs decides if that is more, on
   ordinary inputs and on ones made to cancel and overflow.

The forward values that a region reads are made by running what leads to them; what a contraction or
a random operator gives is made up, so that logits of 1e4 can reach a softmax in any network.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch

from ..program.invoke import dtype_of, invoke
from ..program.ir import Node, Program, Value, map_arg
from ..program.ops import get_op
from ..program.sizes import Scalar, Size, number_value
from .digits import Digits
from .regions import carries

SMALL = (2, 3, 5, 7)
AGREES = 1e-9
WORSE = 1.5
# Below four units in the last place of the largest element a ratio of two roundings says nothing.
ROUNDING = 4 * torch.finfo(torch.float32).eps
SEEDS = 4
MANY, TOO_MANY = 1 << 15, 1 << 22  # elements of a tensor
AGREEING = ("ordinary inputs", "inputs between 0 and 1")
MADE_UP = frozenset({"contraction", "random"})
# What running a form raises at sizes, or on integers, that do not fit together.
CLASHES = (RuntimeError, IndexError, ValueError, TypeError, OverflowError)
FLOATS = ("float16", "bfloat16", "float32", "float64")

Fill = Callable[[tuple[int, ...], torch.Generator], torch.Tensor]


def _normal(scale: float = 1.0, shift: float = 0.0) -> Fill:
    def fill(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64) * scale + shift

    return fill


def _unit(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=rng, dtype=torch.float64) * 0.9 + 0.05


def _constant(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    if not shape:
        return torch.rand((), generator=rng, dtype=torch.float64)
    return torch.randn(shape[-1:], generator=rng, dtype=torch.float64).expand(shape).clone()


def _whole(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.randint(-2, 3, shape, generator=rng).to(torch.float64)


# Looked at for numbers that are none, and not for their rounding: one seed will do.
ZEROS = "small whole numbers, zeros and ties among them"
# What inputs look like: by name, for the message.
INPUTS: dict[str, Fill] = {
    "ordinary inputs": _normal(),
    "inputs between 0 and 1": _unit,
    "inputs of size 1e4": _normal(1e4),
    "inputs of mean 1e4 and deviation 1e-2": _normal(1e-2, 1e4),
    "inputs that are constant along an axis": _constant,
    ZEROS: _whole,
}


@dataclass(frozen=True)
class Trial:
    """One set of sizes and inputs."""

    name: str
    sizes: tuple[tuple[str, int], ...]
    seed: int
    large: bool


class Space(dict[str, Any]):
    """Values by name; what is missing is made when it is asked for."""

    def __init__(self, make: Callable[[str, Space], None], dtype: str) -> None:
        super().__init__()
        self.make, self.dtype = make, dtype

    def __missing__(self, name: str) -> Any:
        self.make(name, self)
        return self[name]


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
        self.holds = holds
        self.seed = seed
        self.true: frozenset[str] = frozenset()
        self.outputs = [v for v in forward.outputs if v.floating]
        self._linear = {v.name for v in upstream}
        for node in backward:
            if carries(node, self._linear):
                self._linear |= {v.name for v in node.outs}
        every = [*forward.nodes(), *shared, *backward]
        self._values = {v.name: v for v in (*forward.inputs, *upstream)}
        self._values |= {v.name: v for n in every for v in n.outs}
        self._makers = {v.name: n for n in every for v in n.outs}
        self._places = {name: i for i, name in enumerate(self._values)}
        self._spaces: dict[tuple[Any, ...], Space] = {}
        self._longhand: dict[tuple[Any, ...], Space | None] = {}
        # the sizes of axes that are not open, those of one element aside
        self._fixed = sorted(
            {d for v in forward.values() for d in v.shape if isinstance(d, int) and d > 1}
        )[:1]
        self._sizes = self._bindings()
        self.digits = Digits(
            forward, backward, self._sizes, AGREEING, partial(_seeded, self._fixed), MADE_UP
        )
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
        read = {v.name for n in closed for v in n.operands() if v.name not in made}
        # a closed form that reads what the given gradients were contracted from needs them true
        true = bool(read & self._linear)
        self.true = self._contracted((*read, *(v.name for v in given))) if true else frozenset()
        for name in INPUTS:
            tally = Tally(name, targets)
            for trial in self._trials(name, (*given, *targets)):
                truth = self._truth(longhand, given, targets, trial, "float64")
                ours = self._ran(closed, given, trial, "float64")
                if truth is None:
                    continue
                if ours is None:
                    sizes = ", ".join(f"{k} = {v}" for k, v in trial.sizes)
                    return f"at {sizes} it does not run, which the longhand does"
                if not _usable(ours, targets) and self._without_value(trial):
                    continue
                if name in AGREEING and _usable(truth, targets):
                    compared += 1
                    reason = _apart(ours, truth, targets, trial, _largest(longhand, truth))
                    if reason:
                        return reason
                theirs = self._truth(longhand, given, targets, trial, "float32")
                ours = self._ran(closed, given, trial, "float32")
                moved = self._truth(longhand, given, targets, trial, "float64", moved=True)
                if theirs is not None and ours is not None:
                    tally.note(truth, theirs, ours, _largest(longhand, truth), moved)
                if trial.large:
                    self.done()
            if tally.reason():
                return tally.reason()
        if not compared:
            return "no inputs were found on which it could be compared"
        found = self.digits.compare(longhand, closed, given, targets, bool(self.true))
        self.uncounted = found.missing
        return found.refusal

    def _truth(
        self,
        nodes: Sequence[Node],
        given: Sequence[Value],
        targets: Sequence[Value],
        trial: Trial,
        dtype: str,
        moved: bool = False,
    ) -> Space | None:
        """What the longhand gives, which is the same for every form of its region."""
        names = tuple(v.name for v in targets), tuple(v.name for v in given)
        key = (trial, dtype, moved, self.true, names)
        if key not in self._longhand:
            self._longhand[key] = self._ran(nodes, given, trial, dtype, moved)
        return self._longhand[key]

    def done(self) -> None:
        """Forget what was kept for the region that was judged last."""
        self._longhand.clear()
        self._spaces.clear()

    def _contracted(self, names: Sequence[str]) -> frozenset[str]:
        """What contractions have made among these values and what they are views of."""
        out: set[str] = set()
        for name in names:
            node = self._makers.get(name)
            while node is not None and _same_memory(node):
                name = next(node.operands()).name
                node = self._makers.get(name)
            if node is not None and get_op(node.op).kind == "contraction":
                out.add(name)
        return frozenset(out)

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
        return found if len(found) == 3 else [*found, self._shrunk(hints)]

    def _shrunk(self, hints: dict[str, int]) -> dict[str, int]:
        """The example's sizes with every one made small that may be: equal ones stay equal."""
        sizes = dict(hints)
        for value in sorted(set(hints.values()), reverse=True):
            same = [name for name, n in hints.items() if n == value]
            for small in SMALL:
                tried = {**sizes, **dict.fromkeys(same, small)}
                if small < value and (self.holds is None or self.holds(tried)):
                    sizes = tried
                    break
        return sizes

    def _trials(self, name: str, values: Sequence[Value]) -> Iterator[Trial]:
        for i, sizes in enumerate(self._sizes):
            most = max(prod(_shape(v, sizes)) for v in values)
            if most > TOO_MANY:
                continue
            # a large tensor, of fixed sizes, has enough numbers of its own
            for k in range(SEEDS if most < MANY and name != ZEROS else 1):
                yield Trial(name, tuple(sizes.items()), self.seed + 101 * i + 7 * k, most >= MANY)

    def _space(self, trial: Trial, dtype: str, moved: bool, spread: bool = False) -> Space:
        """Forward values, and what the backward pass makes of them alone.

        ``moved``: with every input one unit in the last place off, in single precision.
        ``spread``: what is made up in place of a contraction is NaN where its operands are.
        """
        key = (trial, dtype, moved, spread, self.true)
        if key not in self._spaces:
            sizes, true = dict(trial.sizes), self.true

            def make(name: str, space: Space) -> None:
                node = self._makers.get(name)
                made_up = node is None or get_op(node.op).kind in MADE_UP
                if name in self._linear and node is not None and not _same_memory(node):
                    made_up = True
                if node is not None and (name in true or not made_up):
                    _run_node(node, space, sizes)
                    return
                outs = (self._values[name],) if node is None else node.outs
                before = node.operands() if spread and node is not None else ()
                none = any(_has_nan(space[v.name]) for v in before)
                for v in outs:
                    drawn = self._drawn(v, trial, dtype, moved)
                    space[v.name] = drawn * float("nan") if none and v.floating else drawn

            self._spaces[key] = Space(make, dtype)
        return self._spaces[key]

    def _drawn(self, value: Value, trial: Trial, dtype: str, moved: bool) -> torch.Tensor:
        """A tensor made up, the same one whatever else is asked for; floats are single ones."""
        sizes = dict(trial.sizes)
        shape = _shape(value, sizes)
        rng = torch.Generator().manual_seed(1009 * trial.seed + self._places[value.name])
        if value.floating:
            linear = value.name in self._linear
            made = (_normal() if linear else INPUTS[trial.name])(shape, rng)
            made = made.to(torch.float32).to(dtype_of(dtype))
            if moved:
                off = torch.randint(2, shape, generator=rng) * 2 - 1
                made = made * (1 + off * torch.finfo(torch.float32).eps)
            return made
        return _made(self._fixed, trial.name, value, shape, sizes, rng)

    def _ran(
        self,
        nodes: Sequence[Node],
        given: Sequence[Value],
        trial: Trial,
        dtype: str,
        moved: bool = False,
    ) -> Space | None:
        """The nodes' results beside the values that they read; ``None`` for sizes that clash."""
        base = self._space(trial, dtype, moved)
        out = Space(lambda name, space: space.update({name: base[name]}), dtype)
        try:
            with torch.no_grad():
                if not self.true:
                    out.update((v.name, self._drawn(v, trial, dtype, moved)) for v in given)
                for node in nodes:
                    _run_node(node, out, dict(trial.sizes))
        except CLASHES:
            return None
        return out

    def _without_value(self, trial: Trial) -> bool:
        """Whether the forward pass itself has no number there, as for a row that is all masked."""
        space = self._space(trial, "float64", False, spread=True)
        try:
            with torch.no_grad():
                return any(_has_nan(space[v.name]) for v in self.outputs)
        except CLASHES:
            return True


def _same_memory(node: Node) -> bool:
    return get_op(node.op).kind == "view" or node.op == "identity"


def _shape(value: Value, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(int(number_value(d, sizes)) for d in value.shape)


def _has_nan(tensor: torch.Tensor) -> bool:
    return bool(torch.isnan(tensor).any())


def _made(
    fixed: Sequence[int],
    kind: str,
    value: Value,
    shape: tuple[int, ...],
    sizes: Mapping[str, int],
    rng: torch.Generator,
) -> torch.Tensor:
    """A tensor of random values; integers are valid indices of every axis, of a fixed size too."""
    if value.floating:
        return INPUTS[kind](shape, rng)
    if value.dtype == "bool":
        return torch.rand(shape, generator=rng) < 0.5
    high = max(1, min([*sizes.values(), *fixed], default=2))
    return torch.randint(high, shape, generator=rng, dtype=dtype_of(value.dtype))


def _seeded(
    fixed: Sequence[int],
    kind: str,
    value: Value,
    shape: tuple[int, ...],
    sizes: Mapping[str, int],
    seed: int,
) -> torch.Tensor:
    return _made(fixed, kind, value, shape, sizes, torch.Generator().manual_seed(seed))


def _run_node(node: Node, space: Space, sizes: Mapping[str, int]) -> None:
    def bound(arg: Any) -> Any:
        if isinstance(arg, tuple):
            return tuple(bound(a) for a in arg)
        return number_value(arg, sizes) if isinstance(arg, (Size, Scalar)) else arg

    args = tuple(bound(map_arg(a, lambda v: space[v.name])) for a in node.args)
    op = get_op(node.op)
    if any(a in FLOATS for a in args if isinstance(a, str)):
        # the dtype in which everything is computed here
        args = tuple(
            space.dtype if p.name == "dtype" and isinstance(a, str) and a in FLOATS else a
            for p, a in zip(op.params, args, strict=True)
        )
    result = invoke(op, args)
    results = result if isinstance(result, (tuple, list)) else (result,)
    for out, tensor in zip(node.outs, results, strict=True):
        space[out.name] = tensor


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
            truth = _numbers(exact[target.name])
            if not truth.numel() or not bool(torch.isfinite(truth).all()):
                continue
            size = float(truth.abs().max())
            noise = _error(moved[target.name], truth) if moved is not None else 0.0
            if size <= noise:
                continue  # smaller than what a last place of the inputs makes of it: no digits
            a, b = _error(theirs[target.name], truth), _error(ours[target.name], truth)
            if a == float("inf") or (a >= size and b < float("inf")):
                continue  # the longhand has no number there, or none with a digit that is right
            self.count[target.name] += 1
            # what the last place of an input decides is no error of a formula
            self.theirs[target.name] += (max(a, noise) / size) ** 2
            self.ours[target.name] += (b / size) ** 2
            if not b <= ROUNDING * max(size, largest):
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


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor to calculate with; a comparison of gradients is no number yet."""
    return tensor.to(torch.float64) if tensor.dtype == torch.bool else tensor


def _error(value: torch.Tensor, truth: torch.Tensor) -> float:
    if not bool(torch.isfinite(value).all()):
        return float("inf")
    return float((value.to(torch.float64) - truth).abs().max())


def _apart(
    ours: Space, truth: Space, targets: Sequence[Value], trial: Trial, largest: float
) -> str | None:
    """Gate 2. ``largest``: the largest number that the gradients are made of."""
    scale = max(
        (float(_numbers(truth[t.name]).abs().max()) for t in targets if truth[t.name].numel()),
        default=0.0,
    )
    for target in targets:
        a, b = _numbers(ours[target.name]), _numbers(truth[target.name])
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
