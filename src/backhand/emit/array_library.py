"""The helper functions of NumPy and JAX modules: their text, and which of them need which."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

LIBRARIES = ("numpy", "jax")
_FILE = Path(__file__).with_name("array_helpers.py")


def _helpers(library: str) -> dict[str, str]:
    """The source of every helper of one library, by name."""
    source = _FILE.read_text("utf-8")
    found: dict[str, str] = {}
    for part in ast.parse(source).body:
        if not isinstance(part, ast.FunctionDef):
            continue
        only, _, name = part.name.rpartition("__")
        if only and only != library:
            continue
        text = ast.get_source_segment(source, part) or ""
        text = text.replace(f"def {part.name}(", f"def _{name.lstrip('_')}(", 1)
        if library == "jax":
            text = re.sub(r"\bnp\.", "jnp.", text)
        found[f"_{name.lstrip('_')}"] = text
    return found


HELPERS: Mapping[str, Mapping[str, str]] = {name: _helpers(name) for name in LIBRARIES}


def needed(library: str, texts: Iterable[str]) -> list[str]:
    """The helpers that source mentions, and those that they need, in the file's order."""
    known = HELPERS[library]
    found: set[str] = set()
    waiting = list(texts)
    while waiting:
        text = waiting.pop()
        for name in set(re.findall(r"(?<![.\w])_[a-z]\w*(?=\()", text)) & known.keys() - found:
            found.add(name)
            waiting.append(known[name])
    return [name for name in known if name in found]
