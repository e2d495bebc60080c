"""A script or notebook in the style of a lecture as something to review.

Only what builds the inputs is run. Whether a statement does, or belongs to the forward pass, is
decided by whether what it reads has a gradient.
"""

from __future__ import annotations

import ast
import builtins
import io
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ...capture.source import location_of_error
from ...capture.target import neighbours_on_path
from ...errors import BackhandError, InputError, LocatedError, first_line
from ..handwritten import Handwritten, Statement
from .cells import Source
from .effects import Effects
from .slicing import Line, Sliced, free_in, location, slice_source

_MAIN = "__main__"


def from_script(source: Source) -> Handwritten:
    """Cut a script in two, run what builds its inputs, and put the halves together."""
    return build(source, slice_source(source), {})


def build(source: Source, sliced: Sliced, given: Mapping[str, Any]) -> Handwritten:
    """The two halves of a sliced source; ``given`` are names that have their values already."""
    space = {**_fresh_namespace(source), **given}
    forward_lines, has_gradient = _prepare(source, sliced, space, given)
    if not forward_lines:
        raise InputError(
            f"{source.file}: {sliced.loss} depends on no tensor that has a gradient, so that there "
            "is nothing to go back through\n"
            "  mark the parameters (w.requires_grad = True), or write lines for their gradients"
        )
    free = free_in(forward_lines)
    inputs = [name for name in free if _is_input(space.get(name), name, has_gradient)]
    tensors = {name: space[name] for name in inputs}
    scope = {n: v for n, v in space.items() if n not in tensors}
    forward = function_of(source, forward_lines, inputs, sliced.loss, scope)
    scope.update(_plain_values(source, forward_lines, tensors, scope))
    return Handwritten(
        file=source.file,
        source=source.text,
        forward=forward,
        inputs=tuple(_detached(tensors[name]) for name in inputs),
        statements=tuple(statement_of(line) for line in sliced.backward),
        scope=scope,
        # another name of an input stands for it: x0 = x
        names={n: name for n, v in scope.items() for name, t in tensors.items() if v is t},
        ended=True,
        notes=(*source.notes, *sliced.notes),
    )


def statement_of(line: Line) -> Statement:
    """A line as it is handed on."""
    return statement(line.node, line.cell.source, line.effects, line.cell.where)


def statement(node: ast.stmt, source: str, found: Effects, where: str = "") -> Statement:
    """A statement of a source with what it does, as it is handed on."""
    return Statement(
        line=node.lineno,
        end_line=node.end_lineno or node.lineno,
        text=_text(source, node),
        node=node,
        writes=found.writes,
        reads=tuple(n for n in found.reads if n not in vars(builtins)),
        where=where,
        blank=_is_blank(node),
    )


def _text(source: str, node: ast.stmt) -> str:
    """The statement as it stands in the source; several lines keep their indentation."""
    several = node.end_lineno != node.lineno
    # of its own lines alone: the whole source would be split again for each statement
    lines = _lines(source)[node.lineno - 1 : node.end_lineno]
    place = ast.Pass()
    ast.copy_location(place, node)
    ast.increment_lineno(place, 1 - node.lineno)
    text = ast.get_source_segment("".join(lines), place, padded=several)
    if text is not None:
        try:
            (written,) = ast.parse(textwrap.dedent(text)).body
        except (SyntaxError, ValueError):
            written = None
        if written is not None and ast.dump(written) == ast.dump(node):
            return text
    return ast.unparse(node)  # a statement made out of another: a `return`, a `with` around it


@lru_cache(maxsize=16)
def _lines(source: str) -> list[str]:
    """The lines as Python counts them: a form feed ends none."""
    return list(io.StringIO(source, newline=""))


def _is_blank(node: ast.stmt) -> bool:
    """``dx = ...``: a line that is still to be filled in."""
    value = getattr(node, "value", None)
    return (
        isinstance(node, (ast.Assign, ast.AnnAssign))
        and isinstance(value, ast.Constant)
        and value.value is ...
    )


def _fresh_namespace(source: Source) -> dict[str, Any]:
    """What a script finds when it starts: it is the program that runs."""
    module = ModuleType(_MAIN)
    path = str(Path(source.file).resolve())
    module.__file__ = path
    space = vars(module)
    space["__builtins__"] = builtins
    return space


@contextmanager
def beside(file: str) -> Iterator[None]:
    """In the folder of a file: there its neighbours are found, modules and data."""
    folder = Path(file).resolve().parent
    before = Path.cwd()
    arguments = list(sys.argv)
    sys.argv[:] = [str(Path(file).resolve())]
    os.chdir(folder)
    try:
        with neighbours_on_path(folder):
            yield
    finally:
        os.chdir(before)
        sys.argv[:] = arguments


def _prepare(
    source: Source, sliced: Sliced, space: dict[str, Any], given: Mapping[str, Any]
) -> tuple[list[Line], set[str]]:
    """Run the preparations; what is left is the forward pass. Also names that have a gradient."""
    leaves = _without_ancestors(sliced)
    forward: list[Line] = []
    has_gradient = leaves | {n for n, v in given.items() if _asks(v) and _is_leaf(v)}
    made: set[str] = set()
    with beside(source.file):
        for i, line in enumerate(sliced.program):
            # a leaf's own definition may scale it: `W = W * 0.1` builds an input, too
            own = leaves & set(line.effects.binds) & set(line.effects.reads)
            if i in sliced.needed and set(line.effects.reads) & (has_gradient - own):
                forward.append(line)
                has_gradient.update(line.effects.writes)
                continue
            if given and set(line.effects.writes) <= set(given):
                continue  # it has its value already
            run_line(source, line, space)
            made.update(line.effects.writes)
            has_gradient.update(n for n in made if _asks(space.get(n)))
    return forward, has_gradient


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, torch.Tensor) or value.is_leaf


def _without_ancestors(sliced: Sliced) -> set[str]:
    """Values whose gradient is written and that depend on no other such value: the leaves."""
    written = {n for line in sliced.backward for n in line.effects.writes}
    known = {n for line in sliced.program for n in line.effects.writes}
    wanted = {n for n in known if f"d{n}" in written}
    above: dict[str, set[str]] = {}
    for i, line in enumerate(sliced.program):
        if i not in sliced.needed:
            continue
        found: set[str] = set()
        for name in line.effects.reads:
            found |= above.get(name, set()) | ({name} & wanted)
        for name in line.effects.writes:
            above[name] = (above.get(name, set()) | found) - {name}
    return {n for n in wanted if not above.get(n)}


def _asks(value: Any) -> bool:
    """Whether a value has a gradient: a tensor that asks for one, or something that holds one."""
    if isinstance(value, torch.Tensor):
        return value.requires_grad
    if isinstance(value, dict):
        return any(isinstance(v, torch.Tensor) and v.requires_grad for v in value.values())
    return False


def run_line(source: Source, line: Line, space: dict[str, Any]) -> None:
    """Run one statement; what goes wrong is told with the line."""
    module = ast.Module([line.node], [])
    try:
        exec(compile(module, line.cell.code_name, "exec"), space)
    except BackhandError:
        raise
    except (Exception, SystemExit) as error:
        raise _failure(source, line, error) from error


def _failure(source: Source, line: Line, error: BaseException) -> LocatedError:
    """What a statement that failed says, and where."""
    at = location(source, line)
    if isinstance(error, SystemExit):
        return LocatedError(f"{source.file} ended the program (exit {error.code})", at)
    said = first_line(error)
    doing = f"{type(error).__name__}: {said}"
    if isinstance(error, FileNotFoundError):
        return LocatedError(
            f"{source.file} reads a file that is not there: {error.filename}",
            at,
            "put it beside the file that is reviewed; paths count from there",
        )
    hint = ""
    if isinstance(error, ImportError):
        hint = "install it, or leave it out of what the forward pass needs"
    elif "CUDA" in said or "NVIDIA" in said:
        hint = "this machine has no such device: build the tensors on the CPU (device = 'cpu')"
    elif isinstance(error, NameError):
        hint = "it has to be defined above this line, outside of what only training needs"
    inner = location_of_error(error)
    if inner is not None and inner.line != at.line and Path(inner.file).suffix == ".py":
        hint = f"{inner}: {inner.text}" + (f"\n  {hint}" if hint else "")
    return LocatedError(f"{source.file} fails: {doing}", at, hint)


def _is_input(value: Any, name: str, has_gradient: set[str]) -> bool:
    if isinstance(value, dict):
        return name in has_gradient
    return isinstance(value, torch.Tensor)


def _detached(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _detached(v) for k, v in value.items()}
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    return value


def function_of(
    source: Source,
    lines: Sequence[Line],
    inputs: Sequence[str],
    result: str,
    scope: dict[str, Any],
) -> Callable[..., Any]:
    """The lines as a function of the inputs; every line keeps its place in the user's file."""
    cell = lines[0].cell
    if all(line.cell is cell for line in lines):
        return _compiled(lines, inputs, [result], scope)
    # Code of one function has one file: across cells, a function for each that hands on its names.
    return _across_cells(lines, inputs, result, scope)


def _compiled(
    lines: Sequence[Line], inputs: Sequence[str], results: Sequence[str], scope: dict[str, Any]
) -> Callable[..., Any]:
    first, last = lines[0].node, lines[-1].node
    names = [ast.Name(n, ast.Load()) for n in results]
    value: ast.expr = names[0] if len(names) == 1 else ast.Tuple(list(names), ast.Load())
    back = ast.copy_location(ast.Return(value), last)
    parameters = ast.arguments([], [ast.arg(n) for n in inputs], None, [], [], None, [])
    made = ast.FunctionDef("forward", parameters, [*(x.node for x in lines), back], [])
    module = ast.fix_missing_locations(ast.Module([ast.copy_location(made, first)], []))
    space = dict(scope)
    exec(compile(module, lines[0].cell.code_name, "exec"), space)
    function: Callable[..., Any] = space["forward"]
    if "forward" in scope:
        space["forward"] = scope["forward"]
    return function


def _across_cells(
    lines: Sequence[Line], inputs: Sequence[str], result: str, scope: dict[str, Any]
) -> Callable[..., Any]:
    runs: list[list[Line]] = []
    for line in lines:
        if runs and runs[-1][0].cell is line.cell:
            runs[-1].append(line)
        else:
            runs.append([line])
    parts: dict[str, Callable[..., Any]] = {}
    text = [f"def forward({', '.join(inputs)}):"]
    known = set(inputs)
    for k, run in enumerate(runs):
        takes = [n for n in free_in(run) if n in known]
        later = {n for r in runs[k + 1 :] for n in free_in(r)} | {result}
        bound = dict.fromkeys(n for line in run for n in line.effects.writes)
        sure = {n for line in run for n in line.effects.binds}
        gives = [n for n in bound if n in sure | later]
        known.update(bound)
        parts[f"part_{k}"] = _compiled(run, takes, gives, scope)
        text.append(f"    {', '.join(gives)} = part_{k}({', '.join(takes)})")
    text.append(f"    return {result}")
    # under this file's name it is no code of the user's: the parts alone give names and lines
    exec(compile("\n".join(text), __file__, "exec"), parts)
    return parts["forward"]


def _plain_values(
    source: Source, lines: Sequence[Line], inputs: Mapping[str, Any], scope: Mapping[str, Any]
) -> dict[str, Any]:
    """What the forward pass binds beside tensors (sizes, helpers): the gradients may read it."""
    space = {**scope, **{n: _detached(v) for n, v in inputs.items()}}
    bound = [n for line in lines for n in line.effects.writes]
    with torch.no_grad(), torch.random.fork_rng(devices=[]), beside(source.file):
        for line in lines:
            run_line(source, line, space)
    return {
        n: space[n]
        for n in bound
        if n in space and n not in inputs and not isinstance(space[n], torch.Tensor)
    }
