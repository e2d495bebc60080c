"""One call of an operator, its gradients by its rule and by autograd.

Most checks build the program of a single node themselves, without capturing anything: that takes a
few milliseconds, so that every sample of every rule can be tried in many ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from backhand.checking.compare import EXACT, compare
from backhand.errors import BackhandError
from backhand.longhand import Backward, backward, expand_plain
from backhand.program.build import Builder, SizeContext, Var
from backhand.program.invoke import dtype_name, invoke
from backhand.program.ir import Program, Step, Value, map_arg
from backhand.program.ops import Op, get_op
from backhand.rules import Rule, Sample, T

from .values import generator, map_tensors, normal, tensor


class Refused(Exception):
    """Torch itself does not take this call, or has no gradient for it."""


@dataclass(frozen=True)
class Leaf:
    """A tensor argument: its name, its value, whether its gradient is asked for."""

    name: str
    value: torch.Tensor
    grad: bool


@dataclass(frozen=True)
class _Slot:
    leaf: int


class Call:
    """An operator with concrete arguments. ``picked``: which outputs have an upstream."""

    def __init__(
        self,
        op: Op,
        args: tuple[Any, ...],
        leaves: list[Leaf],
        label: str,
        picked: Sequence[int] | None = None,
    ) -> None:
        self.op = op
        self.args = args
        self.leaves = leaves
        self.label = label
        self.picked = picked

    @staticmethod
    def of(
        rule: Rule,
        index: int,
        dtype: torch.dtype = torch.float64,
        sample: Sample | None = None,
        values: Mapping[int, torch.Tensor] | None = None,
        note: str = "",
    ) -> Call:
        """The call that a sample describes; ``values`` replaces some of its tensors."""
        sample = rule.samples[index] if sample is None else sample
        op = get_op(rule.op)
        bound = op.bind(sample.args, sample.kwargs)
        rng = generator(rule.op, index, note)
        leaves: list[Leaf] = []
        taken: set[str] = set()

        def make(name: str) -> Any:
            def one(t: T) -> _Slot:
                i, label = len(leaves), name
                while label in taken:
                    label = f"{name}_{len(taken)}"
                taken.add(label)
                given = (values or {}).get(i)
                value = tensor(t, dtype, rng, rule.special) if given is None else given
                leaves.append(Leaf(label, value, t.grad and value.is_floating_point()))
                return _Slot(i)

            return one

        args = tuple(map_tensors(a, make(p.name)) for p, a in zip(op.params, bound, strict=True))
        label = f"{rule.op}, sample {index}{f', {note}' if note else ''}: {_spelled(op, bound)}"
        return Call(op, args, leaves, f"{label} [{dtype_name(dtype)}]")

    def with_picked(self, picked: Sequence[int]) -> Call:
        label = f"{self.label}, upstream of output {', '.join(map(str, picked))} only"
        return Call(self.op, self.args, self.leaves, label, picked)

    def filled(self, tensors: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments with these in the place of the tensors."""
        return tuple(_fill(a, tensors) for a in self.args)

    def run(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Torch's outputs."""
        result = invoke(self.op, self.filled(tensors))
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)

    @property
    def values(self) -> list[torch.Tensor]:
        return [leaf.value for leaf in self.leaves]

    @cached_property
    def truth(self) -> Truth:
        return Truth(self)

    @cached_property
    def derived(self) -> Derived:
        return Derived(self)


def _fill(arg: Any, tensors: Sequence[Any]) -> Any:
    if isinstance(arg, _Slot):
        return tensors[arg.leaf]
    if isinstance(arg, tuple):
        return tuple(_fill(a, tensors) for a in arg)
    return arg


def _spelled(op: Op, bound: tuple[Any, ...]) -> str:
    def text(arg: Any) -> str:
        if isinstance(arg, T):
            return f"{arg.kind}{list(arg.shape)}"
        if isinstance(arg, tuple):
            return f"({', '.join(map(text, arg))})"
        return repr(arg)

    return f"{op.name}({', '.join(map(text, bound))})"


class Truth:
    """What autograd says: outputs, their random upstreams, and the gradient of every leaf."""

    def __init__(self, call: Call, create_graph: bool = False, ones: bool = False) -> None:
        self.inputs = [
            leaf.value.detach().clone().requires_grad_(leaf.grad) for leaf in call.leaves
        ]
        try:
            self.outputs = call.run(self.inputs)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise Refused(str(error)) from error
        able = [i for i, out in enumerate(self.outputs) if out.requires_grad]
        self.with_upstream = [i for i in able if call.picked is None or i in call.picked]
        if not self.with_upstream:
            raise Refused("no output has a gradient")
        rng = generator(call.label)
        self.upstream = [self._random(self.outputs[i], rng) for i in self.with_upstream]
        if ones:
            self.upstream = [torch.ones_like(u) for u in self.upstream]
        for u in self.upstream:
            u.requires_grad_(create_graph)
        self.asked = [i for i, leaf in enumerate(call.leaves) if leaf.grad]
        try:
            found = torch.autograd.grad(
                [self.outputs[i] for i in self.with_upstream],
                [self.inputs[i] for i in self.asked],
                self.upstream,
                allow_unused=True,
                create_graph=create_graph,
            )
        except RuntimeError as error:
            raise Refused(str(error)) from error
        self.gradients = {call.leaves[i].name: g for i, g in zip(self.asked, found, strict=True)}

    @staticmethod
    def _random(output: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return normal(tuple(output.shape), rng).to(output.dtype)


_MODE = FakeTensorMode(static_shapes=True)
_MODE.allow_non_fake_inputs = True


class Derived:
    """What the rule says: the program of the call, its backward program, and the numbers."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.context = SizeContext(None, _MODE)
        builder = Builder(self.context, {leaf.name for leaf in call.leaves})
        variables: list[Var] = []
        for leaf in call.leaves:
            with _MODE:
                fake = torch.empty(leaf.value.shape, dtype=leaf.value.dtype)
            shape = tuple(leaf.value.shape)
            value = Value(leaf.name, shape, dtype_name(leaf.value.dtype), leaf.name)
            variables.append(builder.register(Var(builder, value, fake)))
        result = builder.emit(call.op, call.filled(variables))
        outs = result if isinstance(result, tuple) else (result,)
        truth = call.truth
        self.program = Program(
            call.op.name,
            tuple(v.value for v in variables),
            (Step("y", tuple(builder.nodes)),),
            tuple(outs[i].value for i in truth.with_upstream),
        )
        self.vars = builder.vars
        self.wrt = [leaf.name for leaf in call.leaves if leaf.grad]
        self.exact = backward(self.program, self.context, self.vars, self.wrt)

    @cached_property
    def plain(self) -> Backward:
        return expand_plain(self.exact, self.context, self.vars)

    def environment(self) -> dict[str, Any]:
        """Every forward value, and the upstreams."""
        space = dict(zip((leaf.name for leaf in self.call.leaves), self.call.values, strict=True))
        run(self.program, space)
        upstream = self.call.truth.upstream
        by_output = {o.name: u for o, u in zip(self.program.outputs, upstream, strict=True)}
        for value, of in zip(self.exact.upstream, self.exact.upstream_of, strict=True):
            space[value.name] = by_output[of].detach()
        return space

    def gradients(self, derived: Backward) -> dict[str, torch.Tensor | None]:
        """The gradient of every leaf that has one, by running the backward program."""
        space = self.environment()
        run(derived.program, space)
        return {
            name: space[derived.gradients[name]] if name in derived.gradients else None
            for name in self.wrt
        }

    def second(self) -> tuple[Backward, Program, dict[str, Any]]:
        """The backward pass of the (plain) backward pass."""
        first = self.plain
        names = [v.name for v in first.program.outputs]
        inputs = (*self.program.inputs, *first.upstream)
        program = Program(
            f"d{self.program.name}",
            inputs,
            (*self.program.steps, *first.program.steps),
            tuple(v for v in first.program.outputs if v.name in names),
        )
        variables = {**self.vars, **first.vars}
        wrt = [*self.wrt, *(v.name for v in first.upstream)]
        return backward(program, self.context, variables, wrt), program, variables


def run(program: Program, space: dict[str, Any]) -> None:
    """Run a program without symbolic sizes on tensors; every value ends up in ``space``."""
    with torch.no_grad():
        for node in program.nodes():
            args = tuple(map_arg(a, lambda v: space[v.name]) for a in node.args)
            result = invoke(get_op(node.op), args)
            results = result if isinstance(result, (tuple, list)) else (result,)
            for out, value in zip(node.outs, results, strict=True):
                space[out.name] = value


@dataclass(frozen=True)
class Finding:
    """One gradient compared: which call, whose gradient, the verdict, and what to read."""

    label: str
    name: str
    verdict: str
    text: str

    def __str__(self) -> str:
        return f"{self.label}\n  gradient of {self.name}: {self.verdict}: {self.text}"


def judge(
    label: str,
    gradients: Mapping[str, torch.Tensor | None],
    truth: Mapping[str, torch.Tensor | None],
) -> list[Finding]:
    """Everything that is not bit for bit the same."""
    out: list[Finding] = []
    for name, expected in truth.items():
        value = gradients.get(name)
        seen = compare(value, expected)
        if seen.verdict != EXACT:
            text = seen.why or f"off by {seen.maxdiff:.3g}, {seen.ulp} ulp"
            out.append(Finding(label, name, seen.verdict, f"{text}{_where(value, expected)}"))
    return out


def _where(value: torch.Tensor | None, truth: torch.Tensor | None) -> str:
    if value is None or truth is None or value.shape != truth.shape or value.dtype != truth.dtype:
        return ""
    same = (value == truth) & (torch.signbit(value) == torch.signbit(truth))
    same |= value.isnan() & truth.isnan()
    index = tuple((~same).nonzero()[0].tolist()) if (~same).any() else ()
    return f"; at {list(index)}: {value[index].item()!r}, autograd has {truth[index].item()!r}"


def shaped(sample: Sample, fn: Any) -> Sample:
    """The sample with every tensor's shape changed by ``fn``."""

    def change(t: T) -> T:
        return replace(t, shape=fn(t.shape))

    return Sample(
        tuple(map_tensors(a, change) for a in sample.args),
        {k: map_tensors(v, change) for k, v in sample.kwargs.items()},
    )


__all__ = ["BackhandError", "Call", "Derived", "Finding", "Refused", "Truth", "judge", "run"]
