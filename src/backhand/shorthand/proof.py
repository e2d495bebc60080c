"""Proofs: the longhand read line by line, each line simplified before the next is read.

The proof that people read is the computation that found the closed form. It can be replayed: every
line is read again from the longhand, and each must come out as it stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..algebra import coefficients as co
from ..algebra.expr import Expr, Fn, Group, Red, Ref
from ..algebra.laws import Law
from ..algebra.normal import of_atom, positive, reduce
from ..algebra.read import axis
from ..program.ir import Value


@dataclass(frozen=True)
class Reading:
    """A gradient in index notation, and the laws by which it comes to that, in order."""

    value: Value
    expr: Expr
    laws: tuple[Law, ...]


ReadAgain = Callable[[], Sequence[Reading]]


@dataclass(frozen=True)
class Step:
    """One gradient of the longhand: the line it is made by, and what that comes to.

    ``through`` is the forward line; ``text`` and ``latex`` state the result in index notation;
    ``laws`` are the laws of algebra by which it is what the line says.
    """

    value: Value
    expr: Expr
    through: str
    text: str
    latex: str
    laws: tuple[Law, ...] = ()

    @property
    def by(self) -> str:
        """The names of its laws, or nothing."""
        return titles(self.laws)


def titles(laws: Sequence[Law]) -> str:
    return ", ".join(law.title for law in laws)


@dataclass(frozen=True)
class Lemma:
    """An identity that the forward pass itself guarantees, such as ``Σ_k probs[i, k] = 1``."""

    text: str
    latex: str


@dataclass(frozen=True)
class Proof:
    """From the longhand to the closed form. ``str`` gives it as text.

    ``back`` has the laws by which the closed form, read in turn, comes to the last step; ``None``
    where reading does not bring the two together: then numbers alone vouch for how it is spelled.
    """

    statement: str
    given: str
    steps: tuple[Step, ...]
    lemmas: tuple[Lemma, ...]
    assumptions: tuple[str, ...]
    again: ReadAgain
    back: tuple[Law, ...] | None
    back_again: Callable[[], tuple[Law, ...] | None]

    def replay(self) -> bool:
        """Read longhand and closed form once more, and compare every line with the proof's."""
        fresh = self.again()
        return (
            len(fresh) == len(self.steps)
            and all(
                reading.value.name == step.value.name
                and reading.expr == step.expr
                and reading.laws == step.laws
                for reading, step in zip(fresh, self.steps, strict=True)
            )
            and self.back_again() == self.back
        )

    @property
    def laws(self) -> tuple[Law, ...]:
        """Every law that a step rests on, once."""
        every = (law for laws in (*(s.laws for s in self.steps), self.back or ()) for law in laws)
        return tuple(dict.fromkeys(every))

    @property
    def latex(self) -> str:
        by = [rf" && \text{{{step.by}}}" if step.laws else "" for step in self.steps]
        lines = [step.latex + laws for step, laws in zip(self.steps, by, strict=True)]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    @property
    def closing(self) -> str:
        """What is said between the last step and the statement."""
        if self.back is None:
            return "So, in terms of what is kept (numbers alone vouch for this last step):"
        return "So, in terms of what is kept:"

    def __str__(self) -> str:
        out = [f"Given {self.given}."]
        if self.lemmas:
            out.append("The forward pass guarantees:")
            out += [f"    {lemma.text}" for lemma in self.lemmas]
        if self.assumptions:
            out.append(f"In real arithmetic, where {', '.join(self.assumptions)}:")
        else:
            out.append("Line by line:")
        for step in self.steps:
            out.append(f"    {step.text}")
            if step.through:
                out.append(f"        from {step.through}")
            if step.laws:
                out.append(f"        by {step.by}")
        out.append(self.closing)
        out.append(f"    {self.statement}")
        if self.back:
            out.append(f"        by {titles(self.back)}")
        if self.laws:
            out.append("The laws:")
            out += [f"    {law}" for law in self.laws]
        return "\n".join(out)


def lemmas(
    values: Sequence[Value],
    known: Mapping[str, Expr],
    state: Callable[[Expr, Value, int, int, Expr], Lemma],
) -> list[Lemma]:
    """Sums of forward values, and of their squares, that come to something simpler.

    ``state`` words one: the summand's power, the axis, and what the sum is.
    """
    out: list[Lemma] = []
    for value in values:
        expr = known.get(value.name)
        if expr is None or not value.floating or len(value.shape) < 1:
            continue
        for k, d in enumerate(value.shape):
            if d == 1 or axis(k) not in expr.free:
                continue
            total = reduce(expr, axis(k), co.number(d))
            if total.constant is not None:
                out.append(state(expr, value, k, 1, total))
    return list(dict.fromkeys(out))


def assumptions(exprs: Sequence[Expr], word: Callable[[Expr], str]) -> list[str]:
    """What has to be non-zero or positive for the rewriting to hold."""
    out: list[str] = []
    for expr in exprs:
        for mono, _ in expr.terms:
            for atom, q in mono.factors:
                if q < 0 and isinstance(atom, (Ref, Red, Group)) and not positive(atom):
                    out.append(f"{word(of_atom(atom))} ≠ 0")
                if isinstance(atom, Fn) and atom.name == "log" and not _positive(atom.args[0]):
                    out.append(f"{word(atom.args[0])} > 0")
    return list(dict.fromkeys(out))


def _positive(expr: Expr) -> bool:
    return all(positive(a) for a in expr.atoms()) and not any(co.negative(c) for _, c in expr.terms)
