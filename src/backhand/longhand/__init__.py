"""The reverse walk: from a forward program to its backward program, one ``d{x}`` per value."""

from __future__ import annotations

from .naming import Namer, names_of_parts, unique_name
from .passes import expand_plain, map_values, recompute
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
    "map_values",
    "names_of_parts",
    "plan_saving",
    "recompute",
    "spellings",
    "unique_name",
]
