"""What a file is, told from its text: functions, an ``autograd.Function``, a script, a notebook."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...capture.target import (
    find,
    forget_neighbours,
    insist_on_fit,
    load_module,
    load_target,
    made_inputs,
    positional,
    same_file,
    split_target,
)
from ...errors import InputError
from ..handwritten import Handwritten
from .autograd_function import from_class, is_function_class, own_forward
from .cells import Source, read_source
from .effects import Function, parameters
from .functions import from_function, value_names
from .namespace import inputs_from
from .script import beside, from_script, run_line, statement_of
from .slicing import (
    Line,
    NoLoss,
    backward_lines,
    functions_of,
    is_gradient,
    lines_of,
    needed_lines,
)


def load(
    file: str,
    forward: str | None = None,
    inputs: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Handwritten:
    """Read a file into something to review.

    ``forward`` is ``FILE:FUNCTION`` where the forward pass stands elsewhere; ``inputs`` and
    ``sizes`` are those of a target.
    """
    forget_neighbours()
    source = read_source(file)
    defined = set(functions_of(source.cells))
    notebook = Path(file).suffix == ".ipynb"
    if notebook and ("backward" in defined or _classes(source)):
        if forward is not None or inputs is not None or sizes:
            raise InputError("a notebook's functions are reviewed with the inputs it makes itself")
        return _notebook_functions(source, defined)
    if "backward" in defined and ("forward" in defined or forward is not None):
        reference, given = _reference(forward or f"{file}:forward", inputs, sizes)
        return from_function(reference, _own(file, "backward", forward, reference), given, file)
    classes = _classes(source)
    if classes and not _has_gradient_lines(source):
        return _class(file, classes, "forward" in defined, forward, inputs, sizes)
    if forward is not None:
        return from_lines(source, *_reference(forward, inputs, sizes))
    try:
        made = from_script(source)
    except NoLoss as error:
        missing = _missing_half(file, defined)
        if missing:
            raise InputError(missing) from error
        raise
    if sizes or inputs is not None:
        option = "--at" if sizes else "--inputs"
        raise InputError(f"{file} builds its inputs itself: leave out {option}")
    return made


def _classes(source: Source) -> list[str]:
    """Classes that look like an ``autograd.Function``: one of their bases is called so."""
    return [
        n.name
        for cell in source.cells
        for n in cell.body
        if isinstance(n, ast.ClassDef)
        and any(ast.unparse(base).rpartition(".")[2] == "Function" for base in n.bases)
    ]


def _has_gradient_lines(source: Source) -> bool:
    lines = lines_of(source.cells)
    known = {n for line in lines for n in line.effects.writes}
    return any(is_gradient(n, known) for line in lines for n in line.effects.writes)


def _reference(
    target: str, inputs: str | None, sizes: Mapping[str, int] | None
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The forward pass that a target names, and its inputs by position."""
    found = load_target(target, inputs, sizes)
    return found.forward, positional(found.forward, found.args, found.kwargs)


def _own(file: str, name: str, forward: str | None, reference: Callable[..., Any]) -> Any:
    """What a name means in the file; the module is loaded already if the reference is its own."""
    if forward is None or same_file(split_target(forward)[0], file):
        space = getattr(reference, "__globals__", {})
        if name in space:
            return space[name]
    return find(load_module(file), name, file)


def _class(
    file: str,
    names: Sequence[str],
    has_forward: bool,
    forward: str | None,
    inputs: str | None,
    sizes: Mapping[str, int] | None,
) -> Handwritten:
    if len(names) > 1:
        raise InputError(
            f"{file} has {len(names)} autograd.Functions ({', '.join(names)}): keep the one to be "
            "reviewed in a file of its own"
        )
    if forward is not None or has_forward:
        reference, given = _reference(forward or f"{file}:forward", inputs, sizes)
        kind = _checked(_own(file, names[0], forward, reference), names[0], file)
        return from_class(kind, reference, given, file)
    module = load_module(file)
    kind = _checked(find(module, names[0], file), names[0], file)
    place = inputs or (f"{file}:example_inputs" if "example_inputs" in vars(module) else None)
    if place is None:
        raise InputError(
            f"{file} has an autograd.Function and nothing to try it on: write example_inputs() "
            "beside it, or name a forward pass with --forward FILE:FUNCTION"
        )
    where, name = split_target(place)
    maker = find(module if same_file(where, file) else load_module(where), name, where)
    given = _made(maker, place, own_forward(kind), f"{names[0]}.forward", sizes or {})
    return from_class(kind, None, given, file)


def _checked(kind: Any, name: str, file: str) -> Any:
    if not is_function_class(kind):
        raise InputError(f"{name} in {file} is no torch.autograd.Function")
    return kind


def _made(
    maker: Any, shown: str, reference: Callable[..., Any], name: str, sizes: Mapping[str, int]
) -> tuple[Any, ...]:
    """Example inputs in the order of the reference's parameters; ``name`` is what it is called."""
    args, kwargs = made_inputs(maker, shown, sizes)
    insist_on_fit(reference, name, shown, args, kwargs)
    return positional(reference, args, kwargs)


def from_lines(source: Source, forward: Callable[..., Any], inputs: Sequence[Any]) -> Handwritten:
    """Gradient lines at top level against a forward pass; imports and helpers are run."""
    lines = lines_of(source.cells)
    known = set(value_names(forward, inputs))
    kept, notes = backward_lines(lines, known, "")
    if not kept:
        raise InputError(
            f"{source.file} has no line that writes a gradient of the forward pass: write d… for "
            f"one of {', '.join(sorted(known)[:12])}"
        )
    space: dict[str, Any] = {}
    free = {n for line in kept for n in line.effects.reads} - known
    setup = [lines[i] for i in sorted(needed_lines(lines, free)) if lines[i] not in kept]
    with beside(source.file):
        for line in setup:
            run_line(source, line, space)
    return Handwritten(
        file=source.file,
        source=source.text,
        forward=forward,
        inputs=tuple(inputs),
        statements=tuple(map(statement_of, kept)),
        scope=space,
        notes=(*source.notes, *notes),
    )


def _notebook_functions(source: Source, defined: set[str]) -> Handwritten:
    """Functions or a class in a notebook: they and what they need are run, nothing else."""
    if "backward" in defined and "forward" not in defined:
        raise InputError(f"{source.file} has a function backward and no function forward")
    judged = "backward" if "backward" in defined else _classes(source)[0]
    wanted = {judged} | ({"forward", "example_inputs"} & defined)
    if "example_inputs" not in defined:
        wanted.update(_parameters_of_forward(source, judged))
    space = _run(source, lines_of(source.cells), wanted)
    kind = None if judged == "backward" else _checked(space[judged], judged, source.file)
    forward = space["forward"] if "forward" in defined else None
    reference = forward if forward is not None else own_forward(kind)
    if "example_inputs" in defined:
        name = "forward" if forward is not None else f"{judged}.forward"
        shown = f"{source.file}:example_inputs"
        inputs = _made(space["example_inputs"], shown, reference, name, {})
    else:
        inputs = inputs_from(reference, space)
    if kind is not None:
        return replace(from_class(kind, forward, inputs, source.file), source=source.text)
    return replace(
        from_function(reference, space["backward"], inputs, source.file), source=source.text
    )


def _parameters_of_forward(source: Source, name: str) -> list[str]:
    """What the reference takes, told before anything runs: ``forward``, or that of a class."""
    methods: dict[str, Function] = {}
    for node in (n for cell in source.cells for n in cell.body):
        if isinstance(node, ast.ClassDef) and node.name == name:
            methods = {n.name: n for n in node.body if isinstance(n, Function)}
    found = (methods | functions_of(source.cells)).get("forward")
    return parameters(found.args) if found is not None else []


def _run(source: Source, lines: Sequence[Line], wanted: set[str]) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "__main__"}
    with beside(source.file):
        for i in sorted(needed_lines(lines, wanted)):
            run_line(source, lines[i], space)
    return space


def _missing_half(file: str, defined: set[str]) -> str:
    """Half a module is told what the other half would be."""
    if "forward" in defined:
        return (
            f"{file} has a function forward and no function backward: write one that takes the "
            "values it needs by their names and assigns d… for each gradient"
        )
    if "backward" in defined:
        return (
            f"{file} has a function backward and no function forward: write it beside it, or name "
            "it with --forward FILE:FUNCTION"
        )
    return ""
