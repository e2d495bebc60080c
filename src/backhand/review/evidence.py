"""What a finder sees: one attempt at a gradient, with the numbers it gave at several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from .handwritten import Handwritten, Statement
from .names import Candidate, Names
from .reference import Reference, Setting, UseLine, near
from .run import Alone, OwnRun, run_alone, space_for


@dataclass(frozen=True)
class Probe:
    """The attempt at one setting: what it gave alone, and the truth."""

    setting: Setting
    base: Mapping[str, Any]
    alone: Alone
    truth: torch.Tensor | None

    @property
    def scale(self) -> float:
        return self.setting.scale

    @property
    def value(self) -> Any:
        return self.alone.value

    def agrees(self, value: Any) -> bool:
        """Whether ``value`` is the truth here, shape and all, but for rounding."""
        truth = self.truth
        if truth is None:
            return value is None or (isinstance(value, torch.Tensor) and not bool(value.any()))
        if not isinstance(value, torch.Tensor) or value.shape != truth.shape:
            return False
        rough = value.dtype != truth.dtype and value.is_floating_point()
        if not value.is_floating_point():
            return bool(torch.equal(value.to(truth.dtype), truth))
        return near(value.to(truth.dtype), truth, self.scale, 1e-5 if rough else 1e-9)

    @property
    def right(self) -> bool:
        return self.agrees(self.value)

    @property
    def empty(self) -> bool:
        """Whether the truth is zero but for rounding, and tells nothing."""
        if self.truth is None or not self.truth.numel():
            return True
        return float(self.truth.abs().max()) <= 1e-12 * max(self.scale, 1e-300)


@dataclass
class Allowance:
    """How many more attempts of one review may be compared by algebra: each takes its time."""

    left: int = 8
    refused: bool = False

    def take(self) -> bool:
        """Whether there is one more."""
        self.refused = self.left == 0
        self.left = max(self.left - 1, 0)
        return not self.refused


@dataclass(frozen=True)
class Evidence:
    """One attempt, the probes at which an explanation has to hold, and the means to try others.

    ``probes`` are in double precision. ``given`` is the probe at the given inputs as they are.
    """

    handwritten: Handwritten
    names: Names
    candidate: Candidate
    earlier: tuple[Candidate, ...]
    reference: Reference
    own: OwnRun
    given: Probe
    probes: tuple[Probe, ...]
    allowance: Allowance = field(default_factory=Allowance, compare=False)
    cache: dict[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """The attempt's own statements."""
        return tuple(self.handwritten.statements[i] for i in self.candidate.own)

    @cached_property
    def uses(self) -> tuple[UseLine, ...]:
        return self.reference.uses(self.candidate.of)

    @cached_property
    def terms(self) -> tuple[tuple[torch.Tensor, ...], ...]:
        """The uses' terms at every probe."""
        return tuple(self.reference.terms(self.candidate.of, p.setting) for p in self.probes)

    @cached_property
    def read(self) -> tuple[str, ...]:
        """The values whose gradients the attempt reads."""
        return gradients_read(self.handwritten, self.names, self.candidate)

    @cached_property
    def sizes(self) -> tuple[tuple[str, list[int]], ...]:
        """Every size as the code can say it, with its value at each probe."""
        out: dict[str, list[int]] = {}
        for symbol in self.reference.symbols:
            if symbol.axis is None and not symbol.named:
                continue
            text = symbol.name if symbol.named else symbol.accessor
            try:
                values = [int(eval(symbol.accessor, dict(p.setting.values))) for p in self.probes]
            except (NameError, AttributeError, IndexError):
                continue
            out[text] = values
        for name, held in self.probes[0].setting.values.items():
            if type(held) is int and held > 1 and name not in out:
                everywhere = [p.setting.values.get(name) for p in self.probes]
                counts = [v for v in everywhere if isinstance(v, int)]
                if len(counts) == len(everywhere):
                    out[name] = counts
        for name in sorted({name for s in self.statements for name in s.reads} - out.keys()):
            held = self.handwritten.scope.get(name)
            if type(held) is int and held > 1:
                out[name] = [held] * len(self.probes)  # a constant of the script: n = 32
        return tuple(out.items())

    def rerun(self, probe: Probe, changed: Mapping[int, str]) -> Any:
        """The gradient at a probe with some statements replaced by other texts."""
        order = sorted({*self.candidate.needed, *self.candidate.own})
        texts: Sequence[Statement | str] = [
            changed.get(i, self.handwritten.statements[i]) for i in order
        ]
        return run_alone(
            self.candidate, texts, self.handwritten, self.names, probe.setting, probe.base
        ).value

    def mended_by(self, changed: Mapping[int, str]) -> bool:
        """Whether these texts in place of the person's make the gradient right at every probe."""
        try:
            return all(p.agrees(self.rerun(p, changed)) for p in self.probes)
        except (SyntaxError, ValueError):
            return False


def gradients_read(
    handwritten: Handwritten, names: Names, candidate: Candidate
) -> tuple[str, ...]:
    """The values whose gradients an attempt reads, its own aside."""
    read = [
        names.of(name, i)
        for i in (*candidate.needed, *candidate.own)
        for name in handwritten.statements[i].reads
    ]
    return tuple(sorted({of for of in read if of is not None and of != candidate.of}))


def probe_at(
    handwritten: Handwritten,
    names: Names,
    candidate: Candidate,
    setting: Setting,
    base: Mapping[str, Any] | None = None,
) -> Probe:
    """Run an attempt alone at one setting. ``base`` is ``space_for`` it, where that is known."""
    if base is None:
        base = space_for(handwritten, names, setting)
    order = sorted({*candidate.needed, *candidate.own})
    statements = [handwritten.statements[i] for i in order]
    alone = run_alone(candidate, statements, handwritten, names, setting, base)
    return Probe(setting, base, alone, setting.gradients.get(candidate.of))
