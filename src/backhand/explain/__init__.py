"""Explanations of gradients: a tree of blocks made from the executed program, and its renderers."""

from __future__ import annotations
