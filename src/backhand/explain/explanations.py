"""Explanations in every format, and what a terminal or a notebook shows of them by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .blocks import Explanation
from .html import STYLE, fragment, page
from .latex import latex
from .markdown import markdown
from .text import WIDTH, text

FORMATS = ("text", "markdown", "latex", "html", "notebook")


@dataclass(frozen=True)
class Explanations:
    """Explanations of one derivation's gradients, in the order in which gradients are made.

    ``str`` is what a terminal shows; in a notebook they show themselves. One of them is found by
    its name or its value's: ``found["dx"]``.

    Attributes:
        title: What is explained.
        items: An ``Explanation`` for each gradient: ``name``, ``of``, ``shape`` and ``blocks``.
    """

    title: str
    items: tuple[Explanation, ...]

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, name: str) -> Explanation:
        return next(e for e in self.items if name in (e.name, e.of))

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int = WIDTH) -> str:
        return "\n\n".join(text(e, width) for e in self.items)

    def markdown(self) -> str:
        head = f"# {self.title}\n\n" if len(self.items) > 1 else ""
        return head + "\n".join(markdown(e) for e in self.items)

    def latex(self) -> str:
        return latex(self.items, self.title)

    def html(self) -> str:
        """A self-contained page."""
        return page(self.items, self.title)

    def notebook(self) -> str:
        """A Jupyter notebook: one Markdown cell per gradient."""
        cells = [_cell(0, f"# {self.title}")]
        cells += [_cell(k, markdown(e)) for k, e in enumerate(self.items, 1)]
        made = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        return json.dumps(made, indent=1, ensure_ascii=False) + "\n"

    def to(self, form: str, width: int = WIDTH) -> str:
        """The explanations as ``text``, ``markdown``, ``latex``, ``html`` or ``notebook``.

        ``width`` is that of the text, in characters. Raises ``InputError`` for another format.
        """
        if form not in FORMATS:
            raise InputError(f"there is no format {form!r}: there are {', '.join(FORMATS)}")
        if form == "text":
            return self.text(width)
        made: str = getattr(self, form)()
        return made

    def _repr_html_(self) -> str:
        known = frozenset(e.name for e in self.items)
        return f"<style>{STYLE}</style>" + "\n".join(fragment(e, known) for e in self.items)

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __repr__(self) -> str:
        return self.text().rstrip()


def _cell(number: int, source: str) -> dict[str, Any]:
    return {
        "cell_type": "markdown",
        "id": f"gradient-{number}",
        "metadata": {},
        "source": source.splitlines(keepends=True),
    }


__all__ = ["FORMATS", "Explanations"]
