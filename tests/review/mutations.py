"""Every single-token and single-term change of a line, with the causes that would be right.

Independent of how the review looks for causes: the changes are made on tokens and on the tree, and
what is expected follows from what was changed.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass

OPERATORS = ("+", "-", "*", "/")
METHODS = {"sum": "mean", "mean": "sum", "argmax": "argmin", "zeros_like": "ones_like"}
SIZES = re.compile(r"^\(?(1 ?/ ?)?\(?n( ?- ?1)?\)?\)?$|shape\[|numel")


@dataclass(frozen=True)
class Mutant:
    """A changed statement: what was done, and the codes that name it rightly."""

    text: str
    what: str
    right: frozenset[str]


def mutants(
    text: str, names: Callable[[str], list[str]], gradients: Callable[[str], bool]
) -> list[Mutant]:
    """Every mutant of a one-line statement that still parses.

    ``names`` gives what may stand for a name by mistake, ``gradients`` tells a gradient's name.
    """
    found: dict[str, Mutant] = {}
    for mutant in (*_tokens(text, names), *_terms(text, gradients)):
        try:
            same = ast.dump(ast.parse(mutant.text)) == ast.dump(ast.parse(text))
        except SyntaxError:
            continue
        if not same:
            found.setdefault(mutant.text, mutant)
    return list(found.values())


def _mutant(text: str, what: str, *right: str) -> Mutant:
    return Mutant(text, what, frozenset(right))


def _tokens(text: str, names: Callable[[str], list[str]]) -> Iterator[Mutant]:
    start = text.index("=") + 1
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.string.strip()]
    for i, token in enumerate(tokens):
        a, b = token.start[1], token.end[1]
        if a < start:
            continue
        before = tokens[i - 1].string
        after = tokens[i + 1].string if i + 1 < len(tokens) else ""

        def put(new: str, a: int = a, b: int = b) -> str:
            return text[:a] + new + text[b:]

        word = token.string
        binary = before not in ("=", "(", ",", "*", "/", "+", "-", "**", "@", "[")
        if word in OPERATORS and binary:
            for other in OPERATORS:
                if other == word:
                    continue
                if {word, other} == {"+", "-"}:
                    yield _mutant(put(other), f"{word} to {other}", "sign")
                else:
                    counts = ("wrong-count", "bessel", "wrong-scale") if after in ("n", "(") else ()
                    codes = ("operator", "precedence", *counts)
                    yield _mutant(put(other), f"{word} to {other}", *codes)
        elif word == "-" and not binary:
            also = ["exponent"] if before == "**" else []
            yield _mutant(put(""), "minus dropped", "sign", *also)
        elif word == "**":
            yield _mutant(put("*"), "** to *", "operator", "exponent")
        elif word == "@":
            yield _mutant(put("*"), "@ to *", "operator")
        elif token.type == tokenize.NUMBER:
            yield from _numbers(text, word, before, tokens, i, put)
        elif word in ("True", "False"):
            argument = tokens[i - 2].string
            codes = ("missing-keepdim", "row-for-column", "extra-keepdim")
            if argument == "accumulate":
                codes = ("duplicates-overwritten", "duplicates-overwritten", "overwritten")
            yield _mutant(put("False" if word == "True" else "True"), f"{argument} flipped", *codes)
        elif token.type == tokenize.NAME and before == "." and word in METHODS:
            other = ("operator", "unselected-entries")
            codes = ("wrong-count",) if word in ("sum", "mean") else other
            yield _mutant(put(METHODS[word]), f"{word} to {METHODS[word]}", *codes)
        elif token.type == tokenize.NAME and before != "." and after not in ("(", "="):
            for other in names(word):
                if other != word and not (after == "." and tokens[i + 2].string == "shape"):
                    yield _mutant(put(other), f"{word} to {other}", "wrong-name", "wrong-point")
        elif word == "T" and before == ".":
            dot = tokens[i - 1].start[1]
            yield _mutant(text[:dot] + text[b:], ".T dropped", "matmul-order")


def _numbers(
    text: str,
    word: str,
    before: str,
    tokens: list[tokenize.TokenInfo],
    i: int,
    put: Callable[[str], str],
) -> Iterator[Mutant]:
    value = ast.literal_eval(word)
    head = text[: tokens[i].start[1]]
    inside_call = re.search(r"\.(sum|mean|max|argmax|softmax|amax)\([^()]*$", head)
    exponent = before == "**" or re.search(r"\*\*-$", head.replace(" ", ""))
    if inside_call:
        for other in ("0", "1", "-1"):
            if other != word:
                codes = ("wrong-axis", "row-for-column")
                yield _mutant(put(other), f"axis {word} to {other}", *codes)
        return
    if re.search(r"shape\[$", head):
        other = "0" if word == "1" else "1"
        yield _mutant(put(other), "another size", "wrong-index", "constant", "wrong-count")
        return
    choices = {repr(value + 1), repr(value * 2), repr(value - 1), repr(value / 2)} - {word}
    if isinstance(value, int):
        choices -= {repr(value / 2)}
    codes = ("exponent",) if exponent else ("constant", "bessel", "wrong-count")
    for other in sorted(choices):
        also = []
        if ast.literal_eval(other) == -value:
            also.append("sign")
        if ast.literal_eval(other) == 0:
            also += ["use-forgotten", "never-written"]  # a term times zero is none
        yield _mutant(put(other), f"{word} to {other}", *codes, *also)
    if not exponent:
        yield _mutant(put(f"(-{word})"), f"{word} negated", "sign", "constant")


def _terms(text: str, gradients: Callable[[str], bool]) -> Iterator[Mutant]:
    statement = ast.parse(text).body[0]
    assert isinstance(statement, (ast.Assign, ast.AugAssign))

    def part(node: ast.expr) -> str:
        return ast.get_source_segment(text, node) or ""

    def put(node: ast.expr, new: str) -> str:
        assert node.end_col_offset is not None
        return f"{text[: node.col_offset]}({new}){text[node.end_col_offset :]}"

    whole = statement.value
    yield _mutant(put(whole, f"-({part(whole)})"), "all negated", "sign")
    yield _mutant(put(whole, f"2 * ({part(whole)})"), "all doubled", "added-twice", "constant")
    for node in ast.walk(whole):
        if isinstance(node, ast.BinOp):
            left, right = part(node.left), part(node.right)
            if isinstance(node.op, (ast.Add, ast.Sub)):
                dropped = ("use-forgotten", "carry-forgotten", "statistics-constant")
                if isinstance(node.right, ast.Constant) or isinstance(node.left, ast.Constant):
                    # what is left of a sum inside a local derivative
                    dropped = ("bessel", "wrong-count", "constant", "term-forgotten")
                    dropped = (*dropped, "local-forgotten")
                yield _mutant(put(node, left), f"{right} dropped", *dropped)
                if isinstance(node.op, ast.Add):
                    yield _mutant(put(node, right), f"{left} dropped", *dropped)
                    twice = put(node, f"{left} + {right} + {right}")
                    yield _mutant(twice, f"{right} twice", "added-twice", "surplus-term")
                else:
                    swapped = put(node, f"({right}) - ({left})")
                    yield _mutant(swapped, "difference turned round", "sign")
            if isinstance(node.op, (ast.Mult, ast.Div)):
                kept, lost = left, right
                yield _mutant(put(node, kept), f"{lost} dropped", *_lost(lost, gradients))
                if isinstance(node.op, ast.Mult):
                    yield _mutant(put(node, right), f"{left} dropped", *_lost(left, gradients))
                else:
                    turned = put(node, f"({right}) / ({left})")
                    yield _mutant(turned, "turned over", "operator", "exponent")
            if isinstance(node.op, ast.MatMult):
                swapped = put(node, f"{right} @ {left}")
                yield _mutant(swapped, "operands swapped", "matmul-order")
                for new in (f"({left}).T @ {right}", f"{left} @ ({right}).T"):
                    yield _mutant(put(node, new), "transposed", "matmul-order")
                for new in (left, right):
                    codes = ("local-forgotten", "factor-forgotten", "upstream-forgotten")
                    yield _mutant(put(node, new), "a factor of @ dropped", *codes)
            if isinstance(node.op, ast.Pow):
                yield _mutant(put(node, left), "exponent dropped", "exponent", "surplus-call")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = part(node.func.value)
            if isinstance(node.func.value, ast.BinOp):
                owner = f"({owner})"
            if node.func.attr == "sum":
                yield _mutant(put(node, owner), ".sum dropped", "axis-not-summed")
                if node.keywords:
                    axis = part(node.args[0])
                    codes = ("missing-keepdim", "row-for-column")
                    yield _mutant(put(node, f"{owner}.sum({axis})"), "keepdim dropped", *codes)
                else:
                    yield _mutant(put(node, f"{owner}.sum()"), "over-summed", "wrong-axis")
    yield from _brackets(text)


def _brackets(text: str) -> Iterator[Mutant]:
    opened: list[int] = []
    for i, sign in enumerate(text):
        if sign == "(":
            opened.append(i)
        elif sign == ")":
            start = opened.pop()
            if start and not re.match(r"[\w.]", text[start - 1]):
                new = text[:start] + text[start + 1 : i] + text[i + 1 :]
                codes = ("precedence", "bessel", "wrong-count", "sign")
                yield _mutant(new, "brackets dropped", *codes)


def _lost(factor: str, gradients: Callable[[str], bool]) -> tuple[str, ...]:
    """The causes that name a dropped factor."""
    bare = factor.strip("()")
    if re.fullmatch(r"-?[\d.]+", bare):
        return "constant", "sign", "added-twice"
    if SIZES.search(bare):
        return "wrong-count", "bessel"
    if re.fullmatch(r"\w+", bare) and gradients(bare):
        return ("upstream-forgotten",)
    if any(gradients(w) for w in re.findall(r"\w+", bare)):
        return "upstream-forgotten", "local-forgotten", "factor-forgotten"
    if "one_hot" in bare or re.search(r"[<>]", bare):
        return "wrong-mask", "unselected-entries", "local-forgotten"
    return "local-forgotten", "factor-forgotten", "wrong-mask", "sign", "constant"
