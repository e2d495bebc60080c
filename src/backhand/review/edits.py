"""Single edits of a statement: what a person may have meant to write instead.

An edit replaces one stretch of the text. Nothing here knows which edit is right: that is tried out.
"""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

SWAPS: dict[type[ast.operator], tuple[tuple[str, str], ...]] = {
    ast.Add: (("-", "sign"), ("*", "operator")),
    ast.Sub: (("+", "sign"), ("*", "operator")),
    ast.Mult: (("/", "operator"), ("@", "operator"), ("+", "operator"), ("-", "operator")),
    ast.Div: (("*", "operator"),),
    ast.MatMult: (("*", "operator"),),
    ast.Pow: (("*", "operator"),),
}
SIGNS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
    ast.Pow: "**",
}
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
REDUCTIONS = frozenset({"sum", "mean", "amax", "max", "amin", "min", "prod", "var", "std"})
ACCUMULATING = {"scatter_": "scatter_add_", "index_copy_": "index_add_", "scatter": "scatter_add"}
AXES = ("0", "1", "-1", "-2", "2")


@dataclass(frozen=True)
class Edit:
    """One change of a text: where, to what, and of which kind."""

    start: int
    end: int
    old: str
    new: str
    kind: str
    factor: str = ""

    def applied(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]


class Source:
    """A statement's text with the places of its parts."""

    def __init__(self, text: str) -> None:
        self.text = textwrap.dedent(text)
        self.tree = ast.parse(self.text)
        self.starts = [0]
        for line in self.text.split("\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.lines = self.text.split("\n")
        self.parents = {
            child: parent
            for parent in ast.walk(self.tree)
            for child in ast.iter_child_nodes(parent)
        }

    def span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, (ast.expr, ast.stmt, ast.keyword))
        return self._place(node.lineno, node.col_offset), self._place(
            node.end_lineno or node.lineno, node.end_col_offset or 0
        )

    def _place(self, line: int, column: int) -> int:
        before = self.lines[line - 1].encode()[:column].decode()
        return self.starts[line - 1] + len(before)

    def of(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def atom(self, node: ast.expr) -> str:
        """The text of a part, in brackets where a dot or an index after it would bind wrongly."""
        loose = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Lambda)
        return f"({self.of(node)})" if isinstance(node, loose) else self.of(node)

    def edit(self, node: ast.AST, new: str, kind: str, factor: str = "") -> Edit:
        start, end = self.span(node)
        wrapped = f"({new})" if isinstance(node, ast.expr) else new
        return Edit(start, end, self.text[start:end], wrapped, kind, factor)

    @cached_property
    def expressions(self) -> list[ast.expr]:
        """Every expression that is computed, outermost first."""
        return [n for n in ast.walk(self.tree) if isinstance(n, ast.expr) and not _stored(n)]

    @cached_property
    def values(self) -> list[ast.expr]:
        """What the statement assigns."""
        return [
            n.value
            for n in ast.walk(self.tree)
            if isinstance(n, (ast.Assign, ast.AugAssign, ast.Return)) and n.value is not None
        ]

    @cached_property
    def places(self) -> list[ast.expr]:
        """Where a factor can be missing: values, the terms of sums, and what is reduced."""
        found: list[ast.expr] = []
        for value in self.values:
            found += self._places(value)
        return list(dict.fromkeys(found))

    def _places(self, node: ast.expr) -> Iterator[ast.expr]:
        yield node
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.MatMult)):
            yield from self._places(node.left)
            yield from self._places(node.right)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
            for side in (node.left, node.right):
                if isinstance(side, (ast.BinOp, ast.Call, ast.UnaryOp)):
                    yield from self._places(side)
        elif isinstance(node, ast.UnaryOp):
            yield from self._places(node.operand)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if not (isinstance(owner, ast.Name) and owner.id in ("torch", "F", "np")):
                yield from self._places(owner)
            for arg in node.args:
                if isinstance(arg, (ast.Name, ast.BinOp)):
                    yield from self._places(arg)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            yield from self._places(node.left)
        elif isinstance(node, ast.Attribute):
            yield from self._places(node.value)


def _stored(node: ast.expr) -> bool:
    return isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del))


def operator_edits(s: Source) -> Iterator[Edit]:
    """Another operator, a sign, operands the other way round."""
    for value in s.values:
        if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
            yield s.edit(value, s.of(value.operand), "sign")
        else:
            yield s.edit(value, f"-({s.of(value)})", "sign")
    for node in s.expressions:
        if isinstance(node, ast.BinOp):
            left, right = f"({s.of(node.left)})", f"({s.of(node.right)})"
            for sign, kind in SWAPS.get(type(node.op), ()):
                if _one(node.right) and sign in ("*", "/"):
                    continue  # times one is no correction
                yield s.edit(node, f"{left} {sign} {right}", kind)
            if isinstance(node.op, ast.Sub):
                yield s.edit(node, f"{right} - {left}", "sign")
            if isinstance(node.op, (ast.Div, ast.Pow)):
                yield s.edit(node, f"{right} {SIGNS[type(node.op)]} {left}", "operator")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            kind = "exponent" if _in_exponent(s, node) else "sign"
            yield s.edit(node, s.of(node.operand), kind)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = s.of(node.left), s.of(node.comparators[0])
            for op, sign in COMPARISONS.items():
                if op is not type(node.ops[0]):
                    yield s.edit(node, f"{left} {sign} {right}", "mask")
    for place in s.places:
        inside = isinstance(s.parents.get(place), (ast.BinOp, ast.Call, ast.Attribute))
        if inside and isinstance(place, (ast.Name, ast.BinOp, ast.Call)):
            yield s.edit(place, f"-({s.of(place)})", "sign")
    for update in ast.walk(s.tree):
        if isinstance(update, ast.AugAssign) and type(update.op) in (ast.Add, ast.Sub):
            other = "-=" if isinstance(update.op, ast.Add) else "+="
            new = f"{s.of(update.target)} {other} {s.of(update.value)}"
            yield s.edit(update, new, "sign")


def token_edits(s: Source) -> Iterator[Edit]:
    """Another operator sign in the text as it stands, whatever then binds to what."""
    for node in s.expressions:
        if not isinstance(node, ast.BinOp) or isinstance(node.op, ast.MatMult):
            continue
        sign = SIGNS.get(type(node.op))
        between = s.span(node.left)[1], s.span(node.right)[0]
        at = s.text.find(sign or "\n", *between)
        if sign is None or at < 0:
            continue
        for new in ("+", "-", "*", "/", "**"):
            if new != sign and not (_one(node.right) and new in ("*", "/", "**")):
                kind = "sign" if {sign, new} == {"+", "-"} else "operator"
                kind = "exponent" if "**" in (sign, new) else kind
                yield Edit(at, at + len(sign), sign, new, kind)


def _one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 1


def _in_exponent(s: Source, node: ast.AST) -> bool:
    parent = s.parents.get(node)
    return isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Pow) and parent.right is node


def matmul_edits(s: Source) -> Iterator[Edit]:
    """The eight ways to multiply two matrices; a transpose more or less anywhere."""
    for node in s.expressions:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            a, b = _untransposed(s, node.left), _untransposed(s, node.right)
            present = s.of(node)
            for (x, y), tx, ty in itertools.product(((a, b), (b, a)), ("", ".T"), ("", ".T")):
                new = f"{x}{tx} @ {y}{ty}"
                if new != present:
                    yield s.edit(node, new, "matmul")
    for node in s.expressions:
        if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
            yield s.edit(node, s.of(node.value), "transpose")
        elif isinstance(node, (ast.Name, ast.Call)) and not isinstance(
            s.parents.get(node), (ast.Attribute, ast.Call)
        ):
            yield s.edit(node, f"{s.of(node)}.T", "transpose")


def _untransposed(s: Source, node: ast.expr) -> str:
    if isinstance(node, ast.Attribute) and node.attr == "T":
        node = node.value
    text = s.of(node)
    return text if isinstance(node, (ast.Name, ast.Call, ast.Attribute, ast.Subscript)) else (
        f"({text})"
    )


def reduction_edits(s: Source, rank: int) -> Iterator[Edit]:
    """Another axis, ``keepdim`` or not, a sum that is missing or too many, a mean for a sum."""
    for node in s.expressions:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, owner = node.func.attr, s.atom(node.func.value)
        if name in REDUCTIONS:
            axis, keeps = _arguments(s, node)
            kept = ", keepdim=True" if keeps else ""
            other = "" if keeps else ", keepdim=True"
            if axis:
                kind = "extra-keepdim" if keeps else "missing-keepdim"
                yield s.edit(node, f"{owner}.{name}({axis}{other})", kind)
            pairs = [f"({a}, {b})" for a, b in itertools.combinations(range(rank), 2)]
            for new in (*AXES, *pairs):
                if new != axis:
                    yield s.edit(node, f"{owner}.{name}({new}{kept})", "axis")
                    yield s.edit(node, f"{owner}.{name}({new}{other})", "axis")
            if axis:
                yield s.edit(node, f"{owner}.{name}()", "axis")
            yield s.edit(node, owner, "over-summed")
            for swapped in {"sum": ("mean",), "mean": ("sum",)}.get(name, ()):
                yield s.edit(node, f"{owner}.{swapped}({axis}{kept})", "count")
        for i, arg in enumerate(node.args):
            whole = isinstance(arg, ast.Constant) and type(arg.value) is int
            if whole and name not in REDUCTIONS and (i or name in ("unsqueeze", "argmax", "flip")):
                for new in ("0", "1", "2", "-1"):
                    if new != s.of(arg):
                        yield s.edit(arg, new, "axis")


def product_edits(s: Source, names: Iterable[str]) -> Iterator[Edit]:
    """A matrix factor that is missing."""
    for value in s.values:
        text = s.atom(value)
        for name in names:
            for new in (f"{text} @ {name}", f"{name} @ {text}", f"{text} @ {name}.T"):
                yield s.edit(value, new, "factor", name)
            for new in (f"{name}.T @ {text}", f"{text}.T @ {name}", f"{name} @ {text}.T"):
                yield s.edit(value, new, "factor", name)


def sum_edits(s: Source, rank: int) -> Iterator[Edit]:
    """A sum that undoes a broadcast and is missing."""
    for node in s.places:
        for axis in (*map(str, range(rank)), "(0, 1)"):
            for kept in (", keepdim=True", ""):
                yield s.edit(node, f"({s.of(node)}).sum({axis}{kept})", "not-summed")
    for value in s.values:
        yield s.edit(value, f"({s.of(value)}).sum()", "not-summed")


def _arguments(s: Source, call: ast.Call) -> tuple[str, bool]:
    """A reduction's axis as text, and whether it keeps it."""
    axis, keeps = "", False
    for i, arg in enumerate(call.args):
        if i == 0:
            axis = s.of(arg)
        elif isinstance(arg, ast.Constant):
            keeps = bool(arg.value)
    for keyword in call.keywords:
        if keyword.arg in ("dim", "axis"):
            axis = s.of(keyword.value)
        elif keyword.arg in ("keepdim", "keepdims") and isinstance(keyword.value, ast.Constant):
            keeps = bool(keyword.value.value)
    return axis, keeps


def number_edits(s: Source, others: Sequence[str]) -> Iterator[Edit]:
    """Another constant or exponent, another index. ``others`` are numbers of the right answer."""
    for node in s.expressions:
        if not isinstance(node, ast.Constant) or type(node.value) not in (int, float):
            continue
        value = node.value
        assert isinstance(value, (int, float))
        kind = _number_kind(s, node)
        if kind == "axis":
            continue
        near = [value + 1, value - 1, -value, 2 * value]
        near += [value / 2] if value % 2 == 0 or isinstance(value, float) else []
        near += [1 / value] if value and kind != "index" else []
        if kind == "exponent":
            near += [value - 0.5, value + 0.5, value - 2, value + 2]
        elif isinstance(value, float):
            near += [value * 10, value / 10]
        if kind == "constant":
            near = [v for v in near if v]  # a factor of zero is no correction
        texts = [repr(v) for v in near if v != value]
        for text in dict.fromkeys((*texts, *others)):
            yield s.edit(node, text, kind)
    for node in s.expressions:
        parent = s.parents.get(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            yield s.edit(node, s.of(node.left), "exponent")
            for text in ("-1", "2", "-2", "0.5", "-0.5", "-1.5", "3", "-3"):
                yield s.edit(node, f"({s.of(node.left)})**{text}", "exponent")
        elif isinstance(node, (ast.Name, ast.BinOp)) and isinstance(
            parent, (ast.BinOp, ast.UnaryOp)
        ):
            for text in dict.fromkeys(("2", "-1", "-2", *others)):
                yield s.edit(node, f"({s.of(node)})**{text}", "exponent")
        if isinstance(node, ast.Name) and isinstance(parent, (ast.BinOp, ast.Call)):
            for text in ("- 1", "+ 1"):
                yield s.edit(node, f"{node.id} {text}", "count")
        shifted = isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Sub, ast.Add))
        if shifted and isinstance(node, ast.BinOp) and isinstance(node.right, ast.Constant):
            lessened = node.right.value in (1, 2)
            yield from [s.edit(node, s.of(node.left), "count")] if lessened else []


def _number_kind(s: Source, node: ast.expr) -> str:
    if isinstance(node.value if isinstance(node, ast.Constant) else None, bool):
        return "constant"
    parent: ast.AST | None = node
    while parent is not None and not isinstance(parent, ast.stmt):
        above = s.parents.get(parent)
        if isinstance(above, ast.Slice):
            return "slice"
        if isinstance(above, ast.Subscript) and above.slice is parent:
            return "index"
        if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Pow) and above.right is parent:
            return "exponent"
        if isinstance(above, ast.Call) and parent is not above.func:
            function = above.func
            reduces = isinstance(function, ast.Attribute) and function.attr in REDUCTIONS
            return "axis" if reduces else "argument"
        parent = above
    return "constant"


def name_edits(s: Source, names: Iterable[str]) -> Iterator[Edit]:
    """Another name in one place."""
    for node in s.expressions:
        if isinstance(node, ast.Name) and not isinstance(s.parents.get(node), ast.Call):
            for name in names:
                if name != node.id:
                    yield s.edit(node, name, "name")
        elif isinstance(node, ast.Name):
            for name in names:
                call = s.parents[node]
                if name != node.id and isinstance(call, ast.Call) and call.func is not node:
                    yield s.edit(node, name, "name")


def surplus_edits(s: Source) -> Iterator[Edit]:
    """A factor, a term or a function too many."""
    for node in s.expressions:
        if isinstance(node, ast.BinOp):
            scaled = isinstance(node.op, (ast.Mult, ast.Div))
            kind = "surplus-factor" if scaled else "surplus-term"
            if not isinstance(node.op, (ast.Pow, ast.MatMult)):
                yield s.edit(node, s.of(node.left), kind, s.of(node.right))
                if not isinstance(node.op, ast.Div):
                    yield s.edit(node, s.of(node.right), kind, s.of(node.left))
        elif isinstance(node, ast.Call):
            function = node.func
            method = isinstance(function, ast.Attribute) and not (
                isinstance(function.value, ast.Name) and function.value.id in ("torch", "F", "np")
            )
            if method and isinstance(function, ast.Attribute):
                yield s.edit(node, s.of(function.value), "surplus-call", function.attr)
            if not method and node.args:
                yield s.edit(node, s.of(node.args[0]), "surplus-call", s.of(function))


def factor_edits(s: Source, factors: Iterable[str]) -> Iterator[Edit]:
    """A factor that is missing."""
    for node in s.places:
        for factor in factors:
            yield s.edit(node, f"({s.of(node)}) * ({factor})", "factor", factor)
            yield s.edit(node, f"({s.of(node)}) / ({factor})", "divisor", factor)


def addend_edits(s: Source, addends: Iterable[str]) -> Iterator[Edit]:
    """A term that is missing in a sum."""
    for node in s.places:
        for term in addends:
            for new in (f"({s.of(node)}) + ({term})", f"({term}) - ({s.of(node)})"):
                yield s.edit(node, new, "addend", term)


def order_edits(s: Source) -> Iterator[Edit]:
    """The same operators, bracketed otherwise."""
    for node in s.expressions:
        if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.BinOp):
            inner = node.operand
            sign = SIGNS.get(type(inner.op), "+")
            new = f"(-({s.of(inner.left)})) {sign} ({s.of(inner.right)})"
            yield s.edit(node, new, "parentheses")
        if not isinstance(node, ast.BinOp):
            continue
        sign = SIGNS.get(type(node.op), "+")
        left, right = node.left, node.right
        if isinstance(left, ast.BinOp):
            a, b, c = s.of(left.left), s.of(left.right), s.of(right)
            inner_sign = SIGNS.get(type(left.op), "+")
            yield s.edit(node, f"({a}) {inner_sign} (({b}) {sign} ({c}))", "parentheses")
        if isinstance(right, ast.BinOp):
            a, b, c = s.of(left), s.of(right.left), s.of(right.right)
            inner_sign = SIGNS.get(type(right.op), "+")
            yield s.edit(node, f"(({a}) {sign} ({b})) {inner_sign} ({c})", "parentheses")
        if isinstance(left, ast.UnaryOp):
            yield s.edit(node, f"-(({s.of(left.operand)}) {sign} ({s.of(right)}))", "parentheses")


def bracket_edits(s: Source) -> Iterator[Edit]:
    """Brackets more or less, in the text as it stands."""
    values = {v for value in s.values for v in ast.walk(value) if isinstance(v, ast.expr)}
    parts = [s.span(n) for n in s.expressions if n in values]
    starts = sorted({a for a, _ in parts})
    ends = sorted({b for _, b in parts})
    for a, b in itertools.product(starts, ends):
        if a < b:
            inner = s.text[a:b]
            yield Edit(a, b, inner, f"({inner})", "parentheses")
    for opened, closed in _brackets(s.text, 0, len(s.text)):
        inner = s.text[opened + 1 : closed]
        called = opened and (s.text[opened - 1].isalnum() or s.text[opened - 1] in "_)]")
        if not called:
            yield Edit(opened, closed + 1, f"({inner})", inner, "parentheses")


def tidied(text: str, edit: Edit) -> tuple[str, tuple[int, int]]:
    """The edited text without the brackets that are not needed, and where the edit is in it."""
    new = re.sub(r"(?<=[\w)])\s*\*\*\s*(?=[\w(-])", "**", edit.applied(text)) if edit.factor else (
        edit.applied(text)
    )
    start, end = edit.start, len(new) - (len(text) - edit.end)
    while start and new[start - 1] == "(" and new[end : end + 1] == ")":
        start, end = start - 1, end + 1
    wanted = ast.dump(ast.parse(new))
    changed = True
    while changed:
        changed = False
        for opened, closed in _brackets(new, start, end):
            shorter = new[:opened] + new[opened + 1 : closed] + new[closed + 1 :]
            try:
                same = ast.dump(ast.parse(shorter)) == wanted
            except SyntaxError:
                same = False
            if same:
                new, end, changed = shorter, end - 2, True
                break
    return new, (start, end)


def _brackets(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    opened: list[int] = []
    for i in range(start, end):
        if text[i] == "(":
            opened.append(i)
        elif text[i] == ")" and opened:
            yield opened.pop(), i
