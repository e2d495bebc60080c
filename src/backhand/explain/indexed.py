"""A statement's part of a gradient in index notation, read from the backward program."""

from __future__ import annotations

import re

from ..algebra import read_index
from ..algebra.expr import Expr
from ..algebra.normal import ZERO
from ..algebra.read import Reader, Unreadable, leaf
from ..errors import ProgramError
from ..program.ir import Node, cone
from ..shorthand import contraction
from ..shorthand.notation import LETTERS
from .source import Reading

assert read_index  # it registers the readings of indexing


def renamed(left: str, right: str) -> tuple[str, str]:
    """Both sides with summed indices as letters of their own, instead of primed ones."""
    whole = left + right
    used = set(re.findall(r"(?<![\w\\])([i-r])(?![\w'])", whole))
    for primed in dict.fromkeys(re.findall(r"(?<![\w\\])([i-r])'", whole)):
        letter = next((x for x in (primed, *LETTERS) if x not in used), None)
        if letter is not None:
            used.add(letter)
            right = re.sub(rf"(?<![\w\\]){primed}'", letter, right)
    return left, right


def part(reading: Reading) -> tuple[str, str] | None:
    """The left and the right side of what a reading gives, or ``None`` where it has no reading.

    Temporaries of the statement are written out, the running sum before it is left away.
    """
    if reading.target is None:
        return None
    source, target = reading.source, reading.target
    reader = Reader()
    for value in reading.upstreams():
        # gradients are linear everywhere: the algebra's caches know an atom by its name alone
        reader.known[value.name] = leaf(value, True)
    for name in reading.partial:
        reader.known[name] = ZERO
    read = [v for node in reading.back for v in node.operands() if not v.floating or not v.var]
    forward = cone(reading.step.nodes, [v for v in read if v.name in source.values])
    kept = {o.name for o in reading.outputs}
    try:
        for node in (*forward, *reading.back):
            _read(reader, node, kept)
        expr = reader.of(target)
    except (Unreadable, ProgramError):  # the algebra's word for 1/0, NaN and too many terms
        return None
    if reading.partial and not expr.terms:
        return None
    written = source.notation
    return renamed(written.gradient(target), written.expression(expr, target))


def _read(reader: Reader, node: Node, kept: set[str]) -> None:
    """Read a node; what the statement makes for others keeps its name."""
    found: Expr | None = contraction(reader, node)
    results = (found,) if found is not None else reader.node(node)
    for value, expr in zip(node.outs, results, strict=True):
        reader.known[value.name] = leaf(value) if value.name in kept else expr


__all__ = ["part"]
