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

_MARKS = {"hat": "^", "bar": "¯", "overline": "¯"}


@lru_cache(maxsize=8192)
def mathml(tex: str, display: bool = False) -> str:
    """A whole ``<math>`` element; with ``display`` fractions and sums are as large as they can."""
    kind = ' displaystyle="true"' if display else ""
    return f"<math{kind}><mrow>{_inside(parse(tex))}</mrow></math>"


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


__all__ = ["mathml"]
