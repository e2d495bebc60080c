"""One gradient in terms of another: the closed form, its proof, its lemmas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ..algebra.expr import Atom, Expr
from ..algebra.laws import LAWS, Law, recorded
from ..algebra.normal import ONE, TooLarge
from ..algebra.read import Reader, Unreadable, leaf
from ..algebra.simplify import rebased, same
from ..errors import InputError, ProgramError
from ..program.ir import Node, Program, Value, cone
from ..program.ir import Step as ProgramStep
from .notation import Notation
from .proof import Lemma, Proof, Reading, Step, assumptions, lemmas
from .regions import Line, Region
from .solve import Solver


def region_between(solver: Solver, of: Value, given: Value) -> Region:
    """What lies between two gradients; ``InputError`` if that is more than a closed form covers."""
    nodes = cone(list(solver.derived.program.nodes()), [of], {given.name})
    made = {v.name for n in nodes for v in n.outs}
    name, upstream = of.var or of.name, given.var or given.name
    if given.name not in {v.name for n in nodes for v in n.operands()}:
        raise InputError(f"{name} does not come from {upstream}")
    for node in nodes:
        if id(node) in solver.opaque and any(v.name in solver.linear for v in node.operands()):
            where = next(s for s in solver.derived.program.steps if node in s.nodes)
            raise InputError(
                f"between {name} and {upstream} lies `{where.source or where.name}` "
                f"({node.op}), which no closed form goes through: name a gradient after it"
            )
        for v in node.operands():
            if v.name in solver.linear and v.name not in made and v.name != given.name:
                raise InputError(
                    f"{name} comes from {v.var or v.name} as well as from {upstream}: give that one"
                )
    carrying = [n for n in nodes if any(v.name in solver.linear for v in n.outs)]
    return Region(carrying, [given], [of])


def readings(solver: Solver, region: Region, shown: Collection[str]) -> list[Reading]:
    """The region's longhand, line by line, each line simplified before the next is read."""
    reader = _reader(solver, region)
    out: list[Reading] = []
    since: dict[str, int] = {}  # the laws applied since the last line that is shown
    for node in region.nodes:
        with recorded(searched=False) as fired:
            found = list(reader.node(node))
            for i, value in enumerate(node.outs):
                if value.name in shown:
                    found[i] = solver.simplified(found[i], {})
        since |= fired
        for value, expr in zip(node.outs, found, strict=True):
            reader.known[value.name] = expr
            if value.name in shown:
                out.append(Reading(value, expr, _laws(since)))
                since = {}
    return out


def _reader(solver: Solver, region: Region) -> Reader:
    reader = Reader(solver.base)
    reader.counters = solver.counters
    for v in region.given:
        reader.known[v.name] = leaf(v, True)
    return reader


def _laws(fired: Iterable[str]) -> tuple[Law, ...]:
    return tuple(LAWS[name] for name in fired)


def read_back(
    solver: Solver, region: Region, unit: bool, wanted: Reading
) -> tuple[Law, ...] | None:
    """The laws by which the closed form, read in turn, comes to what the longhand came to.

    ``None`` where it is something else in index notation, or has no reading.
    """
    if not region.lines:
        return ()  # the longhand, as it was read
    reader = _reader(solver, region)
    expr = wanted.expr
    with recorded(searched=False) as fired:
        try:
            for line in region.lines:
                for node in line.unit if unit and line.unit else line.nodes:
                    for value, read in zip(node.outs, reader.node(node), strict=True):
                        reader.known[value.name] = read
            found = solver.simplified(reader.known[wanted.value.name], {})
            if unit and solver.unit is not None:
                expr = rebased(expr, solver.unit, ONE)
            return _laws(fired) if same(found, expr) else None
        except (Unreadable, TooLarge, ProgramError, KeyError):
            return None


def prove(
    solver: Solver,
    region: Region,
    statement: str,
    names: Mapping[str, str],
    sizes: Mapping[str, str],
    unit: bool,
) -> Proof:
    """The proof of a region's closed form (or of what its longhand comes to, if it has none).

    ``unit``: it is stated for a loss, whose own gradient is 1.
    """
    text = Notation(solver.values, names, solver.forward_blocks, sizes)
    latex = Notation(solver.values, names, solver.forward_blocks, sizes, latex=True)
    through = {
        v.name: step.source or ""
        for step in solver.derived.program.steps
        for n in step.nodes
        for v in n.outs
    }
    # a gradient that is added up has several values: the finished one is the line that counts
    last = {v.var: v.name for n in region.nodes for v in n.outs if v.var is not None}
    shown = {*last.values(), region.targets[0].name}

    again = partial(readings, solver, region, shown)
    try:
        read = again()
    except (Unreadable, TooLarge, ProgramError) as error:
        raise InputError(f"this stretch cannot be put in index notation: {error}") from None

    def plain(expr: Expr) -> Expr:
        """Without the loss's own gradient, which is 1."""
        return rebased(expr, solver.unit, ONE) if solver.unit in _factors(expr) else expr

    def step(value: Value, expr: Expr, laws: tuple[Law, ...]) -> Step:
        return Step(
            value,
            expr,
            through[value.name],
            f"{text.gradient(value)} = {text.expression(plain(expr), value)}",
            f"{latex.gradient(value)} &= {latex.expression(plain(expr), value)}",
            laws,
        )

    steps = tuple(step(one.value, one.expr, one.laws) for one in read)
    end = next(one for one in read if one.value.name == region.targets[0].name)
    back_again = partial(read_back, solver, region, unit, end)
    used = [v for v in _forward_values(solver, region) if v.var is not None]

    def state(expr: Expr, value: Value, k: int, q: int, total: Expr) -> Lemma:
        shape = replace(value, shape=tuple(1 if i == k else d for i, d in enumerate(value.shape)))
        sides = []
        for notation in (text, latex):
            letter = "ijklmpqr"[k]
            left = notation.style.sum(letter, notation.gradient(value))
            sides.append(f"{left} = {notation.expression(total, shape)}")
        return Lemma(*sides)

    found = lemmas(used, solver.reader.known, state)
    whole = [*used, *region.targets]

    def word(expr: Expr) -> str:
        wide = max(whole, key=lambda v: len(v.shape))
        return text.expression(expr, wide)

    supposed = assumptions([one.expr for one in read], word)
    given = text.gradient(region.given[0])
    if solver.unit is not None and region.given[0].name == solver.unit.name:
        given += " = 1"
    return Proof(
        statement, given, steps, tuple(found), tuple(supposed), again, back_again(), back_again
    )


def _factors(expr: Expr) -> set[Atom]:
    return set(expr.atoms())


def _forward_values(solver: Solver, region: Region) -> list[Value]:
    """The forward values of the statements that the region goes back through."""
    mine = {id(n) for n in region.nodes}
    steps = {s.name for s in solver.derived.program.steps if any(id(n) in mine for n in s.nodes)}
    return [
        out
        for step in solver.forward.steps
        if step.name in steps
        for node in step.nodes
        for out in node.outs
    ]


def program_of(solver: Solver, region: Region, lines: Sequence[Line], unit: bool) -> Program:
    """The closed form (or the longhand of the region) as a program of one step."""
    shared: list[Node] = [
        n
        for n in solver.derived.program.nodes()
        if not any(v.name in solver.linear for v in n.outs)
    ]
    nodes: Sequence[Node] = region.nodes
    if lines:
        nodes = [n for line in lines for n in (line.unit if unit and line.unit else line.nodes)]
    step = ProgramStep(region.targets[0].name, (*shared, *nodes))
    program = replace(solver.derived.program, steps=(step,), outputs=(region.targets[0],))
    used = {v.name for n in program.nodes() for v in n.operands()}
    known = {v.name: v for v in (*solver.derived.program.inputs, *region.given)}
    return replace(program, inputs=tuple(v for k, v in known.items() if k in used))


__all__ = ["program_of", "prove", "region_between"]
