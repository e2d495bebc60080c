"""Reads doctests in docstrings as the code that they are (elsewhere ``>>>`` is a quotation)."""

from __future__ import annotations

import re
from typing import Any

import griffe

# From a prompt to the next empty line or the end.
DOCTEST = re.compile(r"^>>> (?:.+\n?)+", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts every doctest into a fence of its own."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(
                lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", obj.docstring.value
            )
