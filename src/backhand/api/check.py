"""``check``: a handwritten backward pass reviewed against autograd on the forward pass itself."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..capture.source import remember
from ..capture.target import problems_of
from ..errors import InputError
from ..review.handwritten import Handwritten
from ..review.isolated import TIMEOUT
from ..review.outcome import outcome_of
from ..review.result import Review
from ..review.sources.autograd_function import from_class, is_function_class
from ..review.sources.cells import Cell, Source, parse, read_source
from ..review.sources.functions import from_function
from ..review.sources.load import from_lines
from ..review.sources.namespace import from_namespace


def check(
    forward: Callable[..., Any],
    handwritten: Any,
    *inputs: Any,
    timeout: float = TIMEOUT,
) -> Review:
    """Review a handwritten backward pass.

    ``forward`` is the forward pass and ``inputs`` its arguments. ``handwritten`` is one of: a
    function whose parameters are values of the forward pass by name and that assigns ``dx = …`` for
    their gradients; source text with such lines, or the path of a file of them; a
    ``torch.autograd.Function``; a dict of gradients; a namespace such as ``globals()``, from which
    inputs that are not given are taken, too.

    The review runs in a child process for at most ``timeout`` seconds. Returns ``.ok``,
    ``.gradients`` (each with ``.name .line .verdict .causes`` and ``.hint(1…4)``) and a text as
    ``str``. Raises ``InputError`` for what cannot be reviewed.

    >>> import torch, backhand
    >>> def forward(x, w):
    ...     y = x @ w
    ...     return (y * y).sum()
    >>> lines = "dy = 2 * y\\ndx = dy @ w.T\\ndw = x.T @ dy"
    >>> review = backhand.check(forward, lines, torch.randn(4, 3), torch.randn(3, 2))
    >>> review.ok, [g.name for g in review.gradients]
    (True, ['dy', 'dx', 'dw'])
    """
    if not callable(forward):
        raise InputError(f"forward must be a function or a module, not {type(forward).__name__}")
    shown = _shown(handwritten)
    made = outcome_of(lambda: (_read(forward, handwritten, inputs), None), shown, timeout)
    if made.printed:
        print(made.printed, end="")
    return made.review


def _shown(handwritten: Any) -> str:
    """What messages call it."""
    if isinstance(handwritten, Path):
        return str(handwritten)
    name = getattr(handwritten, "__name__", None)
    return name if isinstance(name, str) and callable(handwritten) else "the reviewed code"


def _read(forward: Callable[..., Any], handwritten: Any, inputs: tuple[Any, ...]) -> Handwritten:
    if isinstance(handwritten, Mapping):
        return from_namespace(forward, handwritten, inputs)
    if isinstance(handwritten, ModuleType):
        return from_namespace(forward, vars(handwritten), inputs)
    if not inputs:
        raise InputError("give the inputs of the forward pass after the handwritten backward pass")
    if is_function_class(handwritten):
        return from_class(handwritten, forward, inputs, "")
    if isinstance(handwritten, type):
        raise InputError(f"{handwritten.__name__} is a class, but no torch.autograd.Function")
    if isinstance(handwritten, (str, Path)):
        return _from_text(forward, handwritten, inputs)
    if callable(handwritten):
        if not inspect.isroutine(handwritten):
            handwritten = getattr(handwritten, "backward", handwritten)
        return from_function(forward, handwritten, inputs, "")
    raise InputError(
        f"a {type(handwritten).__name__} is nothing to review: give a function, source text, a "
        "torch.autograd.Function, a dict of gradients or a namespace"
    )


def _from_text(
    forward: Callable[..., Any], text: str | Path, inputs: tuple[Any, ...]
) -> Handwritten:
    if isinstance(text, Path) or ("\n" not in text and Path(text).suffix in (".py", ".ipynb")):
        source = read_source(str(text))
    else:
        source = _source(text)
    (cell, *_) = source.cells
    functions = [n for n in cell.body if isinstance(n, ast.FunctionDef) and n.name == "backward"]
    if not functions:
        return from_lines(source, forward, inputs)
    space: dict[str, Any] = {"__name__": "handwritten"}
    with problems_of(source.file):
        exec(compile(cell.source, cell.code_name, "exec"), space)
    return from_function(forward, space["backward"], inputs, source.file)


def _source(text: str) -> Source:
    if not text.strip():
        raise InputError("the handwritten backward pass is empty: write dx = … lines")
    body = tuple(parse(text, "the handwritten lines").body)
    name = f"<handwritten {abs(hash(text)):x}>"
    remember(name, text)
    return Source("the handwritten lines", text, (Cell("", name, text, body),))
