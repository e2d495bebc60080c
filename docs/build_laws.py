"""The page of the laws of algebra that proofs of closed forms rest on."""

from __future__ import annotations

from html import escape

from backhand.algebra.laws import LAWS
from backhand.explain.laws import statement_tex
from backhand.explain.mathml import mathml

HEAD = """# Laws of algebra

A closed form is what is left of the longhand when these {count} laws have been applied to it, in
index notation, and a proof names those of each of its steps. They hold for real numbers; *exact*
ones hold for floating-point numbers too, bit for bit. No law knows an operator: what a softmax or a
batch norm makes of a sum comes out of the forward pass itself.

In the table $f$ is a factor that is 0 or 1, $v$ a value of the forward pass, $g$ a sum, $n$ a size.
"""


def page() -> str:
    rows = "".join(
        f"<tr><td>{escape(law.title)}</td><td>{mathml(statement_tex(law))}</td>"
        f"<td>{escape(law.assumption or 'always')}{', exact' if law.exact else ''}</td></tr>"
        for law in LAWS.values()
    )
    head = "<tr><th>law</th><th>says</th><th>holds where</th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
    return f"{HEAD.format(count=len(LAWS))}\n{table}\n"
