"""The report: one self-contained page about a derivation, and the pictures on it."""

from __future__ import annotations

from .data import Closed, ReportData
from .page import Page, render

__all__ = ["Closed", "Page", "ReportData", "render"]
