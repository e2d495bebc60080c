"""A handwritten backward pass out of a forward function and the text of the statements."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from backhand.review import Handwritten, Statement

SCOPE = {"torch": torch, "F": F, "range": range}


def statements_of(text: str) -> tuple[Statement, ...]:
    """The statements of a backward pass, top level only."""
    text = textwrap.dedent(text)
    lines = text.splitlines()
    return tuple(_statement(node, lines) for node in ast.parse(text).body)


def _statement(node: ast.stmt, lines: list[str]) -> Statement:
    end = node.end_lineno or node.lineno
    named = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    writes = [n.id for n in named if isinstance(n.ctx, ast.Store)]
    reads = [n.id for n in named if isinstance(n.ctx, ast.Load)]
    for inner in ast.walk(node):
        targets = inner.targets if isinstance(inner, ast.Assign) else []
        if isinstance(inner, ast.AugAssign):
            targets = [inner.target]
            if isinstance(inner.target, ast.Name):
                reads.append(inner.target.id)
        for target in targets:
            if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                writes.append(target.value.id)
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            owner = inner.func.value
            if inner.func.attr.endswith("_") and isinstance(owner, ast.Name):
                writes.append(owner.id)
    blank = (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and node.value.value is ...
    )
    return Statement(
        node.lineno,
        end,
        "\n".join(lines[node.lineno - 1 : end]),
        node,
        tuple(dict.fromkeys(writes)),
        tuple(dict.fromkeys(reads)),
        blank=blank,
    )


def handmade(
    forward: Callable[..., Any],
    text: str,
    inputs: tuple[Any, ...],
    scope: dict[str, Any] | None = None,
    **more: Any,
) -> Handwritten:
    """What the intake would make of ``text``."""
    text = textwrap.dedent(text)
    known = {**SCOPE, **(scope or {})}
    return Handwritten("back.py", text, forward, inputs, statements_of(text), known, **more)
