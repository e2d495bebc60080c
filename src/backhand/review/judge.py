"""``review``: every attempt at a gradient judged, alone and in the person's own sequence."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..checking.compare import EXACT as SAME_BITS
from ..checking.compare import Comparison, compare
from .causes import causes_of
from .comments import false_comment
from .evidence import Allowance, Evidence, Probe, gradients_read, probe_at
from .handwritten import Handwritten, Statement
from .identity import changed_meanwhile, changes_what_is_given, read_too_early
from .names import Candidate, candidates, names_of
from .result import CLOSE, CONVENTION, EXACT, MISSING, WRONG, WRONG_SHAPE, Cause, Gradient, Review
from .rounding import rounding_note
from .run import quietly, run_sequence, space_for
from .settings import Settings, settings_for
from .versions import at_the_end, settled


def review(handwritten: Handwritten, *, only: Collection[str] | None = None) -> Review:
    """Judge a handwritten backward pass against autograd on its own forward pass.

    ``only`` names the gradients that are asked for, as the person calls them: no others are
    judged, and one of them that is never written is missing.
    """
    settings = settings_for(handwritten.forward, handwritten.inputs)
    with quietly():
        return _Judge(handwritten, settings, only).run()


@dataclass(frozen=True)
class _Standing:
    """How an attempt stands: alone (``local``) and in the person's own run."""

    candidate: Candidate
    given: Probe
    probes: tuple[Probe, ...]
    local: Comparison
    local_right: bool
    own: Comparison
    own_right: bool
    telling: bool


class _Judge:
    def __init__(
        self, handwritten: Handwritten, settings: Settings, only: Collection[str] | None
    ) -> None:
        self.settings = settings
        self.reference = settings.reference
        handwritten = at_the_end(handwritten, self.reference.versions)
        self.handwritten = handwritten
        known = frozenset(self.reference.names) | frozenset(self.reference.outputs)
        self.only = only
        self.bases: dict[int, dict[str, Any]] = {}  # settings live as long as ``settings`` does
        # gradients that differ from autograd's only by another choice at ties, or follow such
        self.conventions: set[str] = set()
        self.names = settled(
            handwritten,
            names_of(handwritten, known, self.reference.outputs),
            self.reference.versions,
            lambda names, c: probe_at(handwritten, names, c, settings.double).right,
        )
        self.allowance = Allowance()
        self.attempts = candidates(handwritten, self.names)
        self.own = run_sequence(handwritten, self.names, settings.given)
        self.own_double = run_sequence(handwritten, self.names, settings.double)

    def run(self) -> Review:
        standings = [self._standing(c) for c in self.attempts]
        # what inherits is named after what is wrong itself: that has to be known first
        right = {s.candidate.of: s.own_right for s in standings if s.candidate.last}
        gradients = []
        for s in standings:
            # zeros that are replaced at once were a place to start from, not an attempt
            if not s.candidate.last and _all_zero(s.given.value):
                continue
            asked = self.only is None or s.candidate.name in self.only
            if asked or not s.own_right:
                found = self._gradient(s, right, standings)
                if found.by_convention:
                    self.conventions.add(found.name)
                if asked:
                    gradients.append(found)
        gradients += self._missing({c.of for c in self.attempts})
        return Review(
            self.handwritten.file, tuple(gradients), (*self.handwritten.notes, *self._notes())
        )

    # one attempt

    def _standing(self, candidate: Candidate) -> _Standing:
        of = candidate.of
        given = self._probe(candidate, self.settings.given)
        double = self._probe(candidate, self.settings.double)
        real = [double, *self._fresh(candidate, double)]
        blank = all(p.empty for p in real)
        read = gradients_read(self.handwritten, self.names, candidate)
        unread = blank and not read and not _all_zero(double.value)
        noise = self._noise(candidate, self.reference.read_by(of) if unread else read)
        local_right = all(p.right for p in real)
        if blank and noise:
            local_right = local_right and all(p.right for p in noise)
        probes = (double, *noise) if noise else tuple(real)
        if not local_right and all(p.right for p in probes):
            probes = tuple(real)
        truth = self.settings.given.gradients.get(of)
        local_right = local_right and _same_dtype(given.value, truth)
        mine = self.own.at.get((candidate.index, candidate.name))
        if candidate.final:
            mine = self.own.final.get(candidate.name)
        own = _compared(mine, truth)
        exact_mine = (
            self.own_double.final.get(candidate.name)
            if candidate.final
            else self.own_double.at.get((candidate.index, candidate.name))
        )
        own_right = _shaped(mine, truth) and double.agrees(exact_mine)
        if own.verdict == SAME_BITS and not (blank and not local_right):
            own_right = True
        telling = not blank or bool(noise)
        return _Standing(
            candidate,
            given,
            probes,
            _compared(given.value, truth),
            local_right,
            own,
            own_right and (local_right or not blank),
            telling,
        )

    def _probe(self, candidate: Candidate, setting: Any) -> Probe:
        base = self.bases.get(id(setting))
        if base is None:
            base = self.bases[id(setting)] = space_for(self.handwritten, self.names, setting)
        return probe_at(self.handwritten, self.names, candidate, setting, base)

    def _fresh(self, candidate: Candidate, double: Probe) -> list[Probe]:
        """Fresh inputs, at other sizes too where the statements do not depend on sizes."""
        out: list[Probe] = []
        for resize in (False, True):
            setting = self.settings.fresh(1, resize)
            if setting is None or (resize and not self._size_free(candidate)):
                continue
            out.append(self._probe(candidate, setting))
        return out

    def _noise(self, candidate: Candidate, read: tuple[str, ...]) -> list[Probe]:
        out: list[Probe] = []
        for seed in (1, 2):
            for resize in (True, False):
                if resize and not self._size_free(candidate):
                    continue
                setting = self.settings.noisy(seed, resize, read)
                if setting is not None:
                    out.append(self._probe(candidate, setting))
                    break
        return out

    def _size_free(self, candidate: Candidate) -> bool:
        """Whether no size is written into the statements: then they must hold at all sizes."""
        sizes = {s.hint for s in self.reference.symbols}
        values = self.settings.given.values
        for i in (*candidate.needed, *candidate.own):
            statement = self.handwritten.statements[i]
            for node in ast.walk(statement.node):
                if isinstance(node, ast.Constant) and type(node.value) is int:
                    if node.value > (2 if node.value in sizes else 3):
                        return False
                elif isinstance(node, ast.Name) and node.id not in values:
                    held = self.handwritten.scope.get(node.id)
                    if isinstance(held, (int, tuple, list)) and not isinstance(held, bool):
                        return False
        return True

    def _gradient(
        self, s: _Standing, right: dict[str, bool], standings: Sequence[_Standing]
    ) -> Gradient:
        c = s.candidate
        statement = self.handwritten.statements[c.index]
        local = _word(s.local, s.local_right, s.given)
        causes: tuple[Cause, ...] = ()
        why = ""
        if s.own_right and (s.local_right or s.own.verdict == SAME_BITS or not s.telling):
            verdict = EXACT if s.own.verdict == SAME_BITS else CLOSE
            if verdict == CLOSE:
                why = self._rounding(s, right)
        elif s.own_right and not s.local_right:
            verdict = EXACT if s.own.verdict == SAME_BITS else CLOSE
            why = "right in the end, though not by itself: two lines make up for one another"
        elif s.local_right:
            verdict, causes = self._inherited(s, right)
            if verdict == CLOSE:
                why = CONVENTION
        else:
            evidence = Evidence(
                self.handwritten,
                self.names,
                c,
                tuple(a for a in self.attempts if a.of == c.of and a.index < c.own[0]),
                self.reference,
                self.own,
                s.given,
                s.probes,
                self.allowance,
            )
            found = causes_of(evidence)
            causes, verdict = found.causes, found.verdict or local
            local = found.verdict or local
        if verdict in (EXACT, CLOSE):
            changing = changes_what_is_given(
                self.handwritten, self.names, c, self.own, self.settings.given.values
            )
            changing = changing or changed_meanwhile(self.handwritten, self.names, c, self.own)
            if changing is not None:
                verdict, causes = WRONG, (changing,)
            else:
                causes = (*causes, *self._false_comments(c))
        line = causes[0].line if causes and causes[0].line else statement.line
        return Gradient(
            c.name,
            c.of,
            line,
            verdict,
            local,
            causes,
            self._text_at(line, statement),
            statement.where,
            why,
            c.last,
            s.telling,
        )

    def _false_comments(self, candidate: Candidate) -> tuple[Cause, ...]:
        """Shape comments (``# [n, d]``) that are not true of a gradient that is right."""
        lines = self.handwritten.source.splitlines()
        found = []
        for i in candidate.own:
            statement = self.handwritten.statements[i]
            if statement.where or not 0 < statement.end_line <= len(lines):
                continue
            said = false_comment(
                lines[statement.end_line - 1],
                candidate.name,
                self.settings.given.gradients.get(candidate.of),
                self.settings.given.values,
            )
            if said:
                found.append(Cause("false-comment", said[0], said[1], statement.line))
        return tuple(found)

    def _text_at(self, line: int, own: Statement) -> str:
        """The statement at a line; cells count their lines from 1 each, values have none."""
        if line == own.line:
            return own.text
        for statement in self.handwritten.statements:
            if statement.line == line and statement.where == own.where:
                return statement.text
        return own.text

    def _inherited(
        self, s: _Standing, right: dict[str, bool]
    ) -> tuple[str, tuple[Cause, ...]]:
        """Right by itself, wrong in the person's run: whose fault that is."""
        c = s.candidate
        cause = changed_meanwhile(self.handwritten, self.names, c, self.own)
        if cause is not None:
            return WRONG, (cause,)
        chosen = False
        for i in (*c.needed, *c.own):
            for name in self.handwritten.statements[i].reads:
                of = self.names.of(name, i)
                if of is None or of == c.of:
                    continue
                if name in self.conventions:
                    chosen = True
                    continue
                if right.get(of) is False:
                    return f"inherits from {name}", ()
                if of not in right and self.own.at.get((c.index, name)) is None:
                    held = self.own.seen.get((i, name))
                    if held is None:
                        return f"inherits from {name}", ()
        early = read_too_early(self.handwritten, self.names, c, self.own, right)
        if early is not None:
            return WRONG, (early,)
        for change in self.own.changes:
            reads = {r for i in (*c.needed, *c.own) for r in self.handwritten.statements[i].reads}
            if change.name in reads and change.statement < c.index:
                return f"inherits from {change.name}", ()
        if chosen:
            return CLOSE, ()
        if c.index in self.own.errors:
            error = self.own.errors[c.index]
            return WRONG, (Cause("cannot-run", f"this line fails: {_said(error)}"),)
        return WRONG, (
            Cause(
                "no-known-pattern",
                "by itself this line is right; in your run something else changes what it reads",
            ),
        )

    def _rounding(self, s: _Standing, right: dict[str, bool]) -> str:
        c = s.candidate
        truth = self.settings.given.gradients.get(c.of)
        empty = self._probe(c, self.settings.double).empty
        wrong = [
            name
            for i in (*c.needed, *c.own)
            for name in self.handwritten.statements[i].reads
            if right.get(self.names.of(name, i) or "") is False
            and name not in self.conventions
            and self.names.of(name, i) != c.of
        ]
        if wrong and not empty:
            return f"what is wrong in {wrong[0]} cancels here, but for rounding"
        return rounding_note(
            self.reference, self.names, c, s.local, s.given.value, truth, empty
        )

    # what was not written

    def _missing(self, written: set[str]) -> list[Gradient]:
        out: list[Gradient] = []
        statements = self.handwritten.statements
        wanted: dict[str, tuple[str, int, str]] = {}
        for i, statement in enumerate(statements):
            if statement.blank:
                for name in statement.writes:
                    of = self.names.of(name, i + 1)
                    if of is not None:
                        wanted.setdefault(of, (name, statement.line, statement.text))
        for i, statement in enumerate(statements):
            for name in statement.reads:
                of = self.names.of(name, i)
                if of is not None and of not in self.reference.outputs:
                    wanted.setdefault(of, (name, statement.line, statement.text))
        for name, of in self.handwritten.gradients.items():
            wanted.setdefault(of, (name, 0, ""))
        for leaf in self.reference.leaves:
            if isinstance(leaf.value, torch.Tensor) and leaf.value.requires_grad:
                wanted.setdefault(leaf.name, (self.names.label(leaf.name), 0, ""))
        for name in self.only or ():
            of = self.names.of(name)
            if of is not None:
                wanted.setdefault(of, (name, 0, ""))
        for of, (name, line, text) in wanted.items():
            if of in written or (self.only is not None and name not in self.only):
                continue
            truth = self.settings.given.gradients.get(of)
            if truth is None:
                continue
            cause = Cause(
                "missing",
                f"{name}, the gradient of {of}, is never written"
                + (f", and line {line} reads it" if line and f"{name} =" not in text else ""),
                self._longhand(of),
                line,
            )
            out.append(Gradient(name, of, line, MISSING, MISSING, (cause,), text))
        return out

    def _longhand(self, of: str) -> str:
        return "\n".join(use.text for use in self.reference.uses(of))

    def _notes(self) -> list[str]:
        """Names that look like gradients of values that there are not."""
        notes: list[str] = []
        read = {r for s in self.handwritten.statements for r in s.reads}
        known = sorted(self.names.known | set(self.names.aliases))
        written: set[str] = set()
        for statement in self.handwritten.statements:
            for name in statement.writes:
                fresh = name not in written and name not in self.names.known
                written.add(name)
                if not fresh or not name.startswith("d") or self.names.of(name) is not None:
                    continue
                if name in read or name in self.handwritten.scope or len(name) < 2:
                    continue
                close = difflib.get_close_matches(name[1:], known, 1, 0.7)
                if close:
                    notes.append(
                        f"line {statement.line}: the forward pass has no {name[1:]}, so {name} "
                        f"cannot be judged; did you mean d{close[0]}?"
                    )
        return notes


def _said(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _compared(value: Any, truth: torch.Tensor | None) -> Comparison:
    if value is not None and not isinstance(value, torch.Tensor):
        try:
            value = torch.as_tensor(value, dtype=truth.dtype if truth is not None else None)
        except (TypeError, ValueError, RuntimeError):
            value = None
    return compare(value, truth)


def _same_dtype(value: Any, truth: torch.Tensor | None) -> bool:
    return not isinstance(value, torch.Tensor) or truth is None or value.dtype == truth.dtype


def _all_zero(value: Any) -> bool:
    """Whether zeros were written on purpose: where the truth is zero they are right."""
    return isinstance(value, torch.Tensor) and not bool(value.any())


def _shaped(value: Any, truth: torch.Tensor | None) -> bool:
    if truth is None or not isinstance(value, torch.Tensor):
        return truth is None
    return value.shape == truth.shape and value.dtype == truth.dtype


def _word(local: Comparison, right: bool, given: Probe) -> str:
    """The local verdict in a word."""
    if right:
        return EXACT if local.verdict == SAME_BITS else CLOSE
    value = given.value
    if not isinstance(value, torch.Tensor) or given.truth is None:
        return WRONG
    return WRONG_SHAPE if value.shape != given.truth.shape else WRONG


__all__ = ["review"]
