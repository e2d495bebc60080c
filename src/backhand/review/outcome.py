"""A whole review in a child process: what was written is read and judged there, and sent back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .handwritten import Handwritten
from .intact import Intact
from .isolated import TIMEOUT, in_child
from .judge import review
from .result import Cause, Gradient, Review
from .sources.load import load


@dataclass(frozen=True)
class Outcome:
    """A review, and what the reviewed code printed on the way."""

    review: Review
    printed: str


def review_file(
    file: str,
    *,
    forward: str | None = None,
    inputs: str | None = None,
    sizes: Mapping[str, int] | None = None,
    timeout: float = TIMEOUT,
    abandoned: Callable[[], bool] | None = None,
) -> Outcome:
    """Review a module, script or notebook; the options are those of the command line."""
    return outcome_of(lambda: (load(file, forward, inputs, sizes), None), file, timeout, abandoned)


def outcome_of(
    make: Callable[[], tuple[Handwritten, Collection[str] | None]],
    shown: str,
    timeout: float = TIMEOUT,
    abandoned: Callable[[], bool] | None = None,
) -> Outcome:
    """Review what ``make`` reads: it and the gradients that are asked for (``None``: all)."""
    if not timeout > 0:
        raise InputError("the time limit must be more than nothing: --timeout 60")

    def work(intact: Intact) -> Mapping[str, Any]:
        handwritten, only = make()
        replaced = intact.restore()
        if replaced:
            note = f"it replaces {', '.join(replaced[:3])}: the review uses the originals"
            handwritten = dataclasses.replace(handwritten, notes=(*handwritten.notes, note))
        found = review(handwritten, only=only)
        intact.insist(shown)
        return dataclasses.asdict(found)

    answer = in_child(work, shown, timeout, abandoned)
    return Outcome(_review(answer.result), answer.printed)


def _review(found: Mapping[str, Any]) -> Review:
    """The review that ``dataclasses.asdict`` took apart."""
    gradients = tuple(_gradient(g) for g in found["gradients"])
    return Review(**{**found, "gradients": gradients, "notes": tuple(found["notes"])})


def _gradient(found: Mapping[str, Any]) -> Gradient:
    return Gradient(**{**found, "causes": tuple(_cause(c) for c in found["causes"])})


def _cause(found: Mapping[str, Any]) -> Cause:
    span = found.get("span")
    return Cause(**{**found, "span": tuple(span) if span is not None else None})


def warm_up() -> None:
    """Load everything that a review needs, so that the next child process finds it loaded.

    What torch keeps about an operator it finds out at the operator's first trace.
    """
    import torch

    from .sources.functions import from_function

    torch.set_num_threads(1)
    table, places = torch.eye(4, 3), torch.tensor([[0, 1], [2, 1], [3, 0]])
    weight = torch.linspace(-1, 1, 24).view(6, 4)
    review(from_function(_forward, _backward, (table, places, weight), ""))


def _forward(table: Any, places: Any, weight: Any) -> Any:
    """A bit of every kind that handwritten networks are made of."""
    rows = table[places].view(places.shape[0], -1)
    h = rows @ weight + weight[0]
    mean = h.sum(0, keepdim=True) / h.shape[0]
    diff = h - mean
    scaled = diff * ((diff**2).mean(0, keepdim=True) + 1e-5) ** -0.5
    z = scaled.tanh().relu() - scaled.max(1, keepdim=True).values
    e = z.exp()
    p = (e / e.sum(1, keepdim=True)).log()
    return -p[range(p.shape[0]), places[:, 0]].mean()


def _backward(p: Any, places: Any) -> Any:
    import torch

    dp = torch.zeros_like(p)
    dp[range(p.shape[0]), places[:, 0]] = -1 / p.shape[0]
    return {"p": dp}
