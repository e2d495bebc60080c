"""Worksheets of anybody's forward pass."""

from __future__ import annotations

import linecache
import textwrap
from typing import Any

from ..api import Backprop, derive
from ..capture.target import Target
from ..emit.layout import WIDTH
from ..errors import InputError
from .copying import checked_call, source_of
from .worksheet import blanks, upstreams, worksheet_text


def own_worksheet(target: Target, bp: Backprop, file: str) -> tuple[str, int]:
    """A worksheet of a target, to be written to ``file``, and how many blanks it has."""
    ups = upstreams(bp)
    if len(ups) > 1:
        raise InputError(
            f"{bp.name} returns {len(ups)} tensors: a worksheet is about one, so return one of "
            "them, or a loss of all"
        )
    code = source_of(target, bp)
    space: dict[str, Any] = {"__name__": "worksheet"}
    # the derivation has to be of the worksheet's own text: names are read from there
    forward, inputs = _loaded(code, space)
    checked_call(forward, inputs)
    bp = derive(forward, *inputs)
    wanted = blanks(bp)
    if not wanted:
        raise InputError(f"{bp.name} has no named value that a gradient reaches")
    first = wanted[0]
    said = (
        f"Fill in the blanks: {first.name} is the gradient of {first.of} and has its shape. "
        f"{upstreams(bp)[0]} is the gradient of what forward returns."
    )
    note = "\n\n".join(
        [
            f"The backward pass of {bp.name}",
            textwrap.fill(said, WIDTH),
            f"Check it with: backhand check {file}",
        ]
    )
    return worksheet_text(note, code, bp, [str(b) for b in wanted]), len(wanted)


def _loaded(code: str, space: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """Run a worksheet's head from memory; its lines can be looked up while it is derived."""
    name = "<worksheet>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    exec(compile(code, name, "exec"), space)
    made = space["example_inputs"]()
    return space["forward"], tuple(made) if isinstance(made, (tuple, list)) else (made,)
