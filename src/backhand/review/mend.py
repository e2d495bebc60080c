"""The smallest single edit that makes a gradient right at every probe."""

from __future__ import annotations

import ast
import difflib
import io
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from .edits import (
    Edit,
    Source,
    addend_edits,
    bracket_edits,
    factor_edits,
    matmul_edits,
    name_edits,
    number_edits,
    operator_edits,
    order_edits,
    product_edits,
    reduction_edits,
    sum_edits,
    surplus_edits,
    tidied,
    token_edits,
)
from .edits_structure import function_edits, index_edits, layout_edits, storing_edits
from .evidence import Evidence

# Of two edits that are equally small the one nearer to the longhand is meant, and else the one that
# comes first here.
ORDER = (
    "sign", "operator", "matmul", "transpose", "missing-keepdim", "extra-keepdim", "axis",
    "exponent", "count", "constant", "argument", "index", "mask", "parentheses", "name",
    "duplicates", "view", "rank", "flip", "slice", "function", "over-summed", "surplus-call",
    "surplus-factor", "surplus-term", "factor", "divisor", "not-summed", "addend",
)  # fmt: skip
RANK = {kind: i for i, kind in enumerate(ORDER)}


@dataclass(frozen=True)
class Mend:
    """An edit that works: of which statement, its text afterwards, and where it is there."""

    statement: int
    edit: Edit
    before: str
    after: str
    span: tuple[int, int]
    size: int

    @property
    def old(self) -> str:
        """What stands in the place of the edit."""
        return self.before[self.span[0] : len(self.before) - (len(self.after) - self.span[1])]

    @property
    def new(self) -> str:
        return self.after[self.span[0] : self.span[1]]

    @property
    def line(self) -> str:
        return self.after.strip()


def smallest(e: Evidence, kinds: Iterable[str] | None = None) -> Mend | None:
    """The smallest edit of one of the kinds that mends the attempt, or ``None``."""
    wanted = None if kinds is None else frozenset(kinds)
    key = f"mends {sorted(wanted) if wanted else ''}"
    if key not in e.cache:
        found = [m for m in mends(e, wanted)]
        goal = Counter(_tokens(longhand(e)))
        if any(m.edit.kind == "surplus-term" for m in found):
            # another name may make the term zero that ought not to be there
            found = [m for m in found if m.edit.kind != "name" or m.new in goal]

        def cost(m: Mend) -> tuple[int, int, int]:
            mine = Counter(_tokens(m.after))
            return m.size, (goal - mine).total() + (mine - goal).total(), RANK[m.edit.kind]

        e.cache[key] = min(found, key=cost, default=None)
    result: Mend | None = e.cache[key]
    return result


def mends(e: Evidence, wanted: frozenset[str] | None = None) -> Iterator[Mend]:
    """Every edit that works. Once one of a family does, dearer families are left out."""
    for i in reversed((*e.candidate.needed, *e.candidate.own)):
        text = e.handwritten.statements[i].text
        try:
            source = Source(text)
        except SyntaxError:
            continue
        rank = max((p.truth.dim() for p in e.probes if p.truth is not None), default=2)
        found = False
        for family in _families(e, source, max(rank, 2)):
            for edit in family():
                if wanted is not None and edit.kind not in wanted:
                    continue
                new = edit.applied(source.text)
                if e.mended_by({i: new}):
                    after, span = tidied(source.text, edit)
                    found = True
                    yield Mend(i, edit, source.text, after, span, _size(source.text, after))
            if found:
                break
        if found:
            return


def _families(
    e: Evidence, source: Source, rank: int
) -> Iterator[Callable[[], Iterator[Edit]]]:
    def small() -> Iterator[Edit]:
        yield from operator_edits(source)
        yield from token_edits(source)
        yield from matmul_edits(source)
        yield from reduction_edits(source, rank)
        yield from number_edits(source, _numbers(e))
        yield from order_edits(source)
        yield from bracket_edits(source)
        yield from name_edits(source, _names(e, source))
        yield from storing_edits(source)
        yield from layout_edits(source)
        yield from index_edits(source)
        yield from function_edits(source)
        yield from surplus_edits(source)

    def large() -> Iterator[Edit]:
        yield from factor_edits(source, _factors(e))
        yield from product_edits(source, _words(e))
        yield from sum_edits(source, rank)

    def addends() -> Iterator[Edit]:
        yield from addend_edits(source, [*_names(e, source), "1", *_numbers(e)])

    yield small
    yield large
    yield addends


def _names(e: Evidence, source: Source) -> list[str]:
    """Tensors and numbers in scope: forward values, gradients, sizes."""
    if "names" not in e.cache:
        values = e.probes[0].setting.values
        out = [
            k
            for k, v in values.items()
            if isinstance(v, (torch.Tensor, int, float)) and not isinstance(v, bool)
            and k not in e.reference.overwritten
        ]
        later = e.reference.following(e.candidate.of)
        setting = e.probes[0].setting
        gradients = setting.gradients
        meant = frozenset(re.findall(r"[^\W\d]\w*", longhand(e)))

        def telling(of: str, g: torch.Tensor) -> bool:
            # one that is zero, or the same everywhere, fits in many a place by accident
            apart = (g - g.reshape(-1)[:1]).abs() > 1e-12 * setting.scale
            return e.names.label(of) in meant or g.numel() == 1 or bool(apart.any())

        out += [
            e.names.label(of)
            for of, g in gradients.items()
            if g is not None and of not in later and g.dim() + len(e.names.outputs) > 1
            if telling(of, g)
        ]
        aliases = list(e.names.aliases)
        e.cache["names"] = list(dict.fromkeys((*out, *aliases)))
    known: list[str] = e.cache["names"]
    own = {e.candidate.name, e.names.label(e.candidate.of)}
    return [n for n in known if n not in own]


def longhand(e: Evidence) -> str:
    """The longhand's lines for this gradient, in the person's names."""
    return "\n".join(e.names.spoken(use.text, e.reference.labels) for use in e.uses)


def _words(e: Evidence) -> list[str]:
    """The tensors that the longhand of this gradient reads."""
    known = _names(e, Source("x"))
    return [n for n in dict.fromkeys(re.findall(r"[^\W\d]\w*", longhand(e))) if n in known]


def _numbers(e: Evidence) -> list[str]:
    """Numbers that stand in the longhand of this gradient."""
    out: dict[str, None] = {}
    for use in e.uses:
        for node in ast.walk(ast.parse(use.text)):
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                out[repr(node.value)] = None
            elif isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
                out[ast.unparse(node)] = None
    return list(out)


def _factors(e: Evidence) -> list[str]:
    """What can be missing: tensors in scope, sizes, and the local derivatives of the longhand."""
    if "factors" not in e.cache:
        out: dict[str, None] = {}
        for use in e.uses:
            for node in ast.walk(ast.parse(e.names.spoken(use.text, e.reference.labels))):
                if isinstance(node, (ast.BinOp, ast.UnaryOp)):
                    out[ast.unparse(node)] = None
        names = _names(e, Source("x"))
        numbers = ["2", "-1", "n - 1"] if "n" in names else ["2", "-1"]
        sizes = [accessor for accessor, _ in e.sizes]
        lessened = [f"({a} - 1)" for a in sizes]
        e.cache["factors"] = list(dict.fromkeys((*out, *names, *sizes, *lessened, *numbers)))
    known: list[str] = e.cache["factors"]
    return known


def _size(before: str, after: str) -> int:
    """How many tokens an edit adds, removes or replaces."""
    a, b = _tokens(before), _tokens(after)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return sum(
        max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"
    )


def _tokens(text: str) -> list[str]:
    try:
        found = tokenize.generate_tokens(io.StringIO(text).readline)
        return [t.string for t in found if t.string.strip() and t.type != tokenize.COMMENT]
    except (tokenize.TokenError, IndentationError):
        return text.split()
