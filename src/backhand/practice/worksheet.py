"""Worksheets: a forward pass, and a blank for each gradient, in the order of the longhand."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..api import Backprop
from ..emit.layout import WIDTH
from ..emit.listing import names_in, preamble, print_forward, printed_name
from ..errors import InputError

INDENT = "    "


@dataclass(frozen=True)
class Blank:
    """One gradient to be written: ``name`` (``dh``) of the forward value ``of`` (``h``)."""

    name: str
    of: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} = ...  # {list(self.shape) if self.shape else 'scalar'}"


def blanks(bp: Backprop, only: Collection[str] = ()) -> tuple[Blank, ...]:
    """The gradients of a derivation, each where the longhand has it whole.

    ``only`` names the forward values whose gradients are wanted; all that have names otherwise.
    """
    listing = bp.listing("plain")
    derived = bp.derived("plain")
    last = {target: i for i, line in enumerate(listing.lines) for target in line.targets}
    printed = {v.name: printed_name(v) for v in derived.program.values()}
    sizes = {s.name: s.hint for s in bp.symbols}
    ups = {printed_name(v) for v in derived.upstream}
    found: dict[str, tuple[int, Blank]] = {}
    for value in bp.captured.program.values():
        label = printed.get(derived.gradients.get(value.name, ""), "")
        if value.var is None or label not in last or label in ups:
            continue
        shape = tuple(d if isinstance(d, int) else d.evaluate(sizes) for d in value.shape)
        # a name for the same value stands for it: the first one is the author's
        found.setdefault(label, (last[label], Blank(label, value.name, shape)))
    made = [blank for _, blank in sorted(found.values(), key=lambda item: item[0])]
    unknown = [name for name in only if all(b.of != name for b in made)]
    if unknown:
        raise InputError(f"there is no gradient of {unknown[0]} to be written")
    return tuple(b for b in made if not only or b.of in only)


def names(bp: Backprop, forward: str) -> list[str]:
    """What a backward pass is given: the values that ``forward`` names, and the upstream.

    Tensors of the file's own are read where they are.
    """
    written = names_in([forward])
    captured = bp.captured
    values = (
        v.name
        for v in captured.program.values()
        if v.var is not None and v.name not in captured.constants
    )
    kept = [n for n in dict.fromkeys(values) if _origin(n, written)]
    return [*kept, *([] if bp.scalar else upstreams(bp))]


def _origin(name: str, written: set[str]) -> bool:
    """Whether a value's name is the author's: as written, or with the number of its turn."""
    stem, _, turn = name.rpartition("_")
    return name in written or (turn.isdecimal() and stem in written)


def upstreams(bp: Backprop) -> list[str]:
    return [printed_name(v) for v in bp.derived("plain").upstream]


def given(bp: Backprop) -> list[str]:
    """The lines of a backward pass that nobody has to find: sizes, and the loss's gradient."""
    known = {s.name for s in bp.symbols}
    seeds = [f"{upstreams(bp)[0]} = torch.ones_like({_output(bp)})"] if bp.scalar else []
    return [*preamble(bp.symbols, known), *seeds]


def _output(bp: Backprop) -> str:
    return bp.derived("plain").upstream_of[0]


def signature(name: str, arguments: Sequence[str]) -> list[str]:
    """``def name(…):``, with as many arguments on a line as there is room for."""
    whole = f"def {name}({', '.join(arguments)}):"
    if len(whole) <= WIDTH:
        return [whole]
    return [f"def {name}(", *indented(textwrap.wrap(f"{', '.join(arguments)},", WIDTH - 4)), "):"]


def indented(lines: Sequence[str]) -> list[str]:
    return [INDENT + line if line else "" for line in lines]


def backward_text(bp: Backprop, forward: str, body: Sequence[str]) -> str:
    """A ``backward`` function with these statements, for the source of a forward pass."""
    head = signature("backward", names(bp, forward))
    return "\n".join([*head, *indented(given(bp)), *indented(body)]) + "\n"


def worksheet_text(note: str, forward: str, bp: Backprop, body: Sequence[str]) -> str:
    """A worksheet: a docstring, the source of ``forward`` with its inputs, the backward pass."""
    quoted = note.replace("\\", "\\\\").replace('"""', "'''")
    text = f'"""{quoted}\n"""\n\n{forward.strip()}\n\n\n{backward_text(bp, forward, body)}'
    ast.parse(text)
    return text


def solution_lines(
    bp: Backprop, forward: str, form: str, wanted: Sequence[Blank]
) -> tuple[str, ...]:
    """The statements that fill the blanks: the longhand, or the closed form of each blank."""
    head = set(given(bp))
    if form == "shorthand":
        sources = [bp.closed_form(blank.of, _output(bp)).source for blank in wanted]
        lines = [line for s in sources for line in s.splitlines() if line and line not in head]
    else:
        listed = bp.longhand.source.splitlines()
        lines = listed[len(bp.longhand.preamble) + (1 if bp.scalar else 0) :]
        while lines and not lines[0]:
            lines = lines[1:]
    return (*_unnamed(bp, forward, lines), *lines)


def _unnamed(bp: Backprop, forward: str, text: Sequence[str]) -> list[str]:
    """The forward lines of values that the lines read and the author gave no name.

    ``x.max(1).values`` is such a line: going back takes the places of the maxima as well.
    """
    read = names_in(text) - set(names(bp, forward))
    lines = print_forward(bp.forward_of("longhand"), bp.symbols)[0]
    return [line.text for line in lines if read & set(line.targets)]
