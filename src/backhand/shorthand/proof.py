"""Proofs: the longhand read line by line, each line simplified before the next is read.

The proof that people read is the computation that found the closed form. It can be replayed: every
line is read again from the longhand, and each must come out as it stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..algebra import coefficients as co
from ..algebra.expr import Expr, Fn, Group, Red, Ref
from ..algebra.normal import of_atom, positive, reduce
from ..algebra.read import axis
from ..program.ir import Value

ReadAgain = Callable[[], Sequence[tuple[Value, Expr]]]


@dataclass(frozen=True)
class Step:
    """One gradient of the longhand: the line it is made by, and what that comes to.

    ``through`` is the forward line; ``text`` and ``latex`` state the result in index notation.
    """

    value: Value
    expr: Expr
    through: str
    text: str
    latex: str


@dataclass(frozen=True)
class Lemma:
    """An identity that the forward pass itself guarantees, such as ``Σ_k probs[i, k] = 1``."""

    text: str
    latex: str


@dataclass(frozen=True)
class Proof:
    """From the longhand to the closed form. ``str`` gives it as text."""

    statement: str
    given: str
    steps: tuple[Step, ...]
    lemmas: tuple[Lemma, ...]
    assumptions: tuple[str, ...]
    again: ReadAgain

    def replay(self) -> bool:
        """Read the longhand once more and compare every line with the proof's."""
        fresh = self.again()
        return len(fresh) == len(self.steps) and all(
            value.name == step.value.name and expr == step.expr
            for (value, expr), step in zip(fresh, self.steps, strict=True)
        )

    @property
    def latex(self) -> str:
        lines = [rf"{step.latex}" for step in self.steps]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

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
        out.append("So, in terms of what is kept:")
        out.append(f"    {self.statement}")
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
