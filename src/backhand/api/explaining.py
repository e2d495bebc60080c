"""``explain``: what a derivation knows of a gradient, handed to the layer that words it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ..capture import holds_at
from ..emit.layout import broken
from ..emit.listing import shape_text
from ..emit.python import Line
from ..errors import InputError, own_faults
from ..explain import Closed, Explanation, Explanations, Source, explained
from ..program.ir import Value, cone
from ..program.ops import get_op
from ..shorthand import Region
from .closed import ClosedForm, stated

if TYPE_CHECKING:
    from .text import Derivation


# A closed form that takes the place of fewer lines of longhand says nothing that they do not.
WORTH = 3
WIDTH = 76


def explain(source: Source, name: str | None, numbers: bool, of: str) -> Explanations:
    """Explanations of one gradient by its name or its value's, or of all; ``of`` is a function."""
    values = source.explained()
    title = f"The backward pass of {of}"
    if name is not None:
        known = {source.gradient_name(v): v for v in values}
        known |= {source.name(v): v for v in values}
        wanted = name.strip()
        if wanted not in known:
            raise InputError(_unknown(wanted, known, source))
        values = [known[wanted]]
        title = f"{source.gradient_name(values[0])} in {of}"
    return Explanations(title, tuple(_one(source, v, numbers) for v in values))


def _one(source: Source, value: Value, numbers: bool) -> Explanation:
    step = source.makers.get(value.name)
    where = None if step is None else step.where
    with own_faults(f"explaining {source.gradient_name(value)}", where):
        return explained(source, value, numbers)


def source_of(derivation: Derivation) -> Source:
    """The programs of a derivation with what the layers around know of them."""
    captured = derivation.captured
    return Source(
        captured.program,
        derivation._expanded,
        derivation._namer.forward,
        _code(derivation),
        lambda sizes: holds_at(captured, sizes),
        lambda value: closed(derivation, value),
    )


def closed(derivation: Derivation, value: str) -> Closed | None:
    """The closed form of a value's gradient, for its explanation."""
    found = closed_in_shorthand(derivation, value)
    if found is None:
        return None
    statement = "\n".join(broken(found.proof.statement, WIDTH))
    return Closed(found.source.strip(), found.given, statement, found.proof)


def closed_in_shorthand(derivation: Derivation, value: str) -> ClosedForm | None:
    """The closed form of a value's gradient, where the shorthand has one worth telling."""
    if not _may_end_a_region(derivation, value):
        return None
    for region in derivation.regions:
        if not region.lines or len(region.given) != 1:
            continue
        made = derivation._expanded.gradients.get(value)
        target = next((v for v in region.targets if v.name == made), None)
        if target is None or _lines(derivation, region, target) < WORTH:
            continue
        if len(region.targets) == 1:
            found = stated(derivation, region, target, region.given[0])
        else:  # between these two alone there is another region
            given = region.given[0].var or region.given[0].name
            found = derivation.closed_form(value, given)
        return found if found.found else None
    return None


def _may_end_a_region(derivation: Derivation, value: str) -> bool:
    """Whether a closed form could end here; looking for one takes seconds, and saying no none."""
    program = derivation._expanded.program
    made = derivation._expanded.gradients.get(value)
    if made in {v.name for v in program.outputs}:
        return True
    readers = [n for n in program.nodes() if made in {v.name for v in n.operands()}]
    return any(get_op(n.op).kind not in ("elementwise", "reduction") for n in readers)


def _lines(derivation: Derivation, region: Region, target: Value) -> int:
    """How many lines of longhand a closed form of this gradient takes the place of."""
    made = {o.name for node in cone(list(region.nodes), [target]) for o in node.outs}
    steps = derivation._expanded.program.steps
    return sum(any(o.name in made for node in s.nodes for o in node.outs) for s in steps)


def _code(derivation: Derivation) -> dict[str, str]:
    """The lines of longhand that make each gradient, with the temporaries that they read."""
    listing = derivation.longhand
    labels = {v.var for v in derivation.captured.program.values() if v.var is not None}
    out: dict[str, str] = {}
    backward = derivation._plain
    named = {v.name: v for v in (*backward.program.values(), *backward.upstream)}
    of_label = {
        named[g].var or g: of for of, g in backward.gradients.items() if of in labels and g in named
    }
    made = {t: line for line in listing.lines for t in line.targets if t not in of_label}
    for label, of in of_label.items():
        lines: list[str] = []
        for line in listing.lines:
            if label not in line.targets:
                continue
            before = [_broken(made[r], derivation) for r in line.reads if r in made]
            lines += [*dict.fromkeys(before), _broken(line, derivation)]
        if lines:
            out[of] = "\n".join(lines)
    return out


def _broken(line: Line, derivation: Derivation) -> str:
    shape = line.assigns[-1].shape if line.assigns else ()
    comment = f"  # {shape_text(shape, derivation.symbols)}" if shape else "  # scalar"
    return "\n".join(broken(line.text, WIDTH, comment))


def _unknown(name: str, known: dict[str, Value], source: Source) -> str:
    forward = {v.var for v in source.values.values() if v.var is not None}
    bare = name.removeprefix("d")
    if name in forward or bare in forward:
        which = name if name in forward else bare
        return f"{which} has no gradient: nothing differentiable leads from it to an output"
    near = difflib.get_close_matches(name, known, 3)
    if near:
        return f"there is no gradient of {name!r}: did you mean {' or '.join(near)}?"
    names = ", ".join(source.gradient_name(v) for v in source.explained())
    return f"there is no gradient of {name!r}: there are {names}"


__all__ = ["closed", "closed_in_shorthand", "explain", "source_of"]
