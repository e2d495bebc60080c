"""Files as cells of statements: a script is one cell, a notebook several.

Notebook commands (``%matplotlib inline``, ``!pip install …``) are left out; lines keep their
numbers, so that what is said about line 3 is about line 3.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...capture.source import remember
from ...capture.target import decoded, syntax_problem
from ...errors import InputError

_COMMAND = re.compile(r"^(\s*)(?:[%!?]|[\w.]+\?+\s*$|(?:[\w, ]+=\s*[%!]))")
# Cell commands whose cell is Python all the same.
_PYTHON_CELLS = frozenset({"time", "timeit", "capture", "prun", "backhand", "python3", "python"})


@dataclass(frozen=True)
class Cell:
    """A stretch of source with its statements; ``where`` names it among others of one file.

    ``code_name`` is what Python knows it by: under that name its lines can be looked up.
    """

    where: str
    code_name: str
    source: str
    body: tuple[ast.stmt, ...]
    run: int | None = None  # when a notebook's cell was last run: its execution count


@dataclass(frozen=True)
class Source:
    """A file that was read: its cells in order, and what is to be said about those left out."""

    file: str
    text: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()


def read_source(file: str) -> Source:
    """Read a script or a notebook; raises ``InputError`` for what is neither."""
    text = read_text(file)
    if Path(file).suffix == ".ipynb":
        return _notebook(file, text)
    if not text.strip():
        raise InputError(f"{file} is empty: write a forward pass and the lines of its gradients")
    path = str(Path(file).resolve())
    return Source(file, text, (Cell("", path, text, tuple(parse(text, file).body)),))


def read_text(file: str) -> str:
    """The text of a file as Python would read it."""
    path = Path(file)
    try:
        if path.is_dir():
            raise InputError(f"{file} is a directory: name a file, as in {path}/backward.py")
        if not path.exists():
            raise InputError(f"there is no file {file}")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise InputError("the name of the file holds a NUL character") from None
    return decoded(data, file, "utf-8-sig" if path.suffix == ".ipynb" else None)


def parse(text: str, shown: str) -> ast.Module:
    """Parse Python; a syntax error is one sentence with its line."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise syntax_problem(error, shown) from None
    except (ValueError, RecursionError, MemoryError) as error:
        said = str(error) or "its expressions are nested too deeply"
        raise InputError(f"{shown} cannot be read as Python: {said}") from None


def _notebook(file: str, text: str) -> Source:
    if not text.strip():
        raise InputError(f"{file} is empty: save the notebook once more")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not a notebook: {error}") from None
    found = code_cells(document)
    if found is None:
        raise InputError(f"{file} is not a notebook: it is JSON, but has no list of cells")
    cells: list[Cell] = []
    notes: list[str] = []
    for number, (run, source) in enumerate(found, 1):
        where = f"cell {number}"
        try:
            cell = python_cell(source, where, f"{Path(file).resolve()}, {where}")
        except InputError as error:
            said = str(error).splitlines()[0]
            notes.append(f"left out, because it is not Python: {said}")
            continue
        if cell is not None:
            cells.append(replace(cell, run=run))
    if not cells:
        said = "".join(f"\n  {note}" for note in notes)
        raise InputError(f"{file} has no cell with Python code{said}")
    return Source(file, "\n".join(c.source for c in cells), tuple(cells), tuple(notes))


def code_cells(document: Any) -> list[tuple[int | None, str]] | None:
    """The code cells of a notebook's JSON: when each was last run, and its text."""
    if not isinstance(document, dict):
        return None
    lists = [document.get("cells")]
    if not isinstance(lists[0], list):  # format 3
        sheets = document.get("worksheets")
        if not isinstance(sheets, list):
            return None
        lists = [s.get("cells") for s in sheets if isinstance(s, dict)]
    out: list[tuple[int | None, str]] = []
    for cell in (c for cells in lists if isinstance(cells, list) for c in cells):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", cell.get("input", ""))
        if isinstance(source, list):
            source = "".join(map(str, source))
        count = cell.get("execution_count")
        out.append((count if type(count) is int else None, str(source)))
    return out


def python_cell(source: str, where: str, code_name: str) -> Cell | None:
    """A notebook's cell without its commands; ``None`` for another language's."""
    first = source.lstrip().partition("\n")[0]
    if first.startswith("%%"):
        words = first[2:].split()
        if not words or words[0] not in _PYTHON_CELLS:
            return None
        start = source.index("%%")
        source = source[:start] + "#" + source[start + 1 :]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        source = _without_commands(source)
        tree = parse(source, where)
    remember(code_name, source)
    return Cell(where, code_name, source, tuple(tree.body))


def _without_commands(source: str) -> str:
    lines = source.split("\n")
    going_on = False
    for i, line in enumerate(lines):
        match = _COMMAND.match(line)
        if match or going_on:
            going_on = line.rstrip().endswith("\\")
            indent = line[: len(line) - len(line.lstrip())]
            lines[i] = f"{indent}pass"
    return "\n".join(lines)
