"""Formulas as MathML Core, which browsers show without scripts or fonts; every text escaped."""

from __future__ import annotations

from functools import lru_cache
from html import escape

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

LONG = 40  # characters of TeX that fit on any screen
OPENING, CLOSING = ("(", "[", "\\{", "\\lfloor"), (")", "]", "\\}", "\\rfloor")
BREAKS = ("+", "-", "=")
_MARKS = {"hat": "^", "bar": "¯", "overline": "¯"}


@lru_cache(maxsize=8192)
def mathml(tex: str, display: bool = False) -> str:
    """A whole ``<math>`` element; with ``display`` fractions and sums are as large as they can."""
    kind = ' displaystyle="true"' if display else ""
    return f"<math{kind}><mrow>{_inside(parse(tex))}</mrow></math>"


@lru_cache(maxsize=8192)
def wrapping(tex: str) -> str:
    """A formula as large as it can be; a long one in several elements, so that it may wrap.

    A ``<math>`` element stays on one line: a sum of many terms would leave the screen, or the page.
    """
    parts = _terms(parse(tex)) if len(tex) > LONG else []
    if len(parts) < 2:
        return mathml(tex, True)
    first, *rest = (f"<mrow>{_inside(Row(tuple(items)))}</mrow>" for items in parts)
    # a sign at the beginning of an element is still one between two terms
    rest = [part.replace("<mo>", '<mo form="infix">', 1) for part in rest]
    return "<wbr>".join(f'<math displaystyle="true">{part}</math>' for part in (first, *rest))


def _terms(item: Item) -> list[list[Item]]:
    """The terms of a sum outside all brackets, each with the sign before it, relations as well."""
    out: list[list[Item]] = [[]]
    depth = 0
    for part in item.items if isinstance(item, Row) else (item,):
        if isinstance(part, Sign):
            depth += (part.tex in OPENING) - (part.tex in CLOSING)
            if depth == 0 and part.tex in BREAKS and out[-1] and not _open(out[-1][-1]):
                out.append([])
        out[-1].append(part)
    return out


def _open(item: Item) -> bool:
    """Whether something has to follow: a sign after it stands before a term, not between two."""
    return isinstance(item, Sign) and item.tex not in CLOSING


def _inside(item: Item) -> str:
    if not isinstance(item, Row):
        return _one(item)
    out, before = "", None
    for part in item.items:
        if before is not None and _factor(before) and _factor(part):
            out += '<mspace width="0.2em"></mspace>'
        out += _one(part)
        before = part
    return out


def _factor(item: Item) -> bool:
    """Whether it is a thing that stands beside another as a factor, and would run into it."""
    core = item.base if isinstance(item, Script) else item
    return isinstance(core, (Name, Fraction, Root))


def _one(item: Item) -> str:
    if isinstance(item, Name):
        # one letter is italic by itself; the names of programs are upright like code
        upright = ' mathvariant="normal"' if item.upright and len(item.text) == 1 else ""
        return f"<mi{upright}>{escape(item.text)}</mi>"
    if isinstance(item, Num):
        return f"<mn>{escape(item.text)}</mn>"
    if isinstance(item, Sign):
        return _sign(item)
    if isinstance(item, Word):
        if item.function:
            return f"<mi>{escape(item.text)}</mi><mo>&#x2061;</mo>"
        return f"<mtext>{escape(item.text).replace(' ', '&#xA0;')}</mtext>"
    if isinstance(item, Row):
        return f"<mrow>{_inside(item)}</mrow>"
    if isinstance(item, Script):
        return _script(item)
    if isinstance(item, Fraction):
        return f"<mfrac><mrow>{_inside(item.top)}</mrow><mrow>{_inside(item.bottom)}</mrow></mfrac>"
    if isinstance(item, Root):
        return f"<msqrt>{_inside(item.inside)}</msqrt>"
    mark = _MARKS[item.mark]
    return f'<mover accent="true"><mrow>{_inside(item.inside)}</mrow><mo>{mark}</mo></mover>'


def _sign(item: Sign) -> str:
    shown, between = SIGNS[item.tex]
    if between or item.tex in LARGE:
        return f"<mo>{escape(shown)}</mo>"
    return f'<mo stretchy="false">{escape(shown)}</mo>'


def _script(item: Script) -> str:
    base = f"<mrow>{_inside(item.base)}</mrow>"
    large = isinstance(item.base, Sign) and item.base.tex in LARGE
    if large:
        base = _one(item.base)
    sub = "" if item.sub is None else f"<mrow>{_inside(item.sub)}</mrow>"
    sup = "" if item.sup is None else f"<mrow>{_inside(item.sup)}</mrow>"
    both, below, above = ("munderover", "munder", "mover") if large else ("msubsup", "msub", "msup")
    if sub and sup:
        return f"<{both}>{base}{sub}{sup}</{both}>"
    return f"<{below}>{base}{sub}</{below}>" if sub else f"<{above}>{base}{sup}</{above}>"


__all__ = ["mathml", "wrapping"]
