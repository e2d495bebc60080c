"""Program to source text."""

from __future__ import annotations

from .python import Line, Printer

__all__ = ["Line", "Printer"]
