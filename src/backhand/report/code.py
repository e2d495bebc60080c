"""The two passes as lines that know what they make and read, and whose gradient that is.

A value and its gradient share a number. A line that makes either belongs to it, and a line that
reads either is one of its uses; that is all that highlighting them needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from markupsafe import Markup, escape

from ..emit.layout import broken
from ..emit.listing import Block, Listing, names_in, one_statement, preamble, shape_comment
from ..emit.python import Line, printed_name
from ..explain import Source
from ..explain.html import anchor
from ..program.ir import Step, Value

COLUMN = 72  # characters that half of a page has room for
_NAME = re.compile(r"(?<![.\w])[^\W\d]\w*")


@dataclass(frozen=True)
class Row:
    """A line of code: marked up, with the numbers of what it makes and reads.

    ``place`` is an id of its own, ``number`` the line of the author's file.
    """

    html: Markup
    makes: str = ""
    reads: str = ""
    place: str = ""
    number: str = ""


@dataclass(frozen=True)
class Passes:
    """The forward and the backward pass of a derivation as rows."""

    source: Source
    linked: Collection[str]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each named forward value, by its unique name."""
        named = (v for v in self.source.forward.values() if v.var is not None)
        return {v.name: k for k, v in enumerate(named)}

    @cached_property
    def of_gradient(self) -> dict[str, str]:
        """The forward value's unique name, by what its gradient is called."""
        values = self.source.values
        return {
            self.source.gradient_name(values[of]): of
            for of in self.source.gradients
            if of in values
        }

    @cached_property
    def of_value(self) -> dict[str, str]:
        """The unique name of a forward value, by what it is called in code."""
        return {self.source.name(v): v.name for v in self.source.values.values()}

    def inputs(self) -> list[Row]:
        """The arguments, each with its shape."""
        out = []
        for value in self.source.forward.inputs:
            name = self._link(self.source.name(value), self.source.gradient_name(value), "v")
            shape = self.source.shape(value) if value.shape else "scalar"
            dtype = "" if value.floating else f" {value.dtype}"
            out.append(Row(name + _comment(shape + dtype), self._numbers([value.name])))
        return out

    def forward(self) -> list[Row]:
        """The author's statements, in their order."""
        statements = list(_statements(self.source.forward.steps))
        texts = [steps[0].source for steps in statements]
        head = preamble(self.source.forward.symbols, names_in(texts))
        rows = [Row(escape(line)) for line in head]
        for steps in statements:
            made = [v for s in steps for n in s.nodes for v in n.outs if v.var is not None]
            inside = {v.name for v in made}
            read = {v.name for s in steps for n in s.nodes for v in n.operands()} - inside
            where = steps[0].where
            rows.append(
                Row(
                    self._statement(steps[0].source or steps[0].name, made),
                    self._numbers(inside),
                    self._numbers(read),
                    "",
                    "" if where is None else str(where.line),
                )
            )
        return rows

    def _statement(self, text: str, made: Sequence[Value]) -> Markup:
        """A statement of the author's; the names that it assigns lead to their gradients."""
        targets, equals, rest = _assignment(text)
        written = _NAME.findall(targets)
        linked = [v for v in made if self.source.gradient_name(v) in self.linked]
        labels: dict[str, Value] = {}
        for found in (linked, made):  # of x.max(1).values the indices are made, too
            if len(found) == len(written):
                labels = dict(zip(written, found, strict=True))
                break
        html = _marked(targets, lambda name: self._target(name, labels.get(name)))
        html += equals + _marked(rest, self._read)
        # what is called otherwise here: a name that is used again, a statement without a name
        shown = {v.name for name, v in labels.items() if name == self.source.name(v)}
        beside = [self._target(self.source.name(v), v) for v in linked if v.name not in shown]
        return html + (_comment(Markup(", ").join(beside)) if beside else "")

    def _target(self, text: str, value: Value | None) -> Markup:
        if value is None:
            return escape(text)
        return self._link(text, self.source.gradient_name(value), "v")

    def _read(self, name: str) -> Markup:
        return _tinted(name, "v") if name in self.of_value else escape(name)

    def backward(self, listing: Listing, places: bool = False) -> list[list[Row]]:
        """The blocks of a listing; with ``places``, lines that finish a gradient have ids."""
        upstream = self.source.backward.upstream
        last = {t: line for b in listing.blocks for line in b.lines for t in line.targets}
        head = [Row(self._backward(row)) for row in listing.preamble]
        # the gradient of a loss is 1, others are given
        starts = [self._backward(row) for row in listing.start] or map(self._given, upstream)
        for value, html in zip(upstream, starts, strict=True):
            name = printed_name(value)
            made = self._numbers([self.of_gradient[name]] if name in self.of_gradient else [])
            ends = places and name not in last  # or else a line below adds to it
            head.append(Row(html, made, place=place(name) if ends else ""))
        finishes = last if places else {}
        return [head, *(self._block(block, finishes) for block in listing.blocks)]

    def part(self, listing: Listing, names: frozenset[str]) -> list[list[Row]]:
        """The lines of a listing that assign some of the names, with the statements above them."""
        out = []
        for block in listing.blocks:
            kept = tuple(line for line in block.lines if not names.isdisjoint(line.targets))
            if kept:
                out.append(self._block(Block(block.source, kept), {}))
        return out

    def _given(self, upstream: Value) -> Markup:
        name = printed_name(upstream)
        shape = self.source.shape(upstream) if upstream.shape else "scalar"
        return self._link(name, name, "g") + _comment(f"given, {shape}")

    def _block(self, block: Block, finishes: Mapping[str, Line]) -> list[Row]:
        """The lines under one statement; ``finishes`` has the last line of each gradient."""
        out = []
        if block.source:
            out.append(Row(Markup('<span class="c"># {}</span>').format(block.source)))
        for line in block.lines:
            made = [self.of_gradient[t] for t in line.targets if t in self.of_gradient]
            # what is added to is no use of it
            read = [self._of(name) for name in line.reads if name not in line.targets]
            ends = [t for t in line.targets if t in self.linked and finishes.get(t) is line]
            out.append(
                Row(
                    self._backward(line.text, shape_comment(line, self.source.forward.symbols)),
                    self._numbers(made),
                    self._numbers(read),
                    place(ends[0]) if ends else "",
                )
            )
        return out

    def _backward(self, text: str, comment: str = "") -> Markup:
        """A line of the backward pass; the gradients that it assigns lead to their derivations."""
        text = "\n".join(broken(text, COLUMN, " " * len(comment))).rstrip()
        targets, equals, rest = _assignment(text)
        html = _marked(targets, lambda name: self._link(name, name, "g"))
        html += equals + _marked(rest, self._mention)
        return html + (_comment(comment.lstrip(" #")) if comment else "")

    def _mention(self, name: str) -> Markup:
        if name in self.of_gradient:
            return _tinted(name, "g")
        return self._read(name)

    def _of(self, name: str) -> str:
        """The forward value that a printed name is, or is the gradient of."""
        return self.of_gradient.get(name) or self.of_value.get(name, "")

    def _link(self, text: str, gradient: str, kind: str) -> Markup:
        """A name as a link to its gradient, where the page has it."""
        if gradient not in self.linked:
            return _tinted(text, kind) if text in self.of_value else escape(text)
        return Markup('<a class="{}" href="#{}">{}</a>').format(kind, anchor(gradient), text)

    def _numbers(self, names: Iterable[str]) -> str:
        found = {self.numbers[name] for name in names if name in self.numbers}
        return " ".join(map(str, sorted(found)))


def place(name: str) -> str:
    """The id of the line that finishes a gradient."""
    return f"line-{anchor(name)}"


def _statements(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Steps, those together that are one statement: ``a, b = f(x), g(x)``."""
    group = 0
    before: Step | None = None

    def number(step: Step) -> int:
        nonlocal group, before
        if before is not None and not one_statement(before, step):
            group += 1
        before = step
        return group

    for _, together in groupby(steps, number):
        yield list(together)


def _assignment(text: str) -> tuple[str, str, str]:
    """What is assigned, the sign, and the rest; all is rest where nothing is."""
    found = re.match(r"([\w\s,()\[\].*:]*?)(\s*[-+*/@%&|^]{0,2}=(?!=)\s*)", text)
    if found is None:
        return "", "", text
    return found[1], found[2], text[found.end() :]


def _marked(text: str, mark: Callable[[str], Markup]) -> Markup:
    """Code with each name in it replaced by what ``mark`` makes of it, and the rest escaped."""
    out, end = Markup(), 0
    for found in _NAME.finditer(text):
        out += escape(text[end : found.start()]) + mark(found[0])
        end = found.end()
    return out + escape(text[end:])


def _comment(text: str) -> Markup:
    """A short comment behind a line: it goes to the next line as a whole."""
    return Markup('  <span class="c short"># {}</span>').format(text)


def _tinted(name: str, kind: str) -> Markup:
    return Markup('<span class="{}">{}</span>').format(kind, name)


__all__ = ["Passes", "Row", "place"]
