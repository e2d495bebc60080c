r"""The one notation of formulas: a small part of TeX, read into a tree that every printer prints.

Two things differ from TeX. Letters that stand together are one name (``other`` is an operand and no
product), so that rules name operands as the op table does. And a name may be any identifier,
underscores escaped: ``\mathrm{counts\_sum}``. What is not understood is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from ..errors import ProgramError


@dataclass(frozen=True, slots=True)
class Name:
    """A letter or a name. ``upright`` for names of programs."""

    text: str
    upright: bool = False


@dataclass(frozen=True, slots=True)
class Num:
    text: str


@dataclass(frozen=True, slots=True)
class Sign:
    """An operator, relation, bracket or piece of punctuation, by its TeX command or character."""

    tex: str


@dataclass(frozen=True, slots=True)
class Word:
    r"""Words in a formula (``\text{…}``), or the name of a function (``\ln``)."""

    text: str
    function: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A base with what stands below and above it."""

    base: Item
    sub: Item | None = None
    sup: Item | None = None


@dataclass(frozen=True, slots=True)
class Fraction:
    top: Item
    bottom: Item


@dataclass(frozen=True, slots=True)
class Root:
    inside: Item


@dataclass(frozen=True, slots=True)
class Accent:
    """``hat``, ``bar`` or ``overline`` over something."""

    mark: str
    inside: Item


Item: TypeAlias = "Name | Num | Sign | Word | Row | Script | Fraction | Root | Accent"

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ",
    "theta": "θ", "iota": "ι", "lambda": "λ", "mu": "μ", "nu": "ν", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "varphi": "φ", "psi": "ψ", "Phi": "Φ", "Gamma": "Γ",
}  # fmt: skip
FUNCTIONS = ("ln", "log", "exp", "sin", "cos", "tan", "sinh", "cosh", "tanh", "max", "min", "det")
# How a sign looks, and whether it stands between two things (with room around it).
SIGNS: dict[str, tuple[str, bool]] = {
    "+": ("+", True), "-": ("−", True), "=": ("=", True), "<": ("<", True), ">": (">", True),
    "\\le": ("≤", True), "\\ge": ("≥", True), "\\ne": ("≠", True), "\\cdot": ("·", True),
    "\\times": ("×", True), "\\circ": ("∘", True), "\\lor": ("∨", True), "\\land": ("∧", True),
    "\\to": ("→", True), "\\Rightarrow": ("⇒", True), "\\mapsto": ("↦", True),
    "\\in": ("∈", True), "\\approx": ("≈", True), ":": (":", True), "|": ("|", False),
    "\\lnot": ("¬", False), "(": ("(", False), ")": (")", False), "[": ("[", False),
    "]": ("]", False), "/": ("/", False), ",": (",", False), "\\#": ("#", False),
    "\\lfloor": ("⌊", False), "\\rfloor": ("⌋", False), "\\lVert": ("‖", False),
    "\\rVert": ("‖", False), "\\sum": ("∑", False), "\\prod": ("∏", False),
    "\\int": ("∫", False), "\\partial": ("∂", False), "\\top": ("⊤", False),
    "\\dots": ("…", False), "\\{": ("{", False), "\\}": ("}", False), "!": ("!", False),
    "\\infty": ("∞", False), "'": ("′", False), ".": (".", False), "\\ldots": ("…", False),
}  # fmt: skip
LARGE = ("\\sum", "\\prod", "\\int")
_SPACES = {"\\left", "\\right", "\\,", "\\ ", "\\;", "\\quad", "\\textstyle"}
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[^\W\d_]+\d*|\d+(?:\.\d+)?(?:e[+-]?\d+)?|\s+|.", re.DOTALL)


def texname(name: str) -> str:
    """A program's name as a formula: upright, underscores escaped."""
    return r"\mathrm{" + name.replace("_", r"\_") + "}"


def words(text: str) -> str:
    """Running text inside a formula."""
    return r"\text{" + re.sub(r"[\\{}$]", " ", text) + "}"


class _Tokens:
    def __init__(self, tex: str) -> None:
        self.tex = tex
        self.items = _TOKEN.findall(tex)
        self.at = 0

    def peek(self) -> str | None:
        while self.at < len(self.items) and self._blank(self.items[self.at]):
            self.at += 1
        return self.items[self.at] if self.at < len(self.items) else None

    @staticmethod
    def _blank(token: str) -> bool:
        return token.isspace() or token in _SPACES

    def take(self) -> str:
        token = self.peek()
        if token is None:
            raise self.fault("it ends too early")
        self.at += 1
        return token

    def raw_group(self) -> str:
        """The characters of a braced group, as they are."""
        if self.take() != "{":
            raise self.fault("a group is missing")
        depth, out = 1, ""
        while self.at < len(self.items):
            token = self.items[self.at]
            self.at += 1
            depth += (token == "{") - (token == "}")
            if not depth:
                return out
            out += token
        raise self.fault("a brace is not closed")

    def fault(self, why: str) -> ProgramError:
        return ProgramError(f"the formula {self.tex!r} is not understood: {why}")


@lru_cache(maxsize=8192)
def parse(tex: str) -> Item:
    """The tree of a formula; ``ProgramError`` for what the notation does not have."""
    tokens = _Tokens(tex)
    found = _row(tokens, None)
    if tokens.peek() is not None:
        raise tokens.fault("a brace too many")
    return found


def _row(tokens: _Tokens, end: str | None) -> Item:
    items: list[Item] = []
    while (token := tokens.peek()) is not None:
        if token == end:
            tokens.take()
            return items[0] if len(items) == 1 else Row(tuple(items))
        if token == "}":
            break
        if token in ("^", "_", "'"):
            tokens.take()
            if not items:
                raise tokens.fault(f"{token} has nothing before it")
            items[-1] = _scripted(items[-1], token, tokens)
            continue
        items.append(_item(tokens))
    if end is not None:
        raise tokens.fault(f"{end} is missing")
    return items[0] if len(items) == 1 else Row(tuple(items))


def _scripted(base: Item, token: str, tokens: _Tokens) -> Item:
    part: Item = Sign("'") if token == "'" else _argument(tokens)
    if token == "_" and isinstance(part, Name) and part.text.isalpha() and not part.upright:
        # indices are single letters: "ij" below something are two
        part = Row(tuple(map(Name, part.text))) if len(part.text) > 1 else part
    known = base if isinstance(base, Script) else Script(base)
    if (known.sub if token == "_" else known.sup) is not None:
        known = Script(known)
    if token == "_":
        return Script(known.base, part, known.sup)
    return Script(known.base, known.sub, part)


def _argument(tokens: _Tokens) -> Item:
    if tokens.peek() == "{":
        tokens.take()
        return _row(tokens, "}")
    return _item(tokens)


def _item(tokens: _Tokens) -> Item:
    token = tokens.take()
    if token == "{":
        return _row(tokens, "}")
    if token[0].isdigit():
        return Num(token)
    if token[0].isalpha():
        return Name(token)
    command = token[1:]
    if token in ("\\frac", "\\tfrac"):
        return Fraction(_argument(tokens), _argument(tokens))
    if token == "\\sqrt":
        return Root(_argument(tokens))
    if token in ("\\hat", "\\bar", "\\overline"):
        return Accent(command, _argument(tokens))
    if token == "\\text":
        return Word(tokens.raw_group())
    if token == "\\operatorname":
        return Word(tokens.raw_group(), True)
    if token in ("\\mathrm", "\\mathit"):
        return Name(tokens.raw_group().replace("\\_", "_"), token == "\\mathrm")
    if token == "\\mathbb":
        tokens.raw_group()
        return Name("𝟙", True)
    if token in SIGNS:
        return Sign(token)
    if command in GREEK:
        return Name(GREEK[command])
    if command in FUNCTIONS:
        return Word(command, True)
    raise tokens.fault(f"there is no {token}")


def names(item: Item) -> Iterator[str]:
    """Every name in a formula, in order."""
    if isinstance(item, Name):
        yield item.text
    for part in parts(item):
        yield from names(part)


def parts(item: Item) -> tuple[Item, ...]:
    """What a formula is made of, one level down."""
    if isinstance(item, Row):
        return item.items
    if isinstance(item, Script):
        return tuple(p for p in (item.base, item.sub, item.sup) if p is not None)
    if isinstance(item, Fraction):
        return item.top, item.bottom
    if isinstance(item, (Root, Accent)):
        return (item.inside,)
    return ()


def substituted(item: Item, instead: Mapping[str, Item]) -> Item:
    """The formula with other things in the place of names."""

    def again(part: Item) -> Item:
        return substituted(part, instead)

    if isinstance(item, Name):
        return instead.get(item.text, item)
    if isinstance(item, Row):
        return Row(tuple(map(again, item.items)))
    if isinstance(item, Script):
        return Script(
            again(item.base),
            None if item.sub is None else again(item.sub),
            None if item.sup is None else again(item.sup),
        )
    if isinstance(item, Fraction):
        return Fraction(again(item.top), again(item.bottom))
    if isinstance(item, Root):
        return Root(again(item.inside))
    return Accent(item.mark, again(item.inside)) if isinstance(item, Accent) else item


_LETTERS = {shown: name for name, shown in GREEK.items()}


def to_tex(item: Item) -> str:
    """The formula as TeX proper: names of several letters upright or italic as wholes."""
    if isinstance(item, Name):
        if item.text in _LETTERS:
            return f"\\{_LETTERS[item.text]}"
        if item.text == "𝟙":
            return r"\mathbb{1}"
        if item.upright:
            return texname(item.text)
        return item.text if len(item.text) == 1 else rf"\mathit{{{item.text}}}"
    if isinstance(item, Num):
        return item.text
    if isinstance(item, Sign):
        return item.tex
    if isinstance(item, Word):
        return rf"\operatorname{{{item.text}}}" if item.function else rf"\text{{{item.text}}}"
    if isinstance(item, Row):
        return _joined([to_tex(i) for i in item.items])
    if isinstance(item, Script):
        base = to_tex(item.base)
        if isinstance(item.base, (Row, Script, Fraction)):
            base = f"{{{base}}}"
        sub = "" if item.sub is None else f"_{{{to_tex(item.sub)}}}"
        if item.sup == Sign("'"):
            return f"{base}{sub}'" if not sub else f"{base}'{sub}"
        return base + sub + ("" if item.sup is None else f"^{{{to_tex(item.sup)}}}")
    if isinstance(item, Fraction):
        return rf"\frac{{{to_tex(item.top)}}}{{{to_tex(item.bottom)}}}"
    if isinstance(item, Root):
        return rf"\sqrt{{{to_tex(item.inside)}}}"
    return rf"\{item.mark}{{{to_tex(item.inside)}}}"


def _joined(parts: list[str]) -> str:
    out: list[str] = []
    last = ""  # what was written last decides alone: looking through all of it is quadratic
    for part in parts:
        # a command eats the letters after it, and two factors want a little room
        gap = " " if re.search(r"\\[A-Za-z]+$", last) or (last and part[:1].isalpha()) else ""
        factors = re.match(r"\\(?:mathrm|mathit|frac)", part) and re.search(r"[\w})\]]$", last)
        out += ("\\," if factors else gap, part)
        last = part or last
    return "".join(out)


__all__ = [
    "Accent",
    "Fraction",
    "Item",
    "Name",
    "Num",
    "Root",
    "Row",
    "Script",
    "Sign",
    "Word",
    "names",
    "parse",
    "parts",
    "substituted",
    "texname",
    "to_tex",
    "words",
]
