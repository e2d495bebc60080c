"""One operator as a function of its tensors. A file of its own: capture reads the file it is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backhand.program.invoke import invoke
from backhand.program.ops import Op


def function_of(
    op: Op, fill: Callable[[Sequence[Any]], tuple[Any, ...]], picked: Sequence[int]
) -> Callable[..., tuple[Any, ...]]:
    """``forward(*tensors)`` gives the outputs of ``op`` that are ``picked``."""

    def forward(*tensors):
        result = invoke(op, fill(tensors))
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        return tuple(outputs[k] for k in picked)

    return forward


def tied_function_of(
    op: Op, fill: Callable[[Sequence[Any]], tuple[Any, ...]]
) -> Callable[..., tuple[Any, ...]]:
    """``forward(x, *others)`` gives the outputs of ``op`` and one more use of ``x``."""

    def forward(x, *others):
        result = invoke(op, fill([x, *others]))
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        return (*outputs, x * 3.0)

    return forward
