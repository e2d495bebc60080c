"""Wrong backward passes, made from a right one by the mistakes that people make.

Every mutant changes one line of a solution, as a person would get it wrong: a sign, a use that was
forgotten, a sum over the wrong axis. An exercise is fit for use if a check tells each from right.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backhand.practice.worksheet import Blank


@dataclass(frozen=True)
class Mutant:
    """A wrong body of ``backward``: the mistake, the gradient it falsifies, the line it is in."""

    mistake: str
    gradient: str
    line: str
    body: tuple[str, ...]


Values = Mapping[str, Any]
Edits = Iterator[tuple[str, ast.stmt]]


def mutants(
    lines: Sequence[str],
    blanks: Sequence[Blank],
    values: Values,
    mistakes: Collection[tuple[str, str]] = (),
) -> list[Mutant]:
    """The mutants of a solution, ``mistakes`` written by hand (line and name) among them.

    ``values`` are the tensors by name, gradients too: a name is exchanged for another of the same
    shape whose values differ. Two edits that give the same text are one mutant.
    """
    body = ast.parse("\n".join(lines)).body
    wanted = {blank.name: blank for blank in blanks}
    found: dict[tuple[str, ...], Mutant] = {}
    original = tuple(ast.unparse(s) for s in body)

    def add(mistake: str, gradient: str, line: str, texts: Sequence[str]) -> None:
        if tuple(texts) != original:
            found.setdefault(tuple(texts), Mutant(mistake, gradient, line, tuple(texts)))

    for line, mistake in mistakes:
        target = line.partition(" ")[0]
        at = [i for i, s in enumerate(body) if _target(s) == target]
        texts = list(original)
        if f" {target} " not in line.partition("=")[2]:  # else it is added to what was there
            for i in at[:-1]:
                texts[i] = ""
        texts[at[-1]] = line
        add(mistake, target, line, [t for t in texts if t])
    for i, statement in enumerate(body):
        name = _target(statement)
        if name not in wanted:
            continue
        before = [_target(s) for s in body[:i]]
        later = {_target(s) for s in body[i:]}
        whole = [n for n in before if n not in later]  # the others are partial sums so far
        for mistake, edited in _edits(statement, name, wanted[name], values, before, whole):
            line = ast.unparse(edited)
            add(mistake, name, line, [*original[:i], line, *original[i + 1 :]])
        for mistake, line in _statements(statement, name, before):
            kept = [*original[:i], *([line] if line else []), *original[i + 1 :]]
            add(mistake, name, line or original[i], kept)
        for mistake, first, line in _aliases(body, i, name):
            texts = [*original[:i], line, *original[i + 1 :]]
            add(mistake, first, line, texts)
    return list(found.values())


def _target(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return ""


def _statements(statement: ast.stmt, name: str, before: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What can be wrong with a statement as a whole; an empty text leaves it out."""
    term = _added(statement, name)
    if term is not None:
        yield "use forgotten", ""
        yield "overwritten", f"{name} = {ast.unparse(term)}"
        yield "added twice", f"{name} = {name} + 2 * ({ast.unparse(term)})"
    elif name not in before:
        yield "never written", ""


def _added(statement: ast.stmt, name: str) -> ast.expr | None:
    """The term of ``dx = dx + term``."""
    value = statement.value if isinstance(statement, ast.Assign) else None
    if (
        isinstance(value, ast.BinOp)
        and isinstance(value.op, (ast.Add, ast.Sub))
        and isinstance(value.left, ast.Name)
        and value.left.id == name
    ):
        return value.right
    return None


def _aliases(body: Sequence[ast.stmt], i: int, name: str) -> Iterator[tuple[str, str, str]]:
    """``dx = dy`` further up and ``dx += term`` here: the addition changes ``dy`` as well."""
    term = _added(body[i], name)
    if term is None or not isinstance(body[i].value.op, ast.Add):  # type: ignore[attr-defined]
        return
    for statement in body[:i]:
        if _target(statement) == name and isinstance(statement.value, ast.Name):  # type: ignore[attr-defined]
            yield "aliased", statement.value.id, f"{name} += {ast.unparse(term)}"  # type: ignore[attr-defined]


def _edits(
    statement: ast.stmt,
    name: str,
    blank: Blank,
    values: Values,
    before: Sequence[str],
    whole: Sequence[str],
) -> Edits:
    """Every statement that one mistake inside the expression makes of a right one."""
    term = _added(statement, name)
    zero = f"{name} = torch.zeros_like({blank.of})"
    if term is None and name not in before:
        yield "all zeros", ast.parse(zero).body[0]
    places = _places(statement)
    axes = {a for p in places if isinstance(p, ast.Call) for a in p.args}
    for place in places:
        for mistake, change in _CHANGES:
            if change is _sign and place in axes and isinstance(place, ast.UnaryOp):
                continue  # axis -2 of four is axis 2
            outermost = place is places[0] or place is term
            if change in (_keepdim_missing, _keepdim_surplus) and not outermost:
                continue  # inside an expression it may broadcast all the same
            for new in change(place, values):
                yield mistake, _replaced(statement, place, new)
    for place in _read(statement):
        if place.id != name:
            for other in _likely(place.id, whole, values):
                yield "wrong name", _replaced(statement, place, ast.Name(other, ast.Load()))


def _places(statement: ast.stmt) -> list[ast.expr]:
    """Every expression inside a statement's value, the arguments of calls aside from tensors."""
    value = statement.value if isinstance(statement, ast.Assign) else None
    return [] if value is None else [n for n in ast.walk(value) if isinstance(n, ast.expr)]


def _read(statement: ast.stmt) -> list[ast.Name]:
    """The names whose numbers are read; shapes and signs alone may well be those of another."""
    silent: set[ast.AST] = set()
    for place in _places(statement):
        shape_only = isinstance(place, ast.Attribute) and place.attr == "shape"
        if isinstance(place, ast.Call):
            shape_only |= ast.unparse(place.func).endswith(("zeros_like", ".numel", ".new_zeros"))
        if shape_only or isinstance(place, ast.Compare):
            silent.update(ast.walk(place))
    return [p for p in _places(statement) if isinstance(p, ast.Name) and p not in silent]


def _replaced(statement: ast.stmt, place: ast.expr, new: ast.expr) -> ast.stmt:
    """A copy of the statement in which ``new`` stands for ``place``."""
    at = next(i for i, node in enumerate(ast.walk(statement)) if node is place)
    made = copy.deepcopy(statement)
    there = list(ast.walk(made))[at]

    class Put(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is there else super().visit(node)

    Put().visit(made)
    return ast.fix_missing_locations(made)


def _likely(name: str, whole: Sequence[str], values: Values) -> list[str]:
    """Names that a person may write instead: of the same kind and shape, with other values."""
    if name not in values:
        return []
    gradient = _is_gradient(name, values)
    pool = dict.fromkeys(whole) if gradient else values
    return [
        n
        for n in pool
        if n in values
        and _is_gradient(n, values) == gradient
        and values[n].shape == values[name].shape
        and not bool((values[n] == values[name]).all())
    ][:2]


def _is_gradient(name: str, values: Values) -> bool:
    return name.startswith("d") and name[1:] in values


def _sign(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    if isinstance(place, ast.UnaryOp) and isinstance(place.op, ast.USub):
        yield place.operand
    elif isinstance(place, ast.BinOp) and isinstance(place.op, ast.Sub):
        yield ast.BinOp(place.left, ast.Add(), place.right)
    elif isinstance(place, ast.BinOp) and isinstance(place.op, ast.Add):
        yield ast.BinOp(place.left, ast.Sub(), place.right)


def _method(place: ast.expr, *names: str) -> ast.Call | None:
    if (
        isinstance(place, ast.Call)
        and isinstance(place.func, ast.Attribute)
        and place.func.attr in names
    ):
        return place
    return None


def _keepdim_missing(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    call = _method(place, "sum", "mean")
    if call is not None and any(k.arg == "keepdim" for k in call.keywords):
        yield ast.Call(call.func, call.args, [])


def _keepdim_surplus(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    call = _method(place, "sum", "mean")
    if call is not None and call.args and not call.keywords:
        yield ast.Call(call.func, call.args, [ast.keyword("keepdim", ast.Constant(True))])


def _not_summed(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    call = _method(place, "sum")
    if call is not None and isinstance(call.func, ast.Attribute):
        yield call.func.value


def _wrong_axis(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    call = _method(place, "sum")
    if call is not None and call.args and isinstance(call.args[0], ast.Constant):
        other = 1 - call.args[0].value if call.args[0].value in (0, 1) else 0
        yield ast.Call(call.func, [ast.Constant(other), *call.args[1:]], call.keywords)


def _duplicates_lost(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    call = _method(place, "index_put_")
    # a pair of indices that counts its rows has no repeats
    if call is not None and "arange" not in ast.unparse(call.args[0]):
        kept = [k for k in call.keywords if k.arg != "accumulate"]
        yield ast.Call(call.func, call.args, kept)


def _count_missing(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    if isinstance(place, ast.BinOp):
        if isinstance(place.op, ast.Div) and _is_count(place.right):
            yield place.left if not _one(place.left) else ast.Constant(1)
        elif isinstance(place.op, ast.Mult) and _share(place.left):
            yield place.right


def _is_count(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return text in ("n", "n - 1") or ".shape[" in text or text.endswith(".numel()")


def _share(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _one(node.left)


def _one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 1


def _bessel(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    if ast.unparse(place) == "n - 1":
        yield ast.Name("n", ast.Load())
    elif isinstance(place, ast.BinOp) and ast.unparse(place.right) == "n":
        less = ast.BinOp(ast.Name("n", ast.Load()), ast.Sub(), ast.Constant(1))
        yield ast.BinOp(place.left, place.op, less)


def _factor_forgotten(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    if isinstance(place, ast.BinOp) and isinstance(place.op, ast.Mult):
        for kept, lost in ((place.left, place.right), (place.right, place.left)):
            if not _share(lost):
                yield kept
    elif (
        isinstance(place, ast.BinOp)
        and isinstance(place.op, ast.Div)
        and not _is_count(place.right)
        and not _one(place.left)
    ):
        yield place.left


def _inverted(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    if (
        isinstance(place, ast.BinOp)
        and isinstance(place.op, ast.Div)
        and not _one(place.left)
        and not _is_count(place.right)
    ):
        yield ast.BinOp(place.left, ast.Mult(), place.right)


def _exponent(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    if isinstance(place, ast.BinOp) and isinstance(place.op, ast.Pow):
        yield place.left
        if isinstance(place.right, ast.Constant):
            yield ast.BinOp(place.left, ast.Pow(), ast.Constant(place.right.value + 1))


def _precedence(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    """``a * (b - c)`` without its parentheses."""
    if (
        isinstance(place, ast.BinOp)
        and isinstance(place.op, ast.Mult)
        and isinstance(place.right, ast.BinOp)
        and isinstance(place.right.op, (ast.Add, ast.Sub))
    ):
        first = ast.BinOp(place.left, ast.Mult(), place.right.left)
        yield ast.BinOp(first, place.right.op, place.right.right)


def _operands_swapped(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    if isinstance(place, ast.BinOp) and isinstance(place.op, ast.MatMult):
        yield ast.BinOp(place.right, ast.MatMult(), place.left)


def _transpose_missing(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    if isinstance(place, ast.Attribute) and place.attr == "T":
        yield place.value
    else:
        call = _method(place, "transpose", "flip")
        if call is not None and isinstance(call.func, ast.Attribute):
            yield call.func.value


def _viewed(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    """A view where a transpose was meant."""
    if isinstance(place, ast.Attribute) and place.attr == "T" and isinstance(place.value, ast.Name):
        value = values.get(place.value.id)
        if value is not None and value.dim() == 2:
            shape = tuple(value.shape)
            turned = ast.parse(f"{place.value.id}.reshape({shape[1]}, {shape[0]})", mode="eval")
            yield turned.body


def _unselected(place: ast.expr, values: Values) -> Iterator[ast.expr]:
    """A gradient for entries that nobody read: the mask left out."""
    call = _method(place, "masked_fill")
    if call is not None and isinstance(call.func, ast.Attribute):
        yield call.func.value


_CHANGES: tuple[tuple[str, Callable[[ast.expr, Values], Iterator[ast.expr]]], ...] = (
    ("sign", _sign),
    ("keepdim missing", _keepdim_missing),
    ("keepdim surplus", _keepdim_surplus),
    ("axis not summed", _not_summed),
    ("wrong axis", _wrong_axis),
    ("repeats overwritten", _duplicates_lost),
    ("count missing", _count_missing),
    ("n against n-1", _bessel),
    ("factor forgotten", _factor_forgotten),
    ("inverted", _inverted),
    ("exponent", _exponent),
    ("precedence", _precedence),
    ("operands swapped", _operands_swapped),
    ("transpose missing", _transpose_missing),
    ("view for transpose", _viewed),
    ("mask forgotten", _unselected),
)
