"""A ``torch.autograd.Function`` as something to review, against a reference forward pass.

Its own forward pass runs with a stand-in for ``ctx``: what it saved is known by value, and so by
the name that the reference has for it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ...errors import InputError, LocatedError, Location, first_line
from ..handwritten import Handwritten
from ..reference import locals_of
from ..run import copied
from .bodies import Written, body_of, with_doubts, written
from .effects import Function
from .functions import helpers, input_names, surroundings, value_names


class Context:
    """What ``ctx`` is while a forward pass fills it, and while its backward pass reads it."""

    def __init__(self, count: int) -> None:
        self.saved: tuple[Any, ...] = ()
        self.needs_input_grad = (True,) * count
        self.materialize_grads = True

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Only forward-mode gradients read these."""

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        return self.saved

    saved_variables = saved_tensors

    def mark_dirty(self, *tensors: Any) -> None:
        """Nothing depends on it here."""

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Nothing depends on it here."""

    def set_materialize_grads(self, value: bool) -> None:
        self.materialize_grads = value


def is_function_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, torch.autograd.Function)


def run_forward(kind: Any, inputs: Sequence[Any]) -> tuple[Any, Context]:
    """The class's own forward pass: its result, and what it kept."""
    context = Context(len(inputs))
    if kind.setup_context is torch.autograd.Function.setup_context:
        return kind.forward(context, *inputs), context
    result = kind.forward(*inputs)
    kind.setup_context(context, tuple(inputs), result)
    return result, context


def own_forward(kind: Any) -> Callable[..., Any]:
    """The class's forward pass as a function of its inputs: a reference where there is no other."""
    separate = kind.setup_context is not torch.autograd.Function.setup_context
    if separate:
        plain: Callable[..., Any] = kind.forward
        return plain
    parameters = list(inspect.signature(kind.forward).parameters.values())[1:]

    def forward(*inputs: Any) -> Any:
        return kind.forward(Context(len(inputs)), *inputs)

    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return forward


def from_class(
    kind: Any, forward: Callable[..., Any] | None, inputs: Sequence[Any], file: str
) -> Handwritten:
    """Review the ``backward`` of a class; without ``forward`` its own is the reference."""
    text = written(kind.backward)
    if text is None:
        raise InputError(f"the source of {kind.__name__}.backward cannot be found")
    shown = file or text.file
    reference = forward or own_forward(kind)
    notes: list[str] = []
    if forward is None:
        notes.append(f"the reference is {kind.__name__}.forward itself: no other was given")
    names = input_names(reference, inputs)
    values = {n: copied(v) for n, v in zip(names, inputs, strict=False)}
    context = _compared(kind, reference, list(values.values()), forward is not None, shown, notes)
    known = value_names(forward if forward is not None else kind.forward, inputs) + names
    upstream, ctx = _parameters(kind, text, shown)
    functions = helpers(kind.backward)
    body = body_of(text, shown, names, known, functions)
    body = with_doubts(body, reference, inputs, f"{kind.__name__}.backward")
    if not body.statements:
        raise LocatedError(
            f"{kind.__name__}.backward has no line to review", Location(shown, text.node.lineno)
        )
    order = list(values)

    def made(space: Mapping[str, Any]) -> Context:
        """``ctx`` at other inputs: the class's own forward pass fills it again."""
        at = [space.get(n, values[n]) for n in order]
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return run_forward(kind, at)[1]

    return Handwritten(
        file=shown,
        source=text.source,
        forward=reference,
        inputs=tuple(inputs),
        statements=body.statements,
        scope=surroundings(kind.backward),
        names=_stands_for(text.node, ctx, context, _reference_values(reference, values)),
        gradients=body.gradients,
        upstream=upstream,
        setup={ctx: made},
        notes=(*notes, *body.notes),
    )


def _parameters(kind: Any, text: Written, file: str) -> tuple[str, str]:
    """The names of the upstream and of ``ctx``."""
    given = list(inspect.signature(kind.backward).parameters.values())
    at = Location(file, text.node.lineno, f"def backward({', '.join(map(str, given))})")
    if len(given) != 2 or any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in given):
        raise LocatedError(
            f"{kind.__name__}.backward must take ctx and the gradient of the one output",
            at,
            "write it as def backward(ctx, grad_output)",
        )
    return given[1].name, given[0].name


def _compared(
    kind: Any,
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    other: bool,
    file: str,
    notes: list[str],
) -> Context:
    """Run the class's own forward pass; says so where it computes something else."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            result, context = run_forward(kind, inputs)
            torch.manual_seed(0)
            expected = reference(*inputs) if other else result
    except Exception as error:
        raise InputError(
            f"{file}: {kind.__name__}.forward fails on the example inputs: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(result, torch.Tensor) or not isinstance(expected, torch.Tensor):
        raise InputError(
            f"{file}: {kind.__name__} must have one output, a tensor, to be reviewed against its "
            "reference"
        )
    if result.shape != expected.shape:
        raise InputError(
            f"{file}: {kind.__name__}.forward returns shape {list(result.shape)}, and its "
            f"reference {list(expected.shape)}"
        )
    difference = (result.double() - expected.double()).abs().max().item() if result.numel() else 0.0
    size = expected.double().abs().max().item() if expected.numel() else 0.0
    if not difference <= 1e-4 * max(size, 1e-30):
        notes.append(
            f"{kind.__name__}.forward differs from its reference by up to {difference:.2g}: the "
            "gradients are those of the reference"
        )
    return context


def _reference_values(
    reference: Callable[..., Any], inputs: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """The reference's values by name: its inputs, and what its function binds."""
    found = {**inputs, **locals_of(reference, lambda: reference(*inputs.values()))}
    return {n: v for n, v in found.items() if isinstance(v, torch.Tensor)}


def _stands_for(
    node: Function, ctx: str, context: Context, values: Mapping[str, torch.Tensor]
) -> dict[str, str]:
    """Names that the backward pass gives to what was saved, where the reference has another."""
    out: dict[str, str] = {}
    for name, saved in _unpacked(node, ctx, context):
        if name in values and _same(saved, values[name]):
            continue
        for other, value in values.items():
            if _same(saved, value):
                out[name] = other
                break
    return out


def _unpacked(node: Function, ctx: str, context: Context) -> list[tuple[str, Any]]:
    """``x, w = ctx.saved_tensors`` and ``n = ctx.n``: names, and what they hold."""
    found: list[tuple[str, Any]] = []
    for part in ast.walk(node):
        if not isinstance(part, ast.Assign) or len(part.targets) != 1:
            continue
        target, value = part.targets[0], part.value
        if ast.unparse(value) in (f"{ctx}.saved_tensors", f"{ctx}.saved_variables"):
            if isinstance(target, (ast.Tuple, ast.List)):
                pairs = zip(target.elts, context.saved, strict=False)
                found += [(t.id, v) for t, v in pairs if isinstance(t, ast.Name)]
        elif (
            isinstance(target, ast.Name)
            and isinstance(value, ast.Attribute)
            and ast.unparse(value.value) == ctx
        ):
            found.append((target.id, vars(context).get(value.attr)))
    return found


def _same(a: Any, b: torch.Tensor) -> bool:
    return (
        isinstance(a, torch.Tensor)
        and a.shape == b.shape
        and a.dtype == b.dtype
        and bool(torch.equal(a.detach(), b.detach()))
    )
