"""Worksheets of anybody's forward pass."""

from __future__ import annotations

import textwrap
from typing import Any

from ..api import Backprop, derive
from ..capture.source import remember
from ..capture.target import Target, made_inputs, positional, problems_of
from ..emit.layout import WIDTH
from ..errors import InputError
from .copying import checked_call, heads_of
from .worksheet import blanks, names, upstreams, worksheet_text


def own_worksheet(target: Target, bp: Backprop, file: str) -> tuple[str, int]:
    """A worksheet of a target, to be written to ``file``, and how many blanks it has."""
    ups = upstreams(bp)
    if len(ups) > 1:
        raise InputError(
            f"{bp.name} returns {len(ups)} tensors: a worksheet is about one, so return one of "
            "them, or a loss of all"
        )
    code, forward, inputs = _head(target, bp)
    # the derivation has to be of the worksheet's own text: names are read from there
    own = derive(forward, *inputs)
    read = names(own, code)
    # values inside a helper or a module have names that nobody sees
    wanted = [blank for blank in blanks(own) if blank.of in read]
    name = target.name.rpartition(":")[2]
    if not wanted:
        raise InputError(f"{name} has no named value that a gradient reaches")
    first = wanted[0]
    said = (
        f"Fill in the blanks: {first.name} is the gradient of {first.of} and has its shape. "
        f"{upstreams(own)[0]} is the gradient of what forward returns."
    )
    note = "\n\n".join(
        [
            f"The backward pass of {name}",
            textwrap.fill(said, WIDTH),
            f"Check it with: backhand check {file}",
        ]
    )
    return worksheet_text(note, code, own, [str(b) for b in wanted]), len(wanted)


def _head(target: Target, bp: Backprop) -> tuple[str, Any, tuple[Any, ...]]:
    """The head of a worksheet, with its forward pass and inputs, once it has run by itself."""
    problem: InputError | None = None
    for code in heads_of(target, bp):
        try:
            forward, inputs = _loaded(code)
            checked_call(forward, inputs)
        except InputError as error:
            problem = error  # what a copy misses, the captured statements may have
        else:
            return code, forward, inputs
    assert problem is not None
    raise problem


def _loaded(code: str) -> tuple[Any, tuple[Any, ...]]:
    """Run a worksheet's head from memory; its lines can be looked up while it is derived."""
    name = "<worksheet>"
    remember(name, code)
    space: dict[str, Any] = {"__name__": "worksheet"}
    with problems_of("the worksheet"):
        exec(compile(code, name, "exec"), space)
    args, kwargs = made_inputs(space["example_inputs"], "example_inputs", {})
    return space["forward"], positional(space["forward"], args, kwargs)
