"""Formulas in Unicode on one line, as a terminal shows them."""

from __future__ import annotations

from functools import lru_cache

from .notation import (
    LARGE,
    SIGNS,
    Fraction,
    Item,
    Name,
    Num,
    Root,
    Row,
    Script,
    Sign,
    Word,
    parse,
)

_ABOVE = dict(zip("0123456789+−()ni⊤′", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱᵀ′", strict=True))
_BELOW = dict(
    zip("0123456789+−()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True)
)
_MARKS = {"hat": "\u0302", "bar": "\u0304", "overline": "\u0305"}


@lru_cache(maxsize=8192)
def plain(tex: str) -> str:
    """The formula as one line of text."""
    return _text(parse(tex))


def _text(item: Item) -> str:
    if isinstance(item, (Name, Num, Word)):
        return item.text
    if isinstance(item, Sign):
        return SIGNS[item.tex][0]
    if isinstance(item, Row):
        return _row(item)
    if isinstance(item, Script):
        return _script(item)
    if isinstance(item, Fraction):
        return f"{_bracketed(item.top, '·')}/{_bracketed(item.bottom)}"
    if isinstance(item, Root):
        inside = _text(item.inside)
        return f"√{inside}" if len(inside) == 1 else f"√({inside})"
    inside = _text(item.inside)
    return inside + _MARKS[item.mark] if len(inside) == 1 else f"¬({inside})"


def _bracketed(item: Item, free: str = "") -> str:
    """In brackets unless it is one thing (or a product, where ``free`` has its sign)."""
    text = _text(item)
    if not isinstance(item, Row) or _is_group(item):
        return text
    if [i.tex for i in item.items[:1] if isinstance(i, Sign)] == ["\\partial"]:
        return text
    signs = {SIGNS[i.tex][0] for i in _outside(item) if isinstance(i, Sign)}
    return text if free and not signs & set("+−/=<>≤≥") else f"({text})"


def _is_group(row: Row) -> bool:
    """Whether one pair of brackets holds everything."""
    depth = 0
    for k, item in enumerate(row.items):
        core = _core(item)
        if isinstance(core, Sign):
            depth += (core.tex in "([") - (core.tex in ")]")
        if depth == 0:
            return k == len(row.items) - 1
    return False


def _outside(row: Row) -> list[Item]:
    """What stands outside of all brackets."""
    depth, out = 0, []
    for item in row.items:
        core = _core(item)
        if isinstance(core, Sign) and core.tex in ")]":
            depth -= 1
        if depth == 0:
            out.append(item)
        if isinstance(core, Sign) and core.tex in "([":
            depth += 1
    return out


def _core(item: Item) -> Item:
    return item.base if isinstance(item, Script) else item


def _row(row: Row) -> str:
    out = ""
    before: Item | None = None
    for item in row.items:
        text = _text(item)
        if isinstance(item, Sign) and SIGNS[item.tex][1]:
            # a minus in front of something belongs to it
            lone = item.tex in ("-", "+") and (before is None or _opens(before))
            out += text if lone or item.tex == "\\cdot" else f" {text} "
        elif before is not None and _factors(before, item):
            out += f"·{text}" if _word(before) and _word(item) else f" {text}"
        else:
            out += text
        if isinstance(item, Sign) and item.tex == ",":
            out += " "
        before = item
    return " ".join(out.split())


def _opens(item: Item) -> bool:
    return isinstance(item, Sign) and (SIGNS[item.tex][1] or item.tex in ("(", "[", ",", "/"))


def _word(item: Item) -> bool:
    base = item.base if isinstance(item, Script) else item
    return not isinstance(base, Sign) and not isinstance(base, Word)


def _factors(before: Item, item: Item) -> bool:
    """Whether two things stand side by side as factors do, and need something between them."""
    core = _core(item)
    if isinstance(core, Sign) and core.tex in (")", "]", "\\rfloor", "\\rVert", "|", "\\}", ","):
        return False
    if isinstance(before, Word) or isinstance(item, Word):
        if isinstance(before, Sign):
            return before.tex in (")", "]")
        if isinstance(item, Sign):
            return _large(item)
        spaced = (before.text if isinstance(before, Word) else "").endswith(" ")
        return not (spaced or (isinstance(item, Word) and item.text.startswith(" ")))
    large = isinstance(before, Script) and isinstance(before.base, Sign)
    if large or (isinstance(before, Sign) and before.tex in LARGE):
        return not (isinstance(item, Sign) and not _large(item))
    if isinstance(before, Sign) or isinstance(item, Sign):
        return _large(item) and not _opens(before)
    return not isinstance(before, Num) or not isinstance(item, (Name, Script, Root)) or _long(item)


def _large(item: Item) -> bool:
    base = item.base if isinstance(item, Script) else item
    return isinstance(base, Sign) and base.tex in LARGE


def _long(item: Item) -> bool:
    base = item.base if isinstance(item, Script) else item
    return isinstance(base, Name) and len(base.text) > 1


def _script(item: Script) -> str:
    base = _text(item.base)
    if isinstance(item.base, (Row, Fraction)):
        base = f"({base})"
    named = isinstance(item.base, Name) and (item.base.upright or len(item.base.text) > 1)
    if item.sub is not None:
        sub = _indices(item.sub)
        small = _raised(sub.replace(", ", "").replace(",", "") if _digits(sub) else sub, _BELOW)
        if named:
            base += f"[{sub}]"
        elif small:
            base += small
        else:
            base += f"_({sub})" if _spaced(sub) else f"_{sub}"
    if item.sup is not None:
        sup = _text(item.sup)
        small = _raised(sup, _ABOVE)
        bare = len(sup) == 1 or sup.replace(".", "").isdigit()
        base += small or (f"^{sup}" if bare else f"^({sup})")
    return base


def _indices(item: Item) -> str:
    """Letters below something stand side by side: they are indices and no product."""
    if isinstance(item, Row) and all(isinstance(i, (Name, Num)) for i in item.items):
        return "".join(map(_text, item.items))
    return _text(item)


def _digits(text: str) -> bool:
    """Whether indices can stand side by side: each of them one character."""
    return all(len(part) == 1 for part in text.replace(" ", "").split(","))


def _spaced(text: str) -> bool:
    return " " in text or len(text) > 3


def _raised(text: str, small: dict[str, str]) -> str:
    return "".join(small[c] for c in text) if text and all(c in small for c in text) else ""


__all__ = ["plain"]
