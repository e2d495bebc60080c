"""Cutting a script in the style of a lecture in two: the forward pass, and the gradients' lines.

Nothing runs here. From the line that computes the loss the statements that it depends on are
followed upwards; after it, those that write ``d…`` names and what they need. The rest (training,
plots, comparisons with autograd) belongs to neither.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...errors import InputError, LocatedError, Location
from .cells import Cell, Source
from .effects import Effects, Function, effects, is_quiet_call

# `with torch.no_grad():` and its like: what stands inside is as good as outside.
_TRANSPARENT = frozenset(
    {"no_grad", "enable_grad", "inference_mode", "set_grad_enabled", "detect_anomaly"}
)
_SIMILAR = 0.75


class NoLoss(InputError):
    """Nothing assigns a loss, so that there is no forward pass to cut off."""


@dataclass(frozen=True)
class Line:
    """A statement with the cell it stands in and what it does."""

    node: ast.stmt
    cell: Cell
    effects: Effects

    @property
    def text(self) -> str:
        return ast.get_source_segment(self.cell.source, self.node) or ast.unparse(self.node)

    @property
    def number(self) -> int:
        return self.node.lineno


@dataclass(frozen=True)
class Sliced:
    """``program`` is what the loss and the gradients need, in order, of which ``needed`` (by
    position) are more than preparations; ``backward`` are the gradients' lines."""

    loss: str
    program: tuple[Line, ...]
    needed: frozenset[int]
    backward: tuple[Line, ...]
    notes: tuple[str, ...] = ()


def slice_source(source: Source, last: bool = False) -> Sliced:
    """The forward and the backward pass of a script; an error says what could not be found.

    ``last``: of several forward passes the last one counts, as in a notebook's history.
    """
    problem: InputError | LocatedError | None = None
    for cells in _orders(source):
        for lines in _levels(cells):
            try:
                return _slice(source, lines, last)
            except (InputError, LocatedError) as error:
                # the outermost level that has a loss knows best what is missing
                if problem is None or (
                    isinstance(error, LocatedError) and not isinstance(problem, LocatedError)
                ):
                    problem = error
    assert problem is not None
    raise problem


def _orders(source: Source) -> Iterator[Sequence[Cell]]:
    """Cells from the top down, and, where that differs, in the order in which they were run."""
    yield source.cells
    if all(cell.run is not None for cell in source.cells):
        by_run = sorted(source.cells, key=lambda cell: cell.run or 0)
        if by_run != list(source.cells):
            yield by_run


def functions_of(cells: Iterable[Cell]) -> dict[str, Function]:
    """The functions that are defined at top level."""
    return {n.name: n for cell in cells for n in cell.body if isinstance(n, Function)}


def lines_of(cells: Iterable[Cell]) -> list[Line]:
    """The statements of the cells, those in ``with torch.no_grad():`` among them."""
    listed = list(cells)
    functions = functions_of(listed)
    return [
        Line(node, cell, effects(node, functions)) for cell in listed for node in _flat(cell.body)
    ]


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if (isinstance(node, ast.With) and all(map(_transparent, node.items))) or is_main(node):
            assert isinstance(node, (ast.With, ast.If))
            yield from _flat(node.body)
        else:
            yield node


def _transparent(item: ast.withitem) -> bool:
    called = item.context_expr
    called = called.func if isinstance(called, ast.Call) else called
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in _TRANSPARENT and item.optional_vars is None


def is_main(node: ast.stmt) -> bool:
    """``if __name__ == "__main__":``."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
    )


def _levels(cells: Sequence[Cell]) -> Iterator[list[Line]]:
    """The top level, then the bodies of loops and of functions without arguments in it.

    A body is one turn of the loop, after all that stands before it.
    """
    lines = lines_of(cells)
    yield lines
    functions = functions_of(cells)
    for i, line in enumerate(lines):
        node = line.node
        if isinstance(node, (ast.For, ast.While)) or (
            isinstance(node, ast.FunctionDef) and not ast.unparse(node.args)
        ):
            head = [_first_turn(node)] if isinstance(node, ast.For) else []
            inner = [*head, *_flat(node.body)]
            yield [
                *(lines if isinstance(node, ast.FunctionDef) else lines[:i]),
                *(Line(part, line.cell, effects(part, functions)) for part in inner),
            ]


def _first_turn(node: ast.For) -> ast.stmt:
    """``k = next(iter(…))`` in place of ``for k in …``."""
    call = ast.Call(ast.Name("iter", ast.Load()), [node.iter], [])
    first = ast.Assign([node.target], ast.Call(ast.Name("next", ast.Load()), [call], []))
    return ast.fix_missing_locations(ast.copy_location(first, node.iter))


def _slice(source: Source, lines: Sequence[Line], last: bool) -> Sliced:
    assigned = _assigned(lines)
    loss = _loss_name(lines, assigned)
    if loss is None:
        raise NoLoss(_no_loss(source, assigned))
    start, end, again = _region(lines, loss, assigned, last)
    known = set(_assigned(lines[: start + 1]))
    backward, notes = backward_lines(lines[start + 1 : end], known, loss)
    if not backward:
        at = lines[start]
        raise LocatedError(
            f"no line after the loss writes a gradient, so that there is nothing to review in "
            f"{source.file}",
            location(source, at),
            f"write lines such as d{_example(known, at)} = … below it",
        )
    if again is not None:
        line = lines[again]
        notes.append(
            f"{place(line)} computes {loss} anew: the gradients after it were not reviewed"
        )
    free = free_in(backward)
    wanted = needed_lines(lines[: start + 1], {loss, *free})
    with_marks = needed_lines(lines[: start + 1], {loss, *free}, marks=True)
    order = sorted(with_marks)
    # helpers and imports that stand among the gradients' lines prepare them
    late = [x for x in backward if _is_definition(x.node) and not _uses_values(x, known, lines)]
    program = [*(lines[i] for i in order), *late]
    needed = frozenset(k for k, i in enumerate(order) if i in wanted)
    kept = tuple(x for x in backward if x not in late)
    return Sliced(loss, tuple(program), needed, kept, tuple(notes))


def _assigned(lines: Iterable[Line]) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in line.effects.writes))


def _loss_name(lines: Sequence[Line], assigned: Sequence[str]) -> str | None:
    """What the gradients are of: ``loss.backward()`` tells, or ``dloss = 1``, or its name."""
    called = [
        n.func.value.id
        for line in lines
        for n in ast.walk(line.node)
        if isinstance(n, ast.Call)
        and isinstance(n.func, ast.Attribute)
        and n.func.attr == "backward"
        and isinstance(n.func.value, ast.Name)
    ]
    seeds = [
        target.id[1:]
        for line in lines
        if isinstance(line.node, ast.Assign) and _is_one(line.node.value)
        for target in line.node.targets
        if isinstance(target, ast.Name) and target.id[:1] == "d"
    ]
    bound = {n for line in lines if not isinstance(line.node, _BLOCKS) for n in line.effects.binds}
    for name in (*called, "loss", *seeds):
        if name in assigned and name in bound:
            return name
    return None


_BLOCKS = (ast.For, ast.While, ast.FunctionDef, ast.ClassDef)


def _is_one(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        if name == "ones_like":
            return True
        return name == "tensor" and len(node.args) == 1 and _is_one(node.args[0])
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value == 1


def _region(
    lines: Sequence[Line], loss: str, assigned: Sequence[str], last: bool
) -> tuple[int, int, int | None]:
    """Where the loss is computed, where its gradients end, and what computes another one there."""
    at = [
        i
        for i, line in enumerate(lines)
        if loss in line.effects.binds and not isinstance(line.node, _BLOCKS)
    ]
    writes = [
        i
        for i, line in enumerate(lines)
        if any(is_gradient(n, assigned) for n in line.effects.writes) and not _trains(line, loss)
    ]
    for k, i in [] if last else enumerate(at):
        end = at[k + 1] if k + 1 < len(at) else len(lines)
        if any(i < w < end for w in writes):
            for later in at[k + 1 :]:
                if lines[later].text != lines[i].text and any(w > later for w in writes):
                    return i, later, later
            return i, len(lines), None
    return at[-1], len(lines), None


def is_gradient(name: str, known: Iterable[str]) -> bool:
    """Whether a name is ``d`` and the name of a known value."""
    return len(name) > 1 and name[0] == "d" and name[1:] in set(known)


def _trains(line: Line, loss: str) -> bool:
    """Whether a block is a training loop or asks autograd: its lines are not the person's own."""
    if not isinstance(line.node, _BLOCKS):
        return False
    called = {
        n.func.attr
        for n in ast.walk(line.node)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    return loss in line.effects.binds or bool(called & {"backward", "step", "zero_grad"})


def backward_lines(
    lines: Sequence[Line], known: set[str], loss: str
) -> tuple[list[Line], list[str]]:
    """The lines that write gradients, what they need of the lines between, and notes."""
    kept: list[Line] = []
    notes: list[str] = []
    needed: set[str] = set()
    for line in reversed(lines):
        if _trains(line, loss) or is_quiet_call(line.node):
            continue
        writes = line.effects.writes
        own = [n for n in writes if is_gradient(n, known)]
        if _reads_grad(line.node):
            if own:
                notes.append(
                    f"{place(line)} takes d{own[0][1:]} from autograd: there is nothing to review"
                )
            continue
        odd = [n for n in writes if not own and _misspelt(n, known, line)]
        if not (own or odd or needed & set(writes)):
            continue
        if not isinstance(line.node, (ast.For, ast.While)):
            needed -= set(line.effects.binds)
        needed |= set(line.effects.reads)
        kept.append(line)
    return kept[::-1], notes[::-1]


def _reads_grad(node: ast.stmt) -> bool:
    return any(
        isinstance(n, ast.Attribute) and n.attr == "grad" and isinstance(n.ctx, ast.Load)
        for n in ast.walk(node)
        if not (isinstance(n, ast.Attribute) and ast.unparse(n.value) == "torch.autograd")
    )


def _misspelt(name: str, known: set[str], line: Line) -> bool:
    """Whether a name looks like the gradient of a value that there is, but for a letter or so."""
    if len(name) < 3 or name[0] != "d" or name in known:
        return False
    if not isinstance(line.node, (ast.Assign, ast.AugAssign)):
        return False
    return bool(difflib.get_close_matches(name[1:], known, 1, _SIMILAR)) and bool(
        line.effects.reads
    )


def free_in(lines: Iterable[Line]) -> list[str]:
    """What the lines read that none of them has bound before."""
    bound: set[str] = set()
    free: dict[str, None] = {}
    for line in lines:
        free |= {n: None for n in line.effects.reads if n not in bound}
        bound.update(line.effects.binds)
    return list(free)


def needed_lines(lines: Sequence[Line], wanted: Iterable[str], marks: bool = False) -> set[int]:
    """Which lines the wanted names depend on; with ``marks`` those that ask for gradients too."""
    needed: set[str] = set()
    kept: set[int] = set()
    # what a definition binds: a decorator may change more than that, as `@app.register_(1)` does
    definitions = {
        n: line for line in lines if _is_definition(line.node) for n in line.effects.binds
    }

    def need(names: Iterable[str]) -> None:
        """Functions read when they are called: what they need counts from there upwards."""
        for name in names:
            if name in needed:
                continue
            needed.add(name)
            if name in definitions:
                need(definitions[name].effects.reads)

    need(wanted)
    for i in reversed(range(len(lines))):
        line = lines[i]
        if _asks_autograd(line.node):
            continue
        marked = marks and _marks(line.node)
        if not (needed & set(line.effects.writes) or _star(line.node) or marked):
            continue
        kept.add(i)
        if not isinstance(line.node, (ast.For, ast.While, ast.If, ast.Try)):
            needed -= set(line.effects.binds)
        need(line.effects.reads)
    return kept


def _is_definition(node: ast.stmt) -> bool:
    return isinstance(node, Function | ast.ClassDef | ast.Import | ast.ImportFrom)


def _star(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def _asks_autograd(node: ast.stmt) -> bool:
    """``loss.backward()``, alone or in a loop: never run, its answer is not the person's."""
    return not _is_definition(node) and any(
        isinstance(n, ast.Call)
        and isinstance(n.func, ast.Attribute)
        and n.func.attr in ("backward", "retain_grad", "zero_grad")
        for n in ast.walk(node)
    )


def _marks(node: ast.stmt) -> bool:
    """``p.requires_grad = True``: says which tensors have gradients."""
    if _is_definition(node):
        return False
    for n in ast.walk(node):
        stored = isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
        if isinstance(n, ast.Attribute) and (
            n.attr == "requires_grad_" or (stored and n.attr == "requires_grad")
        ):
            return True
    return False


def _uses_values(line: Line, known: set[str], lines: Sequence[Line]) -> bool:
    """Whether a helper looks at values of the forward pass or at gradients, as globals."""
    modules = {n for x in lines if _is_definition(x.node) for n in x.effects.binds}
    reads = set(line.effects.reads)
    return bool(reads & (known - modules)) or any(is_gradient(n, known) for n in reads)


def location(source: Source, line: Line) -> Location:
    file = f"{source.file}, {line.cell.where}" if line.cell.where else source.file
    return Location(file, line.number, line.text.split("\n")[0])


def place(line: Line) -> str:
    """``line 12``, or ``line 2 of cell 3``."""
    return f"line {line.number}" + (f" of {line.cell.where}" if line.cell.where else "")


def _example(known: set[str], line: Line) -> str:
    return next((n for n in line.effects.reads if n in known and n != "torch"), "x")


def _no_loss(source: Source, assigned: Sequence[str]) -> str:
    close = difflib.get_close_matches("loss", [n.lower() for n in assigned], 1, 0.6)
    meant = next((n for n in assigned if close and n.lower() == close[0]), None)
    said = f"; did you mean {meant}?" if meant else ""
    notes = "".join(f"\n  {note}" for note in source.notes)
    return (
        f"{source.file} has no forward pass to review: nothing at top level assigns loss{said}\n"
        "  write the forward pass up to loss = … and the gradients d… = … below it, or two "
        f"functions forward and backward{notes}"
    )
