"""The reverse walk: from a forward program to its backward program, one ``d{x}`` per value."""

from __future__ import annotations

from .naming import Namer
from .passes import expand_plain, recompute
from .walk import Backward, backward

__all__ = ["Backward", "Namer", "backward", "expand_plain", "recompute"]
