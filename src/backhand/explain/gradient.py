"""One gradient's explanation, composed from what the program, the rules and the proofs say."""

from __future__ import annotations

from collections.abc import Sequence

from ..longhand import Use
from ..program.ir import Node, Value
from ..program.ops import get_op
from ..shorthand import Proof as FoundProof
from ..shorthand import titles
from .blocks import (
    Block,
    Code,
    Explanation,
    Formula,
    LawLine,
    Paragraph,
    Proof,
    ProofLine,
    Section,
    Spans,
    Table,
    code,
    gradient,
    math,
    para,
    spans,
    strong,
)
from .indexed import part
from .laws import statement_tex
from .local import local_gradient, spelled
from .notation import texname, words
from .reindex import reindexing
from .shapes import stretch
from .source import Closed, Reading, Source
from .tiny import tiny_case
from .written import written_out


def explained(source: Source, value: Value, numbers: bool = False) -> Explanation:
    """The explanation of the gradient of one value."""
    name, readings = source.gradient_name(value), source.readings(value)
    blocks: list[Block] = [*_made(source, value)]
    if source.is_empty(value):
        none = (code(source.name(value)), " has no elements, so ", code(name), " has none either.")
        blocks.append(para(*none, " What follows holds whenever there are some."))
    if not readings:
        blocks += _start(source, value)
    else:
        blocks += _sum(source, value, readings)
        for k, reading in enumerate(readings):
            title = spans(
                "Its one use: " if len(readings) == 1 else f"Use {k + 1} of {len(readings)}: ",
                code(_line(reading)),
            )
            blocks.append(Section(title, tuple(_use(reading, numbers))))
    text = source.code.get(value.name)
    if text:
        title = spans("The line of code" if text.count("\n") < 1 else "The lines of code")
        blocks.append(Section(title, (Code(text),)))
    closed = source.closed(value.name)
    if closed is not None:
        blocks.append(_closed(name, closed))
    shape = source.shape(value)
    return Explanation(name, source.name(value), shape, source.example(value), tuple(blocks))


def _made(source: Source, value: Value) -> list[Block]:
    step = source.makers.get(value.name)
    if step is None:
        return [para(code(source.name(value)), " is an input.")]
    if not step.source:
        return []
    return [Code(step.source, "forward")]


def _line(reading: Reading) -> str:
    """The author's statement, or the operator where there is none."""
    return reading.step.source or spelled(reading.source, reading.path[-1])


def _start(source: Source, value: Value) -> list[Block]:
    name = source.gradient_name(value)
    if not value.shape:
        return [
            para(
                code(name), " is where the way back starts: how the loss moves when the loss "
                "moves, which is 1."
            ),
            Formula(rf"{texname(name)} = 1"),
        ]  # fmt: skip
    return [
        para(
            code(name), " is the upstream: it is given from outside, in the shape of ",
            code(source.name(value)), ", and the way back starts with it.",
        )
    ]  # fmt: skip


def _sum(source: Source, value: Value, readings: Sequence[Reading]) -> list[Block]:
    """Which uses the value has, and that its gradient is the sum over them."""
    x, dx = code(source.name(value)), code(source.gradient_name(value))
    if len(readings) == 1:
        first = readings[0]
        twice = f" ({len(first.uses)} times in it)" if len(first.uses) > 1 else ""
        return [para(x, " is read by one statement", twice, ", and its gradient comes from there.")]
    rows: list[tuple[Spans, ...]] = []
    for reading in readings:
        found = part(reading)
        ups = [gradient(source.gradient_name(source.values[o.name])) for o in reading.outputs]
        upstream = tuple(s for k, up in enumerate(ups) for s in (*spans(", " if k else ""), up))
        gives = spans(math(_given(reading) if found is None else found[1]))
        rows.append((spans(code(_line(reading))), upstream, gives))
    head = (spans("read by"), spans("upstream"), spans("gives"))
    return [
        para(
            x, f" is read by {len(readings)} statements. Moving it moves the loss along each of "
            "these ways, so ", dx, " is the sum of what each of them gives:",
        ),
        Table(head, tuple(rows)),
    ]  # fmt: skip


def _given(reading: Reading) -> str:
    """What a reading gives, by the rule's formula, where index notation has no words for it."""
    return local_gradient(reading.source, reading.uses[-1]).product


def _use(reading: Reading, numbers: bool) -> list[Block]:
    source = reading.source
    tiny = tiny_case(reading)
    blocks: list[Block] = [_shapes(reading)]
    table, letters = _locals(reading)
    blocks.append(table)
    if letters:
        blocks.append(_legend(letters))
    for node in _reading_nodes(reading):
        blocks += stretch(source, reading.value, node)
    blocks += _spread(reading)
    blocks += _notes(reading)
    found = part(reading)
    if found is not None:
        blocks.append(para("In index notation:"))
        blocks.append(Formula(f"{found[0]} = {found[1]}"))
    for node in reading.path:
        blocks += reindexing(reading, tiny, node)
    blocks += written_out(reading, tiny, numbers)
    return blocks


def _reading_nodes(reading: Reading) -> list[Node]:
    return list({id(use.node): use.node for use in reading.uses}.values())


def _shapes(reading: Reading) -> Table:
    source = reading.source
    values: dict[str, tuple[str, Value]] = {}
    for node in reading.path:
        for v in node.operands():
            if v.dtype != "none" and (v.var is not None or v.name == reading.value.name):
                values.setdefault(v.name, (source.name(v), v))
    made = {o.name for node in reading.path for o in node.outs}
    inside = {n for n in made if n not in {o.name for o in reading.outputs}}
    kept = [item for name, item in values.items() if name not in inside]
    kept += [(source.name(o), o) for o in reading.outputs]
    kept.sort(key=lambda item: item[1].name != reading.value.name)
    ups = [(source.gradient_name(o), o) for o in reading.outputs]
    rows = tuple(
        (spans(code(name)), spans(source.shape(v)), spans(source.example(v)))
        for name, v in (*kept, *ups)
    )
    return Table((spans("value"), spans("shape"), spans("in the example")), rows)


def _locals(reading: Reading) -> tuple[Table, dict[str, str]]:
    """Forward line, local gradient, upstream × local, for each operator on the way back."""
    source = reading.source
    rows: list[tuple[Spans, ...]] = []
    letters: dict[str, str] = {}
    reached = {reading.value.name} | {o.name for node in reading.path for o in node.outs}
    single = len(reading.path) == 1
    for node in reversed(reading.path):
        for use in source.uses_in(node):
            if use.operand not in reached:
                continue
            local = local_gradient(source, use)
            letters |= dict(local.letters)
            line = _line(reading) if single else spelled(source, node)
            own = spans("with the upstream at once") if local.whole else spans(math(local.tex))
            product = local.product
            if use.operand != reading.value.name and not _summed(source, use):
                # a temporary's gradient is the upstream of the next row, by its name
                product = f"{local.gradient} = {product}" if local.gradient != product else product
            rows.append((spans(code(line)), own, spans(math(product))))
    head = (spans("forward"), spans("local gradient"), spans("upstream × local"))
    return Table(head, tuple(rows)), letters


def _summed(source: Source, use: Use) -> bool:
    """Whether a use's operand was broadcast, and what comes back to it is summed."""
    stretched = source.values[use.operand].shape != use.node.outs[0].shape
    return stretched and get_op(use.node.op).kind == "elementwise"


def _legend(letters: dict[str, str]) -> Paragraph:
    out = [*spans("Here ")]
    for k, (letter, meaning) in enumerate(letters.items()):
        out += spans(", " if k else "", math(letter), f" is {meaning}")
    return Paragraph((*out, *spans(".")))


def _spread(reading: Reading) -> list[Block]:
    """A reduction on the way: its upstream is spread again."""
    source = reading.source
    out: list[Block] = []
    for node in reading.path:
        use = next(iter(source.uses_in(node)), None)
        if get_op(node.op).kind != "reduction" or use is None or use.formula not in ("1", "1/n"):
            continue
        x, y = next(node.operands()), node.outs[0]
        each = "as it is" if use.formula == "1" else "divided by how many there are"
        out.append(
            para(
                strong("A sum forward is a broadcast backward. "), "Every element of ",
                code(source.name(x)), " went into one element of ", code(source.name(y)),
                f", so each of them gets that element's gradient, {each}.",
            )
        )  # fmt: skip
    return out


def _notes(reading: Reading) -> list[Block]:
    """What happens at kinks, ties and edges."""
    said: dict[tuple[str, str], None] = {}
    for node in reading.path:
        for use in reading.source.uses_in(node):
            if use.ties:
                said["Where elements compete", use.ties] = None
            if use.exactness == "almost everywhere":
                said["Exactness", "the gradient holds almost everywhere"] = None
            if use.domain:
                said["At the edges", use.domain] = None
    return [para(strong(f"{title}: "), f"{text}.") for title, text in said]


def _closed(name: str, closed: Closed) -> Section:
    intro = para("Everything between ", code(closed.given), " and ", code(name),
                 " taken together has a closed form:")  # fmt: skip
    return Section(
        spans("In closed form"),
        (intro, Code(closed.source), para("Why it holds:"), proof(closed.proof, closed.statement)),
    )


def proof(found: FoundProof, statement: str) -> Proof:
    """A proof of the algebra as a block."""
    return Proof(
        words(found.given),
        tuple(lemma.latex for lemma in found.lemmas),
        tuple(words(text) for text in found.assumptions),
        tuple(
            ProofLine(step.latex.replace("&", ""), step.through, step.by) for step in found.steps
        ),
        found.closing,
        statement,
        titles(found.back or ()),
        tuple(LawLine(law.title, statement_tex(law), law.assumption) for law in found.laws),
    )


__all__ = ["explained", "proof"]
