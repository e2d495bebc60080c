"""Edits of how things are indexed, stored, laid out and called."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .edits import ACCUMULATING, Edit, Source

FUNCTIONS = ("exp", "log", "tanh", "sqrt", "relu", "sigmoid", "sin", "cos")
ALIKE = (
    FUNCTIONS,
    ("zeros_like", "ones_like"),
    ("zeros", "ones"),
    ("argmax", "argmin"),
    ("amax", "amin"),
    ("max", "min"),
    ("softmax", "log_softmax", "sigmoid"),
    ("sum", "mean"),
    ("triu", "tril"),
)


def storing_edits(s: Source) -> Iterator[Edit]:
    """Adding up repeated indices where an assignment or ``+=`` would keep only the last."""
    for node in ast.walk(s.tree):
        target: ast.expr | None = None
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            target = node.target
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        if isinstance(target, ast.Subscript) and isinstance(node, (ast.Assign, ast.AugAssign)):
            index = s.of(target.slice)
            places = f"({index})" if isinstance(target.slice, ast.Tuple) else f"({index},)"
            new = f"{s.of(target.value)}.index_put_({places}, {s.of(node.value)}, accumulate=True)"
            yield s.edit(node, new, "duplicates")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _call_edits(s, node, node.func)


def _call_edits(s: Source, node: ast.Call, function: ast.Attribute) -> Iterator[Edit]:
    owner, args = s.atom(function.value), [s.of(a) for a in (*node.args, *node.keywords)]
    if function.attr in ("index_put", "index_put_"):
        plain = [s.of(a) for a in (*node.args[:2], *node.keywords)]
        kept = [a for a in plain if not a.startswith("accumulate")]
        new = f"{owner}.{function.attr}({', '.join([*kept, 'accumulate=True'])})"
        yield s.edit(node, new, "duplicates")
    if function.attr in ACCUMULATING:
        instead = ACCUMULATING[function.attr]
        yield s.edit(node, f"{owner}.{instead}({', '.join(args)})", "duplicates")


def layout_edits(s: Source) -> Iterator[Edit]:
    """A transpose for a view, a flipped kernel, leading axes taken together."""
    for node in s.expressions:
        text = s.of(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = s.atom(node.func.value)
            if node.func.attr in ("view", "reshape"):
                for new in (f"{owner}.T", f"{owner}.transpose(-1, -2)", f"{owner}.transpose(0, 1)"):
                    yield s.edit(node, new, "view")
                first = ", ".join(s.of(a) for a in node.args)
                for swap in ("0, 1", "-1, -2"):
                    new = f"{owner}.transpose({swap}).reshape({first})"
                    yield s.edit(node, new, "view")
            if node.func.attr == "flip":
                yield s.edit(node, owner, "flip")
        whole = isinstance(node, (ast.Name, ast.Call)) and not isinstance(
            s.parents.get(node), ast.Attribute
        )
        if whole and not (isinstance(node, ast.Call) and node in s.values):
            for axes in ("-1", "-1, -2"):
                yield s.edit(node, f"{text}.flip({axes})", "flip")
        if isinstance(node, ast.Attribute) and node.attr == "T":
            yield s.edit(node, f"{s.atom(node.value)}.mT", "rank")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            a, b = node.left, s.atom(node.right)
            if isinstance(a, ast.Attribute) and a.attr in ("T", "mT"):
                left = s.atom(a.value)
                new = f"{left}.flatten(0, -2).T @ {b}.flatten(0, -2)"
                yield s.edit(node, new, "rank")


def index_edits(s: Source) -> Iterator[Edit]:
    """One element for a slice, a slice for one element, another place for either."""
    for node in ast.walk(s.tree):
        if not isinstance(node, ast.Subscript):
            continue
        owner, index = s.atom(node.value), node.slice
        parts = list(index.elts) if isinstance(index, ast.Tuple) else [index]
        texts = [s.of(p) for p in parts]
        for i, part in enumerate(parts):
            choices: list[str] = []
            if isinstance(part, ast.Slice):
                ends = [s.of(e) for e in (part.lower, part.upper) if e is not None]
                choices = [*ends, ":", *(f"{e}:" for e in ends), *(f":{e}" for e in ends)]
                if not ends:
                    choices = ["0", "-1", "0:1", "-1:", f"range({owner}.shape[{i}])"]
                elif isinstance(part.lower, ast.Constant) and type(part.lower.value) is int:
                    choices.append(f"{part.lower.value}:{part.lower.value + 1}")
            elif isinstance(part, ast.Constant) and type(part.value) is int:
                v = part.value
                choices = [f"{v}:", f":{v}", ":", str(v + 1), str(v - 1)]
            elif isinstance(part, (ast.Name, ast.BinOp)):
                choices = [f"{texts[i]} - 1", f"{texts[i]} + 1", f"{texts[i]}:", f":{texts[i]}"]
            for new in dict.fromkeys(choices):
                if new != texts[i]:
                    changed = [*texts[:i], new, *texts[i + 1 :]]
                    edit = s.edit(node, f"{owner}[{', '.join(changed)}]", "slice")
                    start, end = s.span(node)
                    # a target takes no brackets around it
                    yield Edit(start, end, edit.old, edit.new[1:-1], "slice")
        if len(parts) == 1 and not isinstance(index, ast.Slice):
            start, end = s.span(node)
            yield Edit(start, end, s.of(node), f"{owner}[:, {texts[0]}]", "slice")
        elif texts[0] == ":" and len(texts) == 2:
            start, end = s.span(node)
            yield Edit(start, end, s.of(node), f"{owner}[{texts[1]}]", "slice")


def function_edits(s: Source) -> Iterator[Edit]:
    """Another function of the same family."""
    for node in ast.walk(s.tree):
        if not isinstance(node, ast.Attribute) or not isinstance(s.parents.get(node), ast.Call):
            continue
        for family in ALIKE:
            if node.attr in family:
                for name in family:
                    if name != node.attr:
                        start, end = s.span(node)
                        new = f"{s.atom(node.value)}.{name}"
                        yield Edit(start, end, s.of(node), new, "function")
