"""Local gradients in the author's names, from the formulas that the uses carry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..longhand import Use
from ..program.invoke import DTYPE_PARAMS
from ..program.ir import Node, Value
from ..program.ops import INFIX, PREFIX, RESULT_FIELDS, get_op
from ..program.sizes import Scalar, Size, number_text, size_text
from ..shorthand.notation import LETTERS
from .notation import (
    Fraction,
    Item,
    Name,
    Num,
    Row,
    Script,
    Sign,
    Word,
    names,
    parse,
    parts,
    substituted,
    to_tex,
    words,
)
from .source import Source


@dataclass(frozen=True)
class Local:
    """A use's local gradient: ``tex``, the product with the upstream, what its letters mean.

    ``whole`` says that the formula has the upstream in it already, ``gradient`` is what the product
    is called where nothing is summed after it.
    """

    tex: str
    product: str
    gradient: str
    letters: tuple[tuple[str, str], ...]
    whole: bool


def local_gradient(source: Source, use: Use, upstream: str | None = None) -> Local:
    """The rule's formula for a use, operands and upstream in the author's names."""
    node = use.node
    op = get_op(node.op)
    out = next((o for o in node.outs if o.name in source.gradients), node.outs[0])
    formula = parse(use.formula or "0")
    args = op.named(node.args)
    pointwise = op.kind == "elementwise"
    rank = len(out.shape)
    instead: dict[str, Item] = {}
    legend: dict[str, str] = {}
    for name in dict.fromkeys(names(formula)):
        meaning = use.letters.get(name, name)
        if name == "g" and "g" not in args:
            instead[name] = parse(
                _value(upstream or source.gradient_name(out), out, rank, pointwise)
            )
        elif name == "y" and "y" not in args:
            instead[name] = parse(_value(source.name(out), out, rank, pointwise))
        elif meaning in args:
            found = _argument(source, args[meaning], rank, pointwise)
            if found is not None:
                instead[name] = found
            else:
                legend[name] = meaning
        elif name in use.letters and name not in ("e", "π", "i", "j", "δ"):
            legend[name] = meaning
    local = folded(substituted(formula, instead))
    whole = "g" in set(names(formula)) and "g" not in args
    up = parse(_value(upstream or source.gradient_name(out), out, rank, pointwise))
    product = local if whole else _times(up, local)
    of = source.values[use.operand]
    gradient = to_tex(parse(_value(source.gradient_name(of), of, rank, pointwise)))
    if Word("index") in set(_words(formula)):
        legend[r"\text{index}"] = "where the chosen element stands"
        legend[r"[\dots]"] = "1 where the equation in it holds and 0 elsewhere"
    return Local(to_tex(local), to_tex(product), gradient, tuple(legend.items()), whole)


def _words(item: Item) -> Iterator[Word]:
    if isinstance(item, Word):
        yield item
    for part in parts(item):
        yield from _words(part)


def _value(name: str, value: Value, rank: int, pointwise: bool) -> str:
    tex = to_tex(Name(name, True))
    if not pointwise:
        return tex
    offset = rank - len(value.shape)
    index = [LETTERS[offset + k] for k, d in enumerate(value.shape) if d != 1]
    return f"{tex}_{{{','.join(index)}}}" if index else tex


def _argument(source: Source, arg: Any, rank: int, pointwise: bool) -> Item | None:
    if isinstance(arg, Value):
        return parse(_value(source.name(arg), arg, rank, pointwise))
    if isinstance(arg, bool) or arg is None or isinstance(arg, (str, tuple)):
        return None
    return parse(number(source, arg))


def number(source: Source, arg: Any) -> str:
    """A number of the program as a formula: ``1/n`` as a fraction."""
    if isinstance(arg, Scalar):
        args = [number(source, a) for a in arg.args]
        if arg.op == "div":
            return rf"\frac{{{args[0]}}}{{{args[1]}}}"
        if arg.op == "sqrt":
            return rf"\sqrt{{{args[0]}}}"
        if arg.op in ("neg", "float"):
            return ("-" if arg.op == "neg" else "") + args[0]
        if arg.op == "pow":
            return rf"({args[0]})^{{{args[1]}}}"
        sign = {"add": " + ", "sub": " - ", "mul": r" \cdot "}[arg.op]
        return f"({sign.join(args)})" if arg.op != "mul" else sign.join(args)
    if isinstance(arg, Size):
        text = size_text(arg.expr, source.size_words)[0]
        return words(text) if not text.replace(" ", "").replace("-", "").isalnum() else text
    return f"{arg:g}" if isinstance(arg, float) else str(arg)


def folded(item: Item) -> Item:
    """Sums of plain numbers as one number: an exponent ``-1 - 1`` is ``-2``."""
    if isinstance(item, Script):
        sub = None if item.sub is None else folded(item.sub)
        sup = None if item.sup is None else folded(item.sup)
        base = folded(item.base)
        return base if sup == Num("1") and sub is None else Script(base, sub, sup)
    if not isinstance(item, Row):
        return item
    items = tuple(map(folded, item.items))
    text = "".join(
        i.text if isinstance(i, Num) else i.tex if i in (Sign("-"), Sign("+")) else "?"
        for i in _flat(items)
    )
    if "?" in text or not any(isinstance(i, Num) for i in items):
        return Row(items)
    total = 0.0
    for part in text.replace("--", "+").replace("-", "+-").split("+"):
        total += float(part) if part else 0.0
    if total < 0:
        return Row((Sign("-"), Num(f"{-total:g}")))
    return Num(f"{total:g}")


def _flat(items: tuple[Item, ...]) -> list[Item]:
    out: list[Item] = []
    for item in items:
        out += _flat(item.items) if isinstance(item, Row) else [item]
    return out


def _times(upstream: Item, local: Item) -> Item:
    """The product, a local gradient of one left away, a sum in brackets."""
    if local == Num("1"):
        return upstream
    if local == Num("0"):
        return local
    if isinstance(local, Fraction) and local.top == Num("1"):
        return Fraction(upstream, local.bottom)
    items = list(local.items) if isinstance(local, Row) else [local]
    if isinstance(items[0], Row):
        items = [*items[0].items, *items[1:]]
    minus: tuple[Item, ...] = ()
    signs = [i for i in _outermost(Row(tuple(items[1:]))) if isinstance(i, Sign)]
    # [i = index] has brackets of its own
    is_group = _outermost(Row(tuple(items))) == [Sign("["), Sign("]")]
    is_sum = not is_group and any(i.tex in ("+", "-", "=") for i in signs)
    if items[0] == Sign("-") and not is_sum:
        minus, items = (Sign("-"),), items[1:]
    if is_sum:
        return Row((upstream, Sign("\\cdot"), Sign("("), *items, Sign(")")))
    if items[0] == Num("1"):  # 1/x and 1 · x: the upstream takes the one's place
        rest = items[1:] if items[1:2] == [Sign("/")] else [Sign("\\cdot"), *items[1:]]
        return Row((*minus, upstream, *(rest if items[1:] else ())))
    return Row((*minus, upstream, Sign("\\cdot"), *items))


def _outermost(item: Item) -> list[Item]:
    """What stands outside of all brackets."""
    depth, out = 0, []
    for part in item.items if isinstance(item, Row) else (item,):
        core = part.base if isinstance(part, Script) else part
        if isinstance(core, Sign) and core.tex in ")]":
            depth -= 1
        if depth == 0:
            out.append(part)
        if isinstance(core, Sign) and core.tex in "([":
            depth += 1
    return out


# forward lines of single operators


def spelled(source: Source, node: Node) -> str:
    """One operator as code, its operands and its result by their names."""
    op = get_op(node.op)
    args = tuple(_text(source, a) for a in node.args)
    kept, keywords = op.written(tuple(node.args))
    shown = [_text(source, a) for a in kept]
    shown += [f"{k}={_text(source, v)}" for k, v in keywords.items() if k not in DTYPE_PARAMS]
    if op.spelling in INFIX and len(args) == 2:
        call = f"{args[0]} {op.spelling} {args[1]}"
    elif op.spelling in PREFIX and len(args) == 1:
        call = f"{op.spelling}{args[0]}"
    elif node.op == "index":
        call = f"{args[0]}[{args[1].strip('()').rstrip(',')}]"
    elif op.spelling == "method" or op.spelling.startswith("."):
        method = node.op if op.spelling == "method" else op.spelling[1:]
        call = f"{shown[0]}.{method}({', '.join(shown[1:])})"
    else:
        function = op.name if op.spelling == "custom" else op.spelling
        call = f"{function}({', '.join(shown)})"
    if node.op in RESULT_FIELDS:
        call += ".values"
    return f"{source.name(node.outs[0])} = {call}"


def _text(source: Source, arg: Any) -> str:
    if isinstance(arg, Value):
        return source.name(arg)
    if isinstance(arg, tuple):
        inner = ", ".join(_text(source, a) for a in arg)
        return f"({inner},)" if len(arg) == 1 else f"({inner})"
    if isinstance(arg, (Size, Scalar)):
        return number_text(arg, source.size_words)[0]
    return repr(arg) if isinstance(arg, str) else str(arg)


__all__ = ["Local", "local_gradient", "spelled"]
