"""The finder that takes the attempt from the gradient in index notation: what is left is the cause.

It is asked last, as a reading takes some tenths of a second. Only a few terms or one factor are
told, and only where the mended line is right at every probe.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ..algebra import coefficients as co
from ..algebra.expr import Expr, Mono
from ..algebra.normal import mul, neg, power, term
from ..algebra.simplify import lightness
from .algebra import LONGEST, REFUSALS, Both, readings
from .edits import Source
from .evidence import Evidence
from .result import Cause

MOST_TERMS = 2  # that differ; more are another formula
MOST_FACTORS = 2  # of the one that is missing


def by_algebra(e: Evidence) -> Cause | None:
    """The terms, or the factor, by which the attempt differs from the gradient."""
    value, truth = e.given.value, e.given.truth
    if not isinstance(value, torch.Tensor) or truth is None or value.shape != truth.shape:
        return None
    if not e.allowance.take():
        return None
    more = _with_temporaries(e)
    for evidence in (more, e) if more is not e else (e,):
        try:
            causes = [_by_factor(found) or _by_terms(found) for found in readings(evidence)]
        except REFUSALS:
            continue
        return min(filter(None, causes), key=lambda c: len(c.message), default=None)
    return None


def _with_temporaries(e: Evidence) -> Evidence:
    """The evidence with every temporary that stands before the line: its mend may read them."""
    statements = e.handwritten.statements
    mine = {*e.candidate.needed, *e.candidate.own}
    writers: dict[str, set[int]] = {}
    for i in range(e.candidate.index):
        for name in statements[i].writes:
            writers.setdefault(name, set()).add(i)
    for i in range(e.candidate.index):
        s = statements[i]
        temporary = not s.blank and i not in e.own.errors and not any(map(e.names.of, s.writes))
        known = all(
            e.names.of(r) in e.read if e.names.of(r) else writers.get(r, set()) <= mine
            for r in s.reads
        )
        if temporary and known and s.writes:
            mine.add(i)
    needed = tuple(sorted(mine - {*e.candidate.own}))
    if needed == e.candidate.needed:
        return e
    return replace(e, candidate=replace(e.candidate, needed=needed))


# one factor


def _by_factor(found: Both) -> Cause | None:
    """The attempt as a whole, times one factor, is the gradient."""
    for factor in _quotients(found.mine, found.right):
        if any(len(mono.factors) > MOST_FACTORS for mono, _ in factor.terms):
            continue
        code, said = _factor_said(found, factor)
        if code:
            return _told(found, code, said, factor=found.text(factor))
    return None


def _quotients(mine: Expr, right: Expr) -> Iterator[Expr]:
    """What the attempt has to be multiplied with, term by term, to be the gradient."""
    if len(mine.terms) == len(right.terms):
        for mono, c in mine.terms:
            divisor = term(co.power(c, -1), [(a, -q) for a, q in mono.factors])
            factor = mul(Expr(right.terms[:1]), divisor)
            if not factor.linear and mul(factor, mine) == right and not _of_flags(factor):
                yield factor


def _of_flags(factor: Expr) -> bool:
    """Whether it divides by something that is 0 or 1."""
    return any(a.flag and q < 0 for mono, _ in factor.terms for a, q in mono.factors)


# terms


@dataclass(frozen=True)
class _Change:
    """A term that is missing (``mine`` is none), too much (``right`` is), or another one."""

    mine: Expr | None
    right: Expr | None


def _by_terms(found: Both) -> Cause | None:
    """A few terms are missing or too much, and all others are as they should be."""
    left = found.difference
    count = len(left.terms)
    if not 1 <= count <= MOST_TERMS or count >= len(found.mine.terms) + len(found.right.terms):
        return None
    changes = _paired([_change(found, mono, c) for mono, c in left.terms])
    texts: list[tuple[str, str]] = []
    other: list[str] = []
    codes: set[str] = set()
    for change in changes:
        mine, right = (found.text(x) if x else "" for x in (change.mine, change.right))
        if (change.mine and not mine) or (change.right and not right):
            return None
        texts.append((mine, right))
        if change.mine and change.right:
            code, words = _exchanged(found, change.mine, change.right, mine, right)
            codes.add(code)
            other.append(words)
        else:
            codes.add("surplus-term" if mine else "missing-term")
    missing = _terms([right for mine, right in texts if not mine], "missing")
    surplus = _terms([mine for mine, right in texts if not right], "too much")
    said = ", and ".join(filter(None, (*other, missing, surplus)))
    return _told(found, next(c for c in CODES if c in codes), said, texts=texts)


# Where several changes have one code each, the first of these is told.
CODES = ("wrong-term", "missing-term", "wrong-factor", "surplus-term", "surplus-factor", "sign")


def _terms(texts: Sequence[str], how: str) -> str:
    if len(texts) < 2:
        return "".join(f"the term `{text}` is {how}" for text in texts)
    return f"the terms {' and '.join(f'`{text}`' for text in texts)} are {how}"


def _exchanged(
    found: Both, mine: Expr, right: Expr, text: str, better: str
) -> tuple[str, str]:
    """The code and the words for a term in whose place another one should be."""
    for factor in _quotients(mine, right):
        if factor.constant == -1:
            return "sign", f"the term `{text}` has the wrong sign"
        code, words = _factor_said(found, factor)
        plain = all(abs(c) == 1 for _, c in factor.terms) and len(words) < len(text) + len(better)
        if code and (plain or factor.constant is not None):
            return code, f"{words} in the term `{text}`"
    return "wrong-term", f"I expected the term `{better}` where yours is `{text}`"


def _factor_said(found: Both, factor: Expr) -> tuple[str, str]:
    """A factor that is missing, or whose inverse is too much, whichever is simpler to say."""
    missing, surplus = found.text(factor), found.text(power(factor, -1))
    if not missing or not surplus:
        return "", ""
    size = found.size(factor)
    over = len(surplus) < len(missing) if size is None else size < 1
    if over:
        return "surplus-factor", f"the factor `{surplus}` is too much"
    return "wrong-factor", f"the factor `{missing}` is missing"


def _change(found: Both, mono: Mono, c: co.Coefficient) -> _Change:
    """What a term of the difference is, by what the attempt and the gradient have of it."""
    mine, right = (x.by_mono.get(mono) for x in (found.mine, found.right))
    if mine is not None and right is not None:
        return _Change(Expr([(mono, mine)]), Expr([(mono, right)]))
    alone = Expr([(mono, c)])
    over = mine is not None
    if mine is None and right is None:  # it was taken together with others
        over = lightness(found.mine) > lightness(found.right)
    return _Change(neg(alone), None) if over else _Change(None, alone)


def _paired(changes: list[_Change]) -> list[_Change]:
    """One term that is too much and one that is missing: the second in place of the first."""
    surplus = [c.mine for c in changes if c.right is None]
    missing = [c.right for c in changes if c.mine is None]
    if len(changes) == 2 and len(surplus) == len(missing) == 1:
        return [_Change(surplus[0], missing[0])]
    return changes


# the mended line


def _told(
    found: Both,
    code: str,
    said: str,
    factor: str = "",
    texts: Sequence[tuple[str, str]] = (),
) -> Cause | None:
    """The cause, if the line is right at every probe once it is mended as ``said``."""
    e = found.evidence
    i = e.candidate.own[-1]
    statement = e.handwritten.statements[i]
    claimed = _mended(e, statement.text, factor, texts)
    if not claimed or not e.mended_by({i: claimed}):
        return None
    fix = claimed
    if factor or any(mine for mine, _ in texts):
        # nothing is added only: the whole line, written anew, is the better answer
        whole = found.text(found.right, whole=True)
        anew = f"{e.candidate.name} = {whole}"
        if whole and e.mended_by({i: anew}):
            fix = anew
    where = f"`{' '.join(statement.text.split())}`"
    if len(e.candidate.own) > 1 or len(where) > LONGEST + 20:
        where = e.candidate.name
    return Cause(code, f"In {where}, {said}", fix.strip(), statement.line)


def _mended(e: Evidence, text: str, factor: str, texts: Sequence[tuple[str, str]]) -> str:
    """The statement with the factor or the terms put in and taken out."""
    ending = "".join(
        part for mine, right in texts for part in (_signed("-", mine), _signed("+", right))
    )
    try:
        source = Source(text)
    except SyntaxError:
        return ""
    (node,) = source.tree.body
    targets = node.targets if isinstance(node, ast.Assign) else ()
    plain = len(targets) == 1 and isinstance(targets[0], ast.Name)
    adds = isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add)
    named = isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    if (plain or (adds and named and not factor)) and isinstance(node, (ast.Assign, ast.AugAssign)):
        start, end = source.span(node.value)
        value = _bracketed(source.text[start:end], loose=not factor)
        ending = f" * ({factor})" if factor else ending
        return f"{source.text[:start]}{value}{ending}{source.text[end:]}"
    name = e.candidate.name
    more = f"{name} * ({factor})" if factor else f"{name}{ending}"
    return f"{textwrap.dedent(text)}\n{name} = {more}"


def _signed(sign: str, text: str) -> str:
    """A term with an operator before it; a sign of its own goes into that. Nothing of no term."""
    if text.startswith("-") and _is_product(text):
        sign, text = ("+" if sign == "-" else "-"), text[1:]
    return f" {sign} {_bracketed(text, loose=sign == '+')}" if text else ""


def _is_product(text: str) -> bool:
    """Whether a sign at the beginning is that of the whole."""
    node = ast.parse(text, mode="eval").body
    while isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div, ast.MatMult)):
        node = node.left
    return isinstance(node, ast.UnaryOp)


def _bracketed(text: str, loose: bool = False) -> str:
    """A term in brackets, if it would come apart; ``loose``: sums stay without."""
    node = ast.parse(f"({text})", mode="eval").body
    binary = isinstance(node, ast.BinOp)
    closed = isinstance(node, (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant))
    if isinstance(node, ast.BinOp):
        sums = isinstance(node.op, (ast.Add, ast.Sub))
        products = isinstance(node.op, (ast.Mult, ast.Div, ast.Pow, ast.MatMult))
        closed = products or (sums and loose)
    if isinstance(node, ast.UnaryOp):
        closed = loose and not isinstance(node.op, ast.Not)
    return text if closed and (binary or "\n" not in text) else f"({text})"


__all__ = ["by_algebra"]
