"""The exercises in the order in which to do them."""

from __future__ import annotations

import difflib
from functools import cache

from ..errors import InputError
from .exercise import FOLDER, Exercise, read_exercise

ORDER = (
    "add_multiply",
    "used_twice",
    "exp_log_power",
    "sum_mean",
    "broadcast_add",
    "broadcast_multiply",
    "activations",
    "slices",
    "pick",
    "view_transpose",
    "maximum",
    "matmul",
    "linear",
    "losses",
    "cross_entropy",
    "cross_entropy_fused",
    "softmax",
    "embedding",
    "batch_norm",
    "batch_norm_fused",
    "batch_norm_fused_biased",
    "article",
    "layer_norm",
    "rms_norm",
    "dropout",
    "gelu",
    "cumulative_sum",
    "conv1d",
    "conv2d",
    "max_pool",
    "rnn",
    "lstm",
    "gru",
    "attention",
    "causal_attention",
    "tied_embeddings",
    "selective_scan",
)


@cache
def exercise(name: str) -> Exercise:
    """One exercise by its full name."""
    return read_exercise(FOLDER / f"{name}.py")


def find(asked: str) -> Exercise:
    """The exercise that a person means: a name, its beginning if only one begins so, or a number.

    >>> find("broadcast-m").name, find("1").name
    ('broadcast_multiply', 'add_multiply')
    """
    name = asked.strip().lower().replace("-", "_").removesuffix(".py")
    if name in ORDER:
        return exercise(name)
    if name.isascii() and name.isdecimal() and len(name) < 4 and 1 <= int(name) <= len(ORDER):
        return exercise(ORDER[int(name) - 1])
    begin = [n for n in ORDER if name and n.startswith(name)]
    if len(begin) == 1:
        return exercise(begin[0])
    if begin:
        raise InputError(f"{asked} may be {_listed(begin)}: write more of the name")
    inside = [n for n in ORDER if name and name in n]
    close = difflib.get_close_matches(name, ORDER, 1, 0.5) or inside
    hint = f"did you mean {close[0]}?" if close else "backhand practice lists them"
    raise InputError(f"there is no exercise {asked!r}: {hint}")


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
