"""The table of what the backward pass keeps of the forward pass, and what it weighs.

It lists what ``program.cost.saved`` counts, so that its totals are the ``bytes saved`` of the cost:
views lie in the tensor that they are views of, what is read for its shape only is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..program.ir import Program

STYLE = ""


def saved(forms: Mapping[str, tuple[Program, Program]]) -> str:
    """An HTML ``<table>`` with a row per saved value and a column per form.

    ``forms`` maps a form's name (``longhand``, ``shorthand``) to its forward and its backward
    program (``bp.forward_of(form)``, ``bp.form(form).program``).
    """
    raise NotImplementedError
