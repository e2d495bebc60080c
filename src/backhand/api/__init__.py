"""The Python API: ``derive`` and what it returns."""

from __future__ import annotations

from .running import Backprop, derive

__all__ = ["Backprop", "derive"]
