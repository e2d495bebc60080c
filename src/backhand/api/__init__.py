"""The Python API: ``derive`` and what it returns."""

from __future__ import annotations

from .running import Backprop, derive
from .text import FORMS

__all__ = ["FORMS", "Backprop", "derive"]
