"""Backpropagation by hand, with a machine that checks the hand.

Importing this package is cheap: torch is loaded when `derive`, `check` or `Backprop` is first
asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import BackhandError

if TYPE_CHECKING:
    from .api import Backprop, check, derive

__version__ = "0.1.0"
__all__ = ["BackhandError", "Backprop", "__version__", "check", "derive"]

# By name, the module it is in. The last makes `%load_ext backhand` work.
_LAZY = {
    "Backprop": ".api",
    "check": ".api",
    "derive": ".api",
    "load_ipython_extension": ".api.notebook",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
