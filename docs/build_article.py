"""Writes docs/article.md: the article's gradients by hand and as backhand derives them.

.venv/bin/python docs/build_article.py            write the page
.venv/bin/python docs/build_article.py --check    exit status 1 if the page is out of date
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import backhand
from backhand.emit.python import printed_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "article.md"
EXAMPLE = ROOT / "examples" / "article.py"

HEAD = """# The article's network, gradient by gradient

Made by `docs/build_article.py`; a test holds it against the code.

`examples/article.py` holds the network of the article and its backward pass written out by hand.
Here is each gradient twice: as we wrote it by hand, and as backhand derives it from the forward
pass alone. The two differ in the order of factors, in how a running sum is split into lines, and
in how zeros are made; the tests run both from the same upstream gradients and compare the numbers.

At 32 examples and 64 hidden units each derived gradient has autograd's bits in the exact spelling.
What is printed here is the plain spelling, which differs in one line, tanh's.
"""


def by_hand(source: str) -> dict[str, list[str]]:
    """The hand-written statements for each gradient, comments left out."""
    tree = ast.parse(source)
    function = next(
        n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "backward_by_hand"
    )
    out: dict[str, list[str]] = {}
    lines = source.splitlines()
    for statement in function.body:
        if not isinstance(statement, ast.Assign):
            continue
        target = statement.targets[0]
        name = target.value if isinstance(target, ast.Subscript) else target
        if isinstance(name, ast.Name) and name.id.startswith("d"):
            text = lines[statement.lineno - 1 : statement.end_lineno]
            out.setdefault(name.id, []).extend(line.removeprefix("    ") for line in text)
    return out


def page() -> str:
    """The whole page."""
    sys.path.insert(0, str(EXAMPLE.parent))
    import article

    hand = by_hand(EXAMPLE.read_text(encoding="utf-8"))
    bp = backhand.derive(article.forward, *article.example_inputs())
    derived: dict[str, list[str]] = {}
    forward: dict[str, str] = {}
    pending: list[str] = []
    for line in bp.longhand.lines:
        pending.append(line.text)
        for value in line.assigns:
            if value.var is not None:
                derived.setdefault(printed_name(value), []).extend(pending)
                pending = []
    for step in bp.program.steps:
        forward[f"d{step.name}"] = step.source
    inputs = {f"d{v.name}" for v in bp.program.inputs}
    out = [HEAD]
    for name, statements in hand.items():
        if name not in derived:
            continue
        what = "an input of the network" if name in inputs else f"made by `{forward[name]}`"
        out.append(f"## {name}\n\nThe gradient of `{name[1:]}`, {what}.\n")
        out.append("```python\n# by hand\n" + "\n".join(statements))
        out.append("\n# derived\n" + "\n".join(derived[name]) + "\n```\n")
    return "\n".join(out)


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
