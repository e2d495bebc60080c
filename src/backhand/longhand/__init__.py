"""The reverse walk: from a forward program to its backward program, one ``d{x}`` per value."""

from __future__ import annotations

from .passes import expand_plain, recompute
from .walk import Backward, backward

__all__ = ["Backward", "backward", "expand_plain", "recompute"]
