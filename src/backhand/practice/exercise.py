"""An exercise: a small Python file with a forward pass, its example inputs and the idea.

Everything else - the blanks, the solution, the mistakes to be told apart - is derived from it.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from ..api import Backprop
    from .worksheet import Blank

FOLDER = Path(__file__).parent / "exercises"
FORMS = ("longhand", "shorthand")


@dataclass(frozen=True)
class Exercise:
    """An exercise as its file describes it.

    ``form`` says which solution is asked for, the longhand or the closed form. ``blanks`` are the
    forward values whose gradients are asked for, all that have names if it is empty.
    """

    name: str
    path: Path
    title: str
    idea: str
    form: str = "longhand"
    blanks: tuple[str, ...] = ()

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def _module(self) -> Any:
        """The file, run; torch is loaded by it."""
        spec = importlib.util.spec_from_file_location(f"backhand_exercise_{self.name}", self.path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @property
    def forward(self) -> Callable[..., Any]:
        forward: Callable[..., Any] = self._module.forward
        return forward

    @property
    def inputs(self) -> tuple[Any, ...]:
        made = self._module.example_inputs()
        return tuple(made) if isinstance(made, (tuple, list)) else (made,)

    @cached_property
    def code(self) -> str:
        """What a worksheet has of the file: its imports, ``forward`` and ``example_inputs``."""
        kept = [
            ast.get_source_segment(self.source, statement) or ""
            for statement in ast.parse(self.source).body
            if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef))
        ]
        imports = [text for text in kept if not text.startswith("def ")]
        # the standard library stands apart, as formatters have it
        joined = "\n".join(imports).replace("import math\n", "import math\n\n")
        return "\n\n\n".join([joined, *(text for text in kept if text.startswith("def "))])

    @cached_property
    def derivation(self) -> Backprop:
        from ..api import derive

        return derive(self.forward, *self.inputs)

    @cached_property
    def wanted(self) -> tuple[Blank, ...]:
        """The gradients that are asked for, in the order of the longhand."""
        from .worksheet import blanks

        return blanks(self.derivation, self.blanks)

    @cached_property
    def solution(self) -> tuple[str, ...]:
        """The statements that fill the blanks."""
        from .worksheet import solution_lines

        return solution_lines(self.derivation, self.code, self.form, self.wanted)


def read_exercise(path: Path) -> Exercise:
    """Read an exercise file without running it: listing the curriculum must not load torch."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    title, _, idea = (ast.get_docstring(tree) or "").partition("\n")
    given: dict[str, Any] = {}
    functions = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            functions.add(statement.name)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            given[statement.targets[0].id] = ast.literal_eval(statement.value)
    for needed in ("forward", "example_inputs"):
        if needed not in functions:
            raise InputError(f"the exercise {path.name} has no function {needed}")
    odd = set(given) - {"FORM", "BLANKS"}
    if odd:
        raise InputError(f"the exercise {path.name} sets {min(odd)}, which means nothing there")
    form = given.get("FORM", "longhand")
    if form not in FORMS:
        raise InputError(f"the exercise {path.name} asks for a form {form!r}: {' or '.join(FORMS)}")
    if not title or not idea.strip():
        raise InputError(f"the exercise {path.name} has no title, or no idea, in its docstring")
    return Exercise(
        path.stem,
        path,
        title.strip(),
        " ".join(idea.split()),
        form,
        tuple(given.get("BLANKS", ())),
    )
