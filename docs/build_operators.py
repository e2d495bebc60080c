"""The page of every operator, made of what its rule says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby

from backhand.explain.mathml import mathml
from backhand.rules import RULES
from backhand.rules.matrix import Support, support_matrix

HEAD = """# Operators

Every operator that a forward pass may be made of: {ruled} with a rule, {without} that have no
gradient. An operator that torch defines by others is taken apart into these, so many more can be
written. What `backhand ops` lists besides, {others} operators that only backward passes use, is
left out here.

The local gradient is that of the output $y$ with respect to the argument named; $g$ is the
upstream, where the rule is better said with it. [What is supported](support.md) has the figures for
PyTorch's own database of operators.
"""
KINDS = {
    "elementwise": "Element by element",
    "reduction": "Reductions",
    "contraction": "Products and contractions",
    "view": "Views",
    "movement": "Moving elements",
    "index": "Reading and writing at indices",
    "composite": "Layers, losses and linear algebra",
    "random": "Random numbers",
    "creation": "New tensors",
}


def page() -> str:
    rows = support_matrix()
    shown = [r for r in rows if r.kind != "gradient" and r.support in ("rule", "no gradient")]
    assert {r.kind for r in shown} <= KINDS.keys(), "a kind of operator without a title"
    ruled = sum(r.support == "rule" for r in shown)
    head = HEAD.format(ruled=ruled, without=len(shown) - ruled, others=len(rows) - len(shown))
    order = list(KINDS)
    shown.sort(key=lambda r: order.index(r.kind))
    parts = [head]
    for kind, group in groupby(shown, key=lambda r: r.kind):
        parts.append(f"## {KINDS[kind]}\n\n{_table(group)}\n")
    return "\n".join(parts)


def _table(rows: Iterator[Support]) -> str:
    body = "".join(
        f"<tr><td><code>{escape(row.op)}</code></td><td>{_local(row)}</td>"
        f"<td>{escape(row.note)}</td></tr>"
        for row in rows
    )
    head = "<tr><th>operator</th><th>local gradient</th><th>at kinks and edges</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _local(row: Support) -> str:
    """The formula for each argument; none where the operator has no gradient."""
    if row.support != "rule":
        return "no gradient"
    tex = RULES[row.op].tex
    named = [(f"<code>{escape(of)}</code>: " if len(tex) > 1 else "", t) for of, t in tex.items()]
    return "<br>".join(name + mathml(text) for name, text in named if text)
