"""What is reviewed: a forward pass and the statements that a person wrote for its backward pass.

Everything that can be reviewed - a module, a worksheet, a script, a notebook, an
``autograd.Function``, a callable, a namespace - is brought to this one shape.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Statement:
    """One statement of the handwritten backward pass; a loop or a conditional is one statement.

    ``line`` and ``end_line`` count from 1 in the file, or in the cell ``where`` names. ``text`` is
    the statement as it stands there. ``writes`` are the names it binds or changes in place, in
    order; ``reads`` those it needs. ``blank`` is a line still to be filled in (``dx = ...``).
    """

    line: int
    end_line: int
    text: str
    node: ast.stmt
    writes: tuple[str, ...]
    reads: tuple[str, ...]
    where: str = ""
    blank: bool = False


@dataclass(frozen=True)
class Handwritten:
    """A forward pass with its example inputs, and the backward pass to be judged.

    ``forward`` takes ``inputs``; its values have the names that the statements read. What the
    statements read beside forward values - helper functions, constants, modules - is in
    ``scope``. ``names`` maps a name that the statements use to the forward value it stands for,
    where the two differ (``a`` for ``hprebn``, saved by position); gradients likewise:
    ``gradients`` maps a name that the statements write to the value whose gradient it is, where
    it is not ``d`` and the value's name. ``upstream`` is the name that the gradient of the
    (single) output has in the statements, where the code takes one; ``None``: the output is the
    loss, and its gradient 1. ``setup`` are names bound before the statements run that hold
    neither a forward value nor a constant (``ctx``), made anew for each run from the forward
    values. ``ended`` says that the statements stand where the forward pass has ended, as in a
    script: a name of an input that it binds again is the last value there, not the input.
    """

    file: str
    source: str
    forward: Callable[..., Any]
    inputs: tuple[Any, ...]
    statements: tuple[Statement, ...]
    scope: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)
    gradients: Mapping[str, str] = field(default_factory=dict)
    upstream: str | None = None
    setup: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)
    ended: bool = False
    notes: tuple[str, ...] = ()
