"""Checking gradients: every number against autograd on the user's own function."""

from __future__ import annotations

from .compare import Comparison, compare
from .verify import Report, Verdict, verify

__all__ = ["Comparison", "Report", "Verdict", "compare", "verify"]
