"""What a planted rule is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backhand.checking.compare import WRONG
from backhand.program.build import Var, op
from backhand.rules import Context
from backhand.rules.base import Gradients

# Verdicts without a gradient: the call is refused; its program is not well formed or does not run.
REFUSED, BROKEN = "refused", "broken"
Wrong = Callable[[Context], Gradients]


@dataclass(frozen=True)
class Planted:
    """A wrong rule for ``op``; ``missed`` are checks that cannot see it, so that others must."""

    op: str
    kind: str
    name: str
    vjp: Wrong
    caught: tuple[str, ...]
    missed: tuple[str, ...] = ()
    verdict: str = WRONG


PLANTED: list[Planted] = []
FIRST_ORDER = ("gradient", "differences")
# Right almost everywhere, which is where differences look.
ALMOST = ("differences",)


def wrong(
    op: str,
    kind: str,
    *caught: str,
    missed: tuple[str, ...] = (),
    verdict: str = WRONG,
) -> Callable[[Wrong], Wrong]:
    """Plant a function as the rule of ``op``; without ``caught``, first order has to see it."""

    def register(vjp: Wrong) -> Wrong:
        name = vjp.__name__
        PLANTED.append(Planted(op, kind, name, vjp, caught or FIRST_ORDER, missed, verdict))
        return vjp

    return register


def centred(c: Context) -> Var:
    """``x`` less its mean."""
    dim = c["dim"]
    out: Var = c.x - (op.mean(c.x) if dim is None else op.mean(c.x, dim, keepdim=True))
    return out
