"""Explanations of gradients: a tree of blocks made from the executed program, and its renderers."""

from __future__ import annotations

from .blocks import Explanation
from .explanations import Explanations
from .gradient import explained
from .source import Closed, Source

__all__ = ["Closed", "Explanation", "Explanations", "Source", "explained"]
