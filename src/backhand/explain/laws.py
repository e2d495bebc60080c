"""The algebra's laws as formulas: their statements are plain text, for proofs in the terminal."""

from __future__ import annotations

import re

from ..algebra.laws import Law
from .notation import words

_PIECE = re.compile(
    r"(?P<script>[_^])(?:\((?P<inside>[^()]*)\)|(?P<letters>\w+))"
    r"|(?P<square>²)|(?P<function>\b(?:exp|log)\b)|(?P<name>\bmean\b)"
    r"|(?P<words>\b[a-z]{2,}\b(?: [a-z]{2,}\b)*)|(?P<sign>[Σδ·≠≥−∞])"
)
_SIGNS = {
    "Σ": r"\sum", "δ": r"\delta ", "·": r" \cdot ", "≠": r" \ne ", "≥": r" \ge ", "−": "-",
    "∞": r"\infty ",
}  # fmt: skip
_FUNCTIONS = {"exp": r"\exp ", "log": r"\ln "}


def statement_tex(law: Law) -> str:
    """What a law says, as a formula."""
    return _tex(law.statement)


def _tex(text: str) -> str:
    return _PIECE.sub(_piece, text)


def _piece(found: re.Match[str]) -> str:
    if found["script"]:
        return f"{found['script']}{{{_tex(found['inside'] or ','.join(found['letters']))}}}"
    if found["square"]:
        return "^{2}"
    if found["function"]:
        return _FUNCTIONS[found["function"]]
    if found["name"]:
        return r"\mathrm{mean}"
    if found["words"]:
        return words(f" {found['words']} ")
    return _SIGNS[found["sign"]]


__all__ = ["statement_tex"]
