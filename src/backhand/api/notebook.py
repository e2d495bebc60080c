"""``%load_ext backhand``: the cell magic ``%%backhand`` in notebooks."""

from __future__ import annotations

import shlex
from typing import Any

from ..errors import BackhandError, InputError
from ..review.isolated import TIMEOUT
from ..review.outcome import Outcome, outcome_of
from ..review.sources.namespace import from_cell

_USAGE = "write %%backhand [FUNCTION] [--hint 1…4] [--timeout SECONDS]"


def load_ipython_extension(shell: Any) -> None:
    """Register ``%%backhand``: review the lines of a cell in the notebook's namespace, and run it.

    ``%%backhand forward`` names the function that they go back through; without a name it is what
    was typed above, up to the loss.
    """

    def backhand(line: str, cell: str) -> None:
        """Review the gradients that this cell writes; then the cell runs as any other does."""
        try:
            forward, hint, timeout = _arguments(line)
            outcome = _reviewed(cell, shell.user_ns, forward, timeout)
        except BackhandError as error:
            print(f"backhand: {error}")
            return
        if outcome.printed:
            print(outcome.printed, end="")
        print(outcome.review)
        if hint is not None:
            for gradient in outcome.review.gradients:
                if not gradient.ok and gradient.causes:
                    print(f"\n{gradient.name}: {gradient.hint(hint)}")
        # the cells below need what this one assigns
        shell.run_cell(cell, store_history=False, silent=True)

    shell.register_magic_function(backhand, magic_kind="cell", magic_name="backhand")


def _reviewed(cell: str, space: dict[str, Any], forward: str, timeout: float) -> Outcome:
    return outcome_of(lambda: from_cell(cell, space, forward), "this cell", timeout)


def _arguments(line: str) -> tuple[str, int | None, float]:
    """What stands behind ``%%backhand``."""
    forward, hint, timeout = "", None, TIMEOUT
    try:
        words = iter(shlex.split(line))
        for word in words:
            name, given, value = word.partition("=")
            if name in ("--hint", "--timeout"):
                number = value if given else next(words)
                if name == "--hint":
                    hint = int(number)
                else:
                    timeout = float(number)
            elif not forward and word.isidentifier():
                forward = word
            else:
                raise InputError(f"{word!r} is not understood: {_USAGE}")
    except (ValueError, StopIteration):
        raise InputError(_USAGE) from None
    if hint is not None and hint not in range(1, 5):
        raise InputError(f"there is no hint {hint}: {_USAGE}")
    return forward, hint, timeout
