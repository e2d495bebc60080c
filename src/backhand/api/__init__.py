"""The Python API: ``derive``, what it returns, and ``check``."""

from __future__ import annotations

from .check import check
from .running import Backprop, derive
from .text import FORMS

__all__ = ["FORMS", "Backprop", "check", "derive"]
