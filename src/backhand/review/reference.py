"""What is right: the forward values and their true gradients, at any inputs and any precision.

Gradients are autograd's on the user's own function, and the longhand's where single uses, or an
upstream that never occurs in the whole network, are asked for.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ..algebra.read import Reader, Unreadable, leaf
from ..capture import capture, fits, holds_at
from ..capture.inputs import called_by
from ..checking.verify import Truth, autograd_truth, run_lines
from ..emit.listing import print_backward, print_forward, printed_name
from ..emit.python import Line
from ..errors import ProgramError
from ..longhand import spellings
from ..shorthand.solve import Solver
from .double import doubled, in_double

# Operators that pick the largest or smallest entries, at whose ties a convention decides.
MAXIMA = frozenset({"amax", "amin", "max", "min", "max_dim", "min_dim"})


@dataclass(frozen=True)
class UseLine:
    """One line of the longhand that adds a use: its text, and the forward line that reads."""

    text: str
    reader: str


@dataclass(frozen=True)
class Setting:
    """One set of inputs: forward values by name, every true gradient by the value it is of.

    ``fresh`` inputs are made up; ``noise`` names the gradients that were replaced by random ones.
    """

    values: Mapping[str, Any]
    gradients: Mapping[str, torch.Tensor | None]
    upstream: Mapping[str, torch.Tensor]
    fresh: bool = False
    noise: tuple[str, ...] = ()

    @cached_property
    def scale(self) -> float:
        """The size of the largest gradient there is, against which a zero is measured."""
        known = [g for g in self.gradients.values() if g is not None and g.numel()]
        sizes = [float(g.abs().max()) for g in known]
        return max((s for s in sizes if math.isfinite(s)), default=0.0)

    @cached_property
    def double(self) -> bool:
        """Whether the numbers are in double precision."""
        return any(g is not None and g.dtype == torch.float64 for g in self.gradients.values())


def locals_of(
    forward: Callable[..., Any], call: Callable[[], Any], seed: int = 0
) -> dict[str, Any]:
    """What the user's own function has bound when it returns, in a run that ``call`` makes."""
    called = called_by(forward)
    code = getattr(getattr(called, "__func__", called), "__code__", None)
    found: dict[str, Any] = {}

    def watch(frame: Any, event: str, arg: Any) -> None:
        if event == "return" and frame.f_code is code:
            found.update(frame.f_locals)

    before = sys.getprofile()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sys.setprofile(watch)
        try:
            call()
        finally:
            sys.setprofile(before)
    return found


class Reference:
    """The forward pass of a review, and its longhand."""

    def __init__(self, forward: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
        self.forward = forward
        # what is handwritten reads the values that names have after the forward pass
        self.captured = capture(forward, inputs, latest=True)
        self.versions = self.captured.versions
        # values that no name of the author's stands for any more, inputs aside
        given = {v.name for v in self.captured.program.inputs}
        self.overwritten = {v for vs in self.versions.values() for v in vs[:-1]} - given
        leaves = self.captured.arguments.dynamic()
        self.leaves = leaves
        self.inputs = tuple(
            leaf.value.detach() if isinstance(leaf.value, torch.Tensor) else leaf.value
            for leaf in leaves
        )
        self.wrt = {
            leaf.name
            for leaf in leaves
            if isinstance(leaf.value, torch.Tensor)
            and leaf.value.is_floating_point()
            and leaf.kind != "buffer"
        }
        program, context = self.captured.program, self.captured.context
        made = spellings(program, context, self.captured.vars, sorted(self.wrt))
        self.program = made.forward
        self.derived, self._expanded = made.plain, made.expanded
        self.symbols = program.symbols
        listing, exact = (
            print_backward(b.program, self.symbols, shapes=False, forward=self.program)
            for b in (made.plain, made.exact)
        )
        self.preamble, self.lines = listing.preamble, listing.lines
        self.exact_lines = exact.lines
        self.forward_lines, self.forward_head = print_forward(self.program, self.symbols)
        printed = {v.name: printed_name(v) for v in self.derived.program.values()}
        named = [v for v in program.values() if v.var is not None and v.floating]
        self.names = tuple(v.name for v in named)
        self.labels = {
            of: printed[name]
            for of, name in self.derived.gradients.items()
            if name in printed and of in {*self.names, *self.derived.upstream_of}
        }
        self._compiled = {x.text: compile(x.text, "<longhand>", "exec") for x in self.lines}
        self._following: dict[str, frozenset[str]] = {}
        self.outputs = tuple(v.name for v in program.outputs)

    @cached_property
    def solver(self) -> Solver:
        """The forward pass in index notation, and what can be spelled with its values."""
        return Solver(self.captured.program, self._expanded, self.captured.context)

    @cached_property
    def lines_read(self) -> Reader:
        """The forward pass in index notation line by line: every named value stands for itself."""
        reader = Reader()
        for node in self.captured.program.nodes():
            try:
                found = reader.node(node)
            except (Unreadable, ProgramError):
                found = tuple(leaf(v) for v in node.outs)
            for value, expr in zip(node.outs, found, strict=False):
                reader.known[value.name] = leaf(value) if value.var is not None else expr
        return reader

    # numbers

    def values_at(self, inputs: Sequence[Any], seed: int = 0) -> dict[str, Any]:
        """Every named forward value, and the sizes that the author's code has names for."""
        space: dict[str, Any] = {"torch": torch, "math": math}
        double = is_double(inputs)
        constants = self.captured.constants
        space.update(zip([leaf.name for leaf in self.leaves], inputs, strict=True))
        space.update({k: doubled(v) if double else v for k, v in constants.items()})
        with torch.no_grad(), in_double(double), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            run_lines([*self.forward_head, *self.forward_lines], space)
            for symbol in self.symbols:
                if symbol.named and symbol.axis is not None and symbol.name not in space:
                    space[symbol.name] = eval(symbol.accessor, space)
        # local names that the program does not have: `n`, masks
        with in_double(double):
            own = locals_of(self.forward, lambda: self.captured.arguments.call(list(inputs)), seed)
        return space | {n: v for n, v in own.items() if n not in space}

    def setting(self, inputs: Sequence[Any], seed: int = 0, fresh: bool = False) -> Setting:
        """Forward values and autograd's gradients at these inputs."""
        with in_double(is_double(inputs)):
            truth: Truth = autograd_truth(
                self.captured,
                inputs,
                self.derived.upstream_of,
                self.wrt,
                set(self.names),
                None,
                seed,
            )
        values = self.values_at(inputs, seed)
        gradients = {**truth.gradients, **truth.upstream}
        return Setting(values, gradients, truth.upstream, fresh)

    def noisy(self, setting: Setting, read: Sequence[str], seed: int) -> Setting | None:
        """The same forward values with a random upstream in place of the gradients ``read``.

        Those of them that follow from others keep following. What comes before stays true.
        """
        generator = torch.Generator().manual_seed(seed)
        space = self.backward_space(setting)
        roots: list[str] = []
        after: set[str] = set()  # labels that follow from noise
        by_label = {self.labels[of]: of for of in read if of in self.labels}
        gradients = dict(setting.gradients)
        last = {t: i for i, line in enumerate(self.lines) for t in line.targets}
        for up, of in self._ups():
            if of in read:
                label = printed_name(up)
                space[label] = noise_like(space[label], generator)
                gradients[of] = space[label]
                roots.append(of)
                after.add(label)
        with torch.no_grad(), in_double(setting.double):
            for i, line in enumerate(self.lines):
                exec(self._compiled[line.text], space)
                follows = any(r in after for r in line.reads)
                for target in line.targets:
                    of = by_label.get(target, "")
                    if of and last[target] == i and not follows and target not in after:
                        space[target] = noise_like(space[target], generator)
                        roots.append(of)
                        after.add(target)
                    elif follows:
                        after.add(target)
        if not roots:
            return None
        for of, label in self.labels.items():
            if label in space:
                gradients[of] = space[label]
        return Setting(setting.values, gradients, setting.upstream, setting.fresh, tuple(roots))

    def backward_space(self, setting: Setting) -> dict[str, Any]:
        """Where the longhand's lines can run: forward values, sizes and upstreams."""
        space = dict(setting.values)
        run_lines(list(self.preamble), space)
        for value, of in self._ups():
            space[printed_name(value)] = setting.upstream[of]
        return space

    def agrees(self, setting: Setting) -> bool:
        """Whether the longhand gives autograd's gradients here, to double precision."""
        space = self.backward_space(setting)
        with torch.no_grad(), in_double(setting.double):
            for line in self.lines:
                exec(self._compiled[line.text], space)
        for of, label in self.labels.items():
            truth, ours = setting.gradients.get(of), space.get(label)
            if truth is None or ours is None:
                continue
            if truth.shape != ours.shape or not near(ours, truth, setting.scale):
                return False
        return True

    def uses(self, of: str) -> tuple[UseLine, ...]:
        """The longhand's lines that add up to the gradient of ``of``, in their order."""
        return tuple(
            UseLine(line.text, line.step.source if line.step else "") for line in self._adding(of)
        )

    def _adding(self, of: str) -> list[Line]:
        label = self.labels.get(of)
        return [line for line in self.lines if label in line.targets]

    def terms(self, of: str, setting: Setting) -> tuple[torch.Tensor, ...]:
        """The use of each of those lines alone, at this setting."""
        label = self.labels.get(of)
        if label is None:
            return ()
        space = self.backward_space(setting)
        true = {self.labels[o]: g for o, g in setting.gradients.items() if o in self.labels}
        mine = {id(line) for line in self._adding(of)}
        last = {t: i for i, line in enumerate(self.lines) for t in line.targets}
        out: list[torch.Tensor] = []
        with torch.no_grad(), in_double(setting.double):
            for i, line in enumerate(self.lines):
                if id(line) in mine and label in line.reads:
                    space[label] = torch.zeros_like(space[label])
                exec(self._compiled[line.text], space)
                if id(line) in mine:
                    out.append(space[label])
                    if len(out) == len(mine):
                        break
                for target in line.targets:
                    known = true.get(target)
                    if known is not None and target != label and last[target] == i:
                        space[target] = known
        return tuple(out)

    def paths(
        self, of: str, read: Sequence[str], setting: Setting, most: int = 16
    ) -> dict[str, torch.Tensor]:
        """What each path from the gradients ``read`` back to ``of`` brings, by what is on it.

        A path takes one use at every gradient on the way that has several. Empty where there are
        more than ``most``.
        """
        goal = self.labels.get(of)
        start = {self.labels[o] for o in read if o in self.labels}
        start |= {printed_name(u) for u, o in self._ups() if o in read}
        after = set(start)
        for line in self.lines:
            if any(r in after for r in line.reads):
                after.update(line.targets)
        back = {goal}
        for line in reversed(self.lines):
            if any(t in back for t in line.targets):
                back.update(r for r in line.reads if r not in start)
        between = (after & back) - start
        adding: dict[str, list[int]] = {}
        for i, line in enumerate(self.lines):
            for target in line.targets:
                if target in between and target in self.labels.values():
                    adding.setdefault(target, []).append(i)
        several = {t: lines for t, lines in adding.items() if len(lines) > 1}
        count = math.prod(len(lines) for lines in several.values())
        if goal is None or not 2 <= count <= most:
            return {}
        out: dict[str, torch.Tensor] = {}
        for chosen in itertools.product(*several.values()):
            value = self._along(goal, dict(zip(several, chosen, strict=True)), start, setting)
            through = [self.lines[i].step for i in reversed(chosen)]
            name = " and ".join(dict.fromkeys(s.name for s in through if s is not None))
            out[name] = out[name] + value if name in out else value
        return out

    def _along(
        self, goal: str, chosen: Mapping[str, int], start: set[str], setting: Setting
    ) -> torch.Tensor:
        """The gradient ``goal`` where only the chosen line adds to each gradient with several."""
        space = self.backward_space(setting)
        true = {self.labels[o]: g for o, g in setting.gradients.items() if o in self.labels}
        with torch.no_grad(), in_double(setting.double):
            for i, line in enumerate(self.lines):
                label = next((t for t in line.targets if t in chosen), None)
                before = space.get(label) if label in line.reads else None
                if label is not None and chosen[label] == i and before is not None:
                    space[label] = torch.zeros_like(before)
                exec(self._compiled[line.text], space)
                if label is not None and chosen[label] != i:
                    space[label] = torch.zeros_like(space[label]) if before is None else before
                for target in line.targets:
                    known = true.get(target)
                    if target in start and known is not None:
                        space[target] = known
        value: torch.Tensor = space[goal]
        return value

    def ties(self, setting: Setting) -> bool:
        """Whether a maximum is reached twice here: gradients are a matter of convention then."""
        for node in self.program.nodes():
            operand = next(node.operands(), None)
            if node.op not in MAXIMA or operand is None:
                continue
            held = setting.values.get(operand.name)
            if not isinstance(held, torch.Tensor):
                continue
            axes = node.args[1] if len(node.args) > 1 else None
            if not isinstance(axes, (int, tuple)) or axes == ():
                axes = tuple(range(held.dim()))
            for extreme in (torch.amax, torch.amin):
                found = extreme(held, dim=axes, keepdim=True)
                wanted = extreme is torch.amax if "max" in node.op else extreme is torch.amin
                if wanted and bool(((held == found).sum(axes) > 1).any()):
                    return True
        return False

    def following(self, of: str) -> frozenset[str]:
        """The values whose gradients follow from the gradient of ``of``: none can be read by it."""
        if of not in self._following:
            after = {self.labels.get(of, f"d{of}")}
            for line in self.lines:
                if any(r in after for r in line.reads):
                    after.update(line.targets)
            after.discard(self.labels.get(of, ""))
            found = frozenset(o for o, label in self.labels.items() if label in after)
            self._following[of] = found
        return self._following[of]

    def read_by(self, of: str) -> tuple[str, ...]:
        """The values whose gradients the longhand reads for the gradient of ``of``."""
        values = {label: o for o, label in self.labels.items()}
        values.update((printed_name(u), o) for u, o in self._ups())
        read = [values[r] for line in self._adding(of) for r in line.reads if r in values]
        return tuple(sorted({o for o in read if o != of}))

    def _ups(self) -> list[tuple[Any, str]]:
        return list(zip(self.derived.upstream, self.derived.upstream_of, strict=True))

    def fits(self, inputs: Sequence[Any]) -> bool:
        return fits(self.captured, list(inputs))

    def holds_at(self, sizes: Mapping[str, int]) -> bool:
        return holds_at(self.captured, sizes)


def is_double(inputs: Sequence[Any]) -> bool:
    """Whether a forward pass computes in double precision at these inputs."""
    return any(isinstance(v, torch.Tensor) and v.dtype == torch.float64 for v in inputs)


def noise_like(t: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random numbers in the shape and dtype of a gradient."""
    return torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype)


AGREES = 1e-9


def near(a: torch.Tensor, b: torch.Tensor, floor: float = 0.0, rel: float = AGREES) -> bool:
    """Equal but for double-precision rounding, measured against the larger of truth and floor."""
    if a.shape != b.shape:
        return False
    if a.numel() == 0:
        return True
    scale = max(float(b.abs().max()), 1e-4 * floor)
    off = float((a - b).abs().max())
    return off <= rel * scale or bool(torch.equal(a, b))

