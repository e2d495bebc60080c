"""The reverse walk: from a forward program to its backward program, one ``d{x}`` per value."""

from __future__ import annotations

from .naming import Namer
from .passes import expand_plain, recompute
from .saving import Plan, plan_saving
from .spellings import Spellings, spellings
from .walk import Backward, Use, backward

__all__ = [
    "Backward",
    "Namer",
    "Plan",
    "Spellings",
    "Use",
    "backward",
    "expand_plain",
    "plan_saving",
    "recompute",
    "spellings",
]
