"""A backward pass written as a function: its body as statements, its parameters as values.

``backward(dy, x, h)`` takes values of the forward pass by their names, and perhaps the gradient of
the output. What it returns (a dict, a tuple in the order of the forward pass's inputs, or nothing)
is brought back to names that start with ``d``.
"""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...capture.inputs import called_by, flatten
from ...errors import InputError, LocatedError
from ..handwritten import Handwritten
from ..run import copied
from .bodies import Written, body_of, located, with_doubts, written
from .effects import Function, effects

# What people call the gradient of a function's output.
_UPSTREAM = frozenset(
    {"g", "grad", "grad_out", "grad_output", "output_grad", "gradient", "cotangent", "upstream"}
    | {"upstream_grad", "up", "dout", "d_out", "dy", "dz", "doutput", "d_output"}
)


def from_function(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Sequence[Any],
    file: str,
) -> Handwritten:
    """Review a function ``backward`` against a forward pass."""
    text = written(backward)
    name = getattr(backward, "__name__", "backward")
    if text is None:
        raise InputError(
            f"the source of {name} cannot be found: write it in a file or a notebook cell"
        )
    shown = file or text.file
    known = value_names(forward, inputs)
    fixed, upstream = _parameters(backward, text, known, forward, shown)
    functions = helpers(backward)
    body = body_of(text, shown, input_names(forward, inputs), known, functions)
    body = with_doubts(body, forward, inputs, text.node.name)
    if not body.statements:
        raise LocatedError(
            f"{name} has no line to review", located(shown, text.node), "write dX = … lines in it"
        )
    _needs_upstream(forward, inputs, upstream, text, shown)
    return Handwritten(
        file=shown,
        source=text.source,
        forward=forward,
        inputs=tuple(inputs),
        statements=body.statements,
        scope={**surroundings(backward), **fixed},
        gradients=body.gradients,
        upstream=upstream,
        notes=body.notes,
    )


def value_names(forward: Callable[..., Any], inputs: Sequence[Any]) -> list[str]:
    """The names of a forward pass's values, as far as its text tells: inputs come first."""
    names = input_names(forward, inputs)
    called = called_by(forward)
    text = written(called)
    if text is not None:
        functions = helpers(called)
        for part in text.node.body:
            names += [n for n in effects(part, functions).writes if n not in names]
    return names


def input_names(forward: Callable[..., Any], inputs: Sequence[Any]) -> list[str]:
    """The names of a forward pass's inputs; a module's parameters stand after the arguments."""
    return [leaf.name for leaf in flatten(forward, tuple(inputs)).leaves]


def helpers(function: Callable[..., Any]) -> dict[str, Function]:
    """The functions beside this one, by name, as text."""
    out: dict[str, Function] = {}
    for name, value in surroundings(function).items():
        if inspect.isfunction(value) and value is not function:
            code = value.__code__
            own = getattr(inspect.unwrap(function), "__code__", None)
            if own is not None and code.co_filename == own.co_filename:
                text = written(value)
                if text is not None:
                    out[name] = text.node
    return out


def surroundings(function: Callable[..., Any]) -> dict[str, Any]:
    """What a function's text can see: its module's names, and those of functions around it."""
    target = inspect.unwrap(function)
    target = getattr(target, "__func__", target)
    out = dict(getattr(target, "__globals__", {}))
    code = getattr(target, "__code__", None)
    cells = getattr(target, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        try:
            out[name] = cell.cell_contents
        except ValueError:
            continue
    return out


def _parameters(
    backward: Callable[..., Any],
    text: Written,
    known: Sequence[str],
    forward: Callable[..., Any],
    file: str,
) -> tuple[dict[str, Any], str | None]:
    """Parameters that keep their default values, and the one that is the output's gradient."""
    fixed: dict[str, Any] = {}
    upstream: str | None = None
    results = {f"d{name}" for name in _returned(forward)}
    for name, p in inspect.signature(backward).parameters.items():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise LocatedError(
                f"{text.node.name} takes {_star(p)}{name}, which tells nothing about the values it "
                "needs",
                located(file, text.node),
                "name them as the forward pass does",
            )
        if name in known:
            continue
        if p.default is not p.empty:
            fixed[name] = p.default
        elif upstream is None and (name in _UPSTREAM or name in results):
            upstream = name
        else:
            close = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(known[:12])}"
            raise LocatedError(
                f"{text.node.name} takes {name}, which is no value of the forward pass",
                located(file, text.node),
                hint + (" (its output's gradient may be called upstream)" if not close else ""),
            )
    return fixed, upstream


def _star(parameter: inspect.Parameter) -> str:
    return "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"


def _returned(forward: Callable[..., Any]) -> tuple[str, ...]:
    """What the result of a forward pass is called."""
    text = written(called_by(forward))
    if text is not None:
        for node in reversed(text.node.body):
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Name):
                return (node.value.id,)
    return ("loss", "out")  # what a result without a name is called in a program


def _needs_upstream(
    forward: Callable[..., Any],
    inputs: Sequence[Any],
    upstream: str | None,
    text: Written,
    file: str,
) -> None:
    """A gradient is of one number: what returns more of them needs an upstream."""
    if upstream is not None:
        return
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            result = forward(*map(copied, inputs))
        except Exception:
            return  # capture says it better, with the forward pass's line
    if isinstance(result, torch.Tensor) and result.dim() > 0:
        said = list(result.shape)
        raise LocatedError(
            f"the forward pass returns a tensor of shape {said}, not a loss, and "
            f"{text.node.name} takes no gradient of it",
            located(file, text.node),
            f"give {text.node.name} a parameter upstream, of that shape, or return a loss",
        )
