"""Wrong rules, planted on purpose: for each the checks that have to see it.

A rule is written as ``rules/`` writes it, with one mistake in it that a person could make.
"""

from . import formulas, later, places
from .base import BROKEN, PLANTED, REFUSED, Planted
from .later import FORMULAS, REFERENCES

__all__ = [
    "BROKEN",
    "FORMULAS",
    "PLANTED",
    "REFERENCES",
    "REFUSED",
    "Planted",
    "formulas",
    "later",
    "places",
]
