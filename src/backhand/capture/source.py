"""From a running frame to the author's statement: names, text and line.

Python keeps, for every instruction, the exact span of source it came from. The statement that spans
it tells what the author called the result.
"""

from __future__ import annotations

import ast
import io
import linecache
import os
import sys
import sysconfig
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import CodeType, FrameType
from typing import Any

import torch

from ..errors import Location, short_path
from .inputs import called_by

_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_STDLIB = sysconfig.get_paths()["stdlib"] + os.sep
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# The parts of this package that run the user's code or stand in for torch.
_OWN_PARTS = ("capture", "checking", "program", "longhand", "rules", "emit", "review", "api", "cli")
_OWN = tuple(_PACKAGE + part for part in _OWN_PARTS)
# Where the user's function is called from: frames further out are not its own.
_CALLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inputs.py")


@dataclass(frozen=True)
class Span:
    """A stretch of source: lines from 1, columns from 0, as ``ast`` counts them."""

    line: int
    col: int
    end_line: int
    end_col: int

    def holds(self, other: Span) -> bool:
        start = (self.line, self.col) <= (other.line, other.col)
        return start and (other.end_line, other.end_col) <= (self.end_line, self.end_col)


@dataclass(frozen=True)
class Owner:
    """What a value computed at some place belongs to: the statement and the names it assigns.

    ``key`` tells owners of one file apart; ``targets`` are the names in order (empty for a
    ``return`` or a bare expression); ``returns`` says that the value leaves the function.
    """

    key: tuple[str, int, int, int, int]
    statement: tuple[str, int, int]
    targets: tuple[str, ...]
    returns: bool
    where: Location


@dataclass
class _File:
    statements: list[tuple[Span, ast.stmt]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@cache
def is_user_file(filename: str) -> bool:
    """Whether a frame of this file is the user's: not torch's, Python's or this package's."""
    if filename.startswith((_TORCH, *_OWN)):
        return False
    return not (filename.startswith(_STDLIB) and "site-packages" not in filename)



def mentioned(code: CodeType) -> set[str]:
    """Every global name and attribute that code mentions, inside comprehensions and lambdas too."""
    found = set(code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found |= mentioned(inner)
    return found

def is_own_file(filename: str) -> bool:
    """Whether a file is one of this package's."""
    return filename.startswith(_PACKAGE)


def remember(name: str, text: str) -> None:
    """Let the lines of a text be looked up under a name, in tracebacks and for capture."""
    # the lines that Python counts: `splitlines` would end some at form feeds, too
    lines = list(io.StringIO(text if text.endswith("\n") else text + "\n"))
    linecache.cache[name] = (len(text), None, lines, name)


_files: dict[str, _File] = {}


def _parsed(filename: str) -> _File:
    known = _files.get(filename)
    if known is not None:
        return known
    out = _files[filename] = _File(lines=linecache.getlines(filename))
    try:
        tree = ast.parse("".join(out.lines))
    except SyntaxError:
        return out
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and node.end_lineno is not None:
            out.statements.append((_span(node), node))
    out.statements.sort(key=lambda item: (item[0].line, item[0].col, -item[0].end_line))
    return out


def forget_sources() -> None:
    """Drop what was parsed from files that have changed, so that an edited target is read again."""
    linecache.checkcache()
    changed = [name for name, file in _files.items() if linecache.getlines(name) != file.lines]
    for name in changed:
        del _files[name]
    if changed:
        _owner_at.cache_clear()


def _span(node: ast.expr | ast.stmt) -> Span:
    assert node.end_lineno is not None and node.end_col_offset is not None
    return Span(node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)


@lru_cache(1024)
def _positions(code: CodeType) -> tuple[tuple[int | None, ...], ...]:
    return tuple(code.co_positions())


def span_of(code: CodeType, lasti: int) -> Span | None:
    """The source span of an instruction, if Python kept it."""
    line, end_line, col, end_col = _positions(code)[lasti // 2]
    if line is None or end_line is None or col is None or end_col is None:
        return None
    return Span(line, col, end_line, end_col)


def owner_at(code: CodeType, lasti: int) -> Owner:
    """The statement and the names that the value computed at this instruction goes to."""
    # two files with the same lines have equal code objects: equality leaves the file out
    return _owner_at(code.co_filename, code, lasti)


@lru_cache(4096)
def _owner_at(filename: str, code: CodeType, lasti: int) -> Owner:
    span = span_of(code, lasti)
    parsed = _parsed(filename)
    line = span.line if span else code.co_firstlineno
    anonymous = Owner(
        (filename, line, 0, 0, 0),
        (filename, line, 0),
        (),
        False,
        Location(short_path(filename), line),
    )
    if span is None or not parsed.statements:
        return anonymous
    best: tuple[Span, ast.stmt] | None = None
    for candidate, node in parsed.statements:
        if candidate.line > span.line:
            break
        if candidate.holds(span):
            best = (candidate, node)
    if best is None:
        return anonymous
    statement_span, statement = best
    text = _statement_text(parsed, statement)
    where = Location(short_path(filename), statement.lineno, text)
    part, targets, returns = _targets(statement, span)
    return Owner(
        (filename, part.line, part.col, part.end_line, part.end_col),
        (filename, statement_span.line, statement_span.col),
        targets,
        returns,
        where,
    )


def definition_of(function: Any) -> Location | None:
    """Where a function (or a module's ``forward``, or an object's ``__call__``) is defined."""
    function = called_by(function)
    function = getattr(function, "func", function)
    function = getattr(function, "__func__", function)
    function = getattr(function, "__wrapped__", function)
    if not hasattr(function, "__code__"):
        function = vars(type(function)).get("__call__")
        if not is_user_file(getattr(getattr(function, "__code__", None), "co_filename", _TORCH)):
            return None  # an object of torch's, such as a TorchScript function
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    lines = linecache.getlines(code.co_filename)
    line = code.co_firstlineno
    while 0 < line < len(lines) and lines[line - 1].lstrip().startswith("@"):
        line += 1  # a decorator
    text = lines[line - 1].strip() if 0 < line <= len(lines) else code.co_name
    return Location(short_path(code.co_filename), line, text)


def _statement_text(parsed: _File, statement: ast.stmt) -> str:
    """The statement as written; for a block only its heading."""
    first = statement.lineno - 1
    last = statement.end_lineno or statement.lineno
    body = getattr(statement, "body", None)
    if isinstance(body, list) and body:
        last = max(first + 1, min(last, body[0].lineno - 1))
    lines = [line.rstrip() for line in parsed.lines[first:last]]
    if len(lines) == 1 and not isinstance(body, list) and statement.end_lineno == statement.lineno:
        raw = lines[0].encode()[statement.col_offset : statement.end_col_offset]
        return raw.decode(errors="replace").strip()
    return " ".join(line.strip() for line in lines)


def _targets(statement: ast.stmt, span: Span) -> tuple[Span, tuple[str, ...], bool]:
    """The part of the statement that the span belongs to, the names it assigns, whether it returns.

    The body of a lambda returns, whatever the statement around it assigns.
    """
    for body in _lambda_bodies(statement):
        if _span(body).holds(span):
            for node in _walrus(body):
                if _span(node.value).holds(span):
                    return _span(node.value), _names(node.target), False
            return _span(body), (), True
    return *_assigned(statement, span), isinstance(statement, ast.Return)


def _lambda_bodies(statement: ast.stmt) -> list[ast.expr]:
    """The bodies of the lambdas in a statement, the innermost first."""
    found = [n.body for n in ast.walk(statement) if isinstance(n, ast.Lambda)]
    return found[::-1]


def _assigned(statement: ast.stmt, span: Span) -> tuple[Span, tuple[str, ...]]:
    for node in _walrus(statement):
        if _span(node.value).holds(span):
            return _span(node.value), _names(node.target)
    whole = _span(statement)
    if isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        return whole, _names(statement.target)
    if isinstance(statement, ast.For):
        return (_span(statement.iter), _names(statement.target))
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
        value = statement.value
        pair = (ast.Tuple, ast.List)
        if isinstance(target, pair) and isinstance(value, pair):
            for left, right in zip(target.elts, value.elts, strict=False):
                if len(target.elts) == len(value.elts) and _span(right).holds(span):
                    return _span(right), _names(left)
        return whole, _names(target)
    return whole, ()


def _walrus(statement: ast.stmt | ast.expr) -> list[ast.NamedExpr]:
    found = [n for n in ast.walk(statement) if isinstance(n, ast.NamedExpr)]
    return sorted(found, key=lambda n: n.end_col_offset or 0)


def _names(target: ast.expr) -> tuple[str, ...]:
    """The identifiers of an assignment target, in order."""
    if isinstance(target, ast.Name):
        return (target.id,)
    if isinstance(target, ast.Starred):
        return _names(target.value)
    if isinstance(target, (ast.Tuple, ast.List)):
        out: list[str] = []
        for element in target.elts:
            out.extend(_names(element) or ("_",))
        return tuple(out)
    if isinstance(target, ast.Attribute):
        return (target.attr,)
    if isinstance(target, ast.Subscript):
        base = _names(target.value)
        index = target.slice
        if base and isinstance(index, ast.Constant) and isinstance(index.value, (str, int)):
            return (f"{base[0]}_{index.value}",)
        return base
    return ()


def user_frames(
    start: FrameType, stop: FrameType | None
) -> list[tuple[FrameType, FrameType | None]]:
    """The user's frames from the innermost outwards, up to (not including) ``stop``.

    Each comes with the frame that it is calling, the user's or not.
    """
    out: list[tuple[FrameType, FrameType | None]] = []
    frame: FrameType | None = start
    callee: FrameType | None = None
    while frame is not None and frame is not stop:
        if is_user_file(frame.f_code.co_filename):
            out.append((frame, callee))
        frame, callee = frame.f_back, frame
    return out


def location_of_error(error: BaseException) -> Location | None:
    """The innermost line of the user's code in a traceback."""
    found: Location | None = None
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_user_file(code.co_filename) and _parsed(code.co_filename).lines:
            found = owner_at(code, trace.tb_lasti).where
        trace = trace.tb_next
    return found


def current_location() -> Location | None:
    """The user's line that is running now."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _CALLER:
        code = frame.f_code
        if is_user_file(code.co_filename) and _parsed(code.co_filename).lines:
            return owner_at(code, frame.f_lasti).where
        frame = frame.f_back
    return None
