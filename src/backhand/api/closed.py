"""``closed_form``: one gradient in terms of another, with its proof."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..emit.listing import Listing, print_backward, printed_name
from ..errors import InputError
from ..explain.source import cone
from ..longhand import Backward, recompute
from ..program.ir import Value
from ..shorthand import (
    Lemma,
    Line,
    Notation,
    Proof,
    Refusal,
    Region,
    Weight,
    program_of,
    prove,
    region_between,
)

if TYPE_CHECKING:
    from .text import Derivation


@dataclass(frozen=True)
class ClosedForm:
    """One gradient in terms of another and of forward values; ``str`` is the source.

    Attributes:
        of: The value whose gradient it is.
        given: The value whose gradient it starts from.
        source: The lines, which run where the forward pass has run.
        listing: The same, line by line.
        latex: The statement.
        proof: Why it holds, line by line; ``str`` is readable text.
        found: False where no closed form is worth having: the source is the longhand then.
        cost: Passes over large tensors, bytes saved, and operators.
        longhand_cost: The same of the longhand that it takes the place of.
        refusals: What was found and not taken, and why.
        lemmas: What the forward pass guarantees and the proof uses.
        replaces: What the lines of longhand assign that it takes the place of.
    """

    of: str
    given: str
    listing: Listing
    latex: str
    proof: Proof
    found: bool
    cost: Weight
    longhand_cost: Weight
    refusals: tuple[Refusal, ...]
    replaces: frozenset[str]

    @property
    def source(self) -> str:
        return self.listing.source

    @property
    def lemmas(self) -> tuple[Lemma, ...]:
        return self.proof.lemmas

    def __str__(self) -> str:
        return self.source


def closed_form(derivation: Derivation, of: str, given: str) -> ClosedForm:
    """Solve what lies between two gradients of a derivation."""
    solver = derivation._solved.solver
    target, upstream = (_gradient(derivation, name) for name in (of, given))
    region = region_between(solver, target, upstream)
    solver.solve_region(region, ())
    return stated(derivation, region, target, upstream)


def stated(
    derivation: Derivation, region: Region, target: Value, upstream: Value
) -> ClosedForm:
    """A region that has been solved, as the closed form of one of its gradients."""
    solver = derivation._solved.solver
    unit = derivation.scalar and upstream.name == derivation._walked.upstream[0].name
    program = program_of(solver, region, region.lines, unit)
    whole = replace(derivation._expanded, program=program)
    shown, needed = recompute(whole, derivation.captured.program)
    namer = derivation._namer
    named: Backward = namer.backward(shown)
    forward = namer.program(derivation.captured.program, needed)
    listing = print_backward(named.program, derivation.symbols, (), True, forward)
    names, sizes = _names(derivation)
    label = target.var or target.name
    last = next((x for x in reversed(listing.lines) if label in x.targets), listing.lines[-1])
    proof = prove(solver, region, last.text, names, sizes, unit)
    assert region.longhand is not None
    return ClosedForm(
        target.var or target.name,
        upstream.var or upstream.name,
        listing,
        proof.steps[-1].latex.replace("&=", "="),
        proof,
        bool(region.lines),
        region.weight or region.longhand,
        region.longhand,
        tuple(region.refusals),
        frozenset(printed_name(o) for n in cone(region.nodes, [target]) for o in n.outs),
    )


def _gradient(derivation: Derivation, name: str) -> Value:
    """The value that holds the gradient of a forward value, by the forward value's name."""
    backward = derivation._expanded
    values = {v.name: v for v in (*backward.upstream, *backward.program.values())}
    known: dict[str, Value] = {}
    for of, gradient in backward.gradients.items():
        if gradient in values:
            known[of] = values[gradient]
    for value in derivation.captured.program.values():
        if value.var is not None and value.name in known:
            known.setdefault(value.var, known[value.name])
    found = known.get(name) or known.get(name.removeprefix("d"))
    if found is None:
        near = difflib.get_close_matches(name, known, 1)
        hint = f": did you mean {near[0]}?" if near else ""
        raise InputError(f"there is no gradient of {name}{hint}")
    return found


def refusals_text(derivation: Derivation) -> str:
    """The closed forms that were found and not taken, and why."""
    solver = derivation._solved.solver
    names, sizes = _names(derivation)
    notation = Notation(solver.values, names, solver.forward_blocks, sizes)
    out: list[str] = []
    for region in derivation.regions:
        made = ", ".join(v.var or v.name for v in region.targets)
        given = ", ".join(v.var or v.name for v in region.given)
        what = "in closed form" if region.lines else "kept in longhand"
        out.append(f"{made} from {given}: {what}")
        for refusal in region.refusals:
            if refusal.lines:
                out += [f"  found: {_worded(notation, line)}" for line in refusal.lines]
                out.append(f"  not taken: {refusal.reason}")
            else:
                out.append(f"  no form: {refusal.reason}")
    return "\n".join(out)


def _worded(notation: Notation, line: Line) -> str:
    return f"{notation.gradient(line.value)} = {notation.expression(line.expr, line.value)}"


def _names(derivation: Derivation) -> tuple[dict[str, str], dict[str, str]]:
    """What values and sizes are called in formulas."""
    values = derivation._solved.solver.values
    names = {v.name: v.var for v in values.values() if v.var is not None}
    names |= {k: text for k, text in derivation._namer.forward.items() if k not in names}
    sizes = {s.name: s.name if s.named else str(s.accessor) for s in derivation.symbols}
    return names, sizes
