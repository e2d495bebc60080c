"""Review: a backward pass that somebody wrote by hand, judged line by line."""

from __future__ import annotations

from .handwritten import Handwritten, Statement
from .judge import review
from .result import Cause, Gradient, Review

__all__ = ["Cause", "Gradient", "Handwritten", "Review", "Statement", "review"]
