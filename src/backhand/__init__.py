"""Backpropagation by hand, with a machine that checks the hand.

Importing this package is cheap: torch is loaded when `derive`, `check` or `Backprop` is
first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import BackhandError

if TYPE_CHECKING:
    from .api import Backprop, check, derive

__version__ = "0.1.0"
__all__ = ["BackhandError", "Backprop", "__version__", "check", "derive"]

_FROM_API = frozenset({"Backprop", "check", "derive"})


def __getattr__(name: str) -> Any:
    if name not in _FROM_API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(".api", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
