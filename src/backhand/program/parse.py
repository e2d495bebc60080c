"""Reading a program's text back; the text is described in ``text``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import sympy

from ..errors import Location, ProgramError
from .ir import Node, Program, Step, Value
from .ops import get_op
from .sizes import Scalar, Size, Symbol, symbol

# Names that stand for themselves where a value could stand.
LONE: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "inf": float("inf"),
    "nan": float("nan"),
}
SCALARS = frozenset({"add", "sub", "mul", "div", "pow", "neg", "float", "sqrt"})

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d*)?(?:e[+-]?\d+)?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<quote>`(?:[^`])*`)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<sign>\*\*|[-+*/()\[\],:=.%])
    |(?P<odd>\S))""",
    re.VERBOSE,
)


class _Tokens:
    """The tokens of one line, with a place in them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items = list(_scan(text))
        self.at = 0

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self.at + ahead
        return self.items[at] if at < len(self.items) else ("end", "")

    def next(self) -> tuple[str, str]:
        item = self.peek()
        self.at += 1
        return item

    def take(self, text: str) -> bool:
        kind, found = self.peek()
        if found == text and kind in ("sign", "name"):
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            found = self.peek()[1]
            raise ProgramError(f"expected {text!r}, found {found!r} in: {self.text.strip()}")

    def name(self) -> str:
        kind, text = self.next()
        if kind == "name":
            return text
        if kind == "quote":
            return _unquoted(text)
        raise ProgramError(f"expected a name, found {text!r} in: {self.text.strip()}")

    def integer(self) -> int:
        sign = -1 if self.take("-") else 1
        kind, text = self.next()
        if kind != "number" or not text.isdigit():
            raise ProgramError(f"expected an integer, found {text!r} in: {self.text.strip()}")
        return sign * int(text)

    def end(self) -> None:
        if self.peek()[0] != "end":
            raise ProgramError(f"unexpected {self.peek()[1]!r} in: {self.text.strip()}")


def _unquoted(text: str) -> str:
    return str(json.loads(f'"{text[1:-1]}"'))


def _scan(text: str) -> Iterator[tuple[str, str]]:
    text = text.strip()
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup == "odd":
            raise ProgramError(f"cannot read {text[at:]!r}")
        assert match.lastgroup is not None
        yield match.lastgroup, match.group(match.lastgroup)
        at = match.end()


def parse_program(text: str) -> Program:
    """The program that was printed as ``text``; ``ProgramError`` says which line cannot be read."""
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        try:
            reader.line(line)
        except ProgramError as error:
            raise ProgramError(f"line {number}: {error}") from None
    return reader.program()


class _Reader:
    def __init__(self) -> None:
        self.name: str | None = None
        self.symbols: list[Symbol] = []
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.steps: list[_StepText] = []
        self.known: dict[str, Value] = {}

    def program(self) -> Program:
        if self.name is None:
            raise ProgramError("the text does not start with `program NAME`")
        return Program(
            self.name,
            tuple(self.inputs),
            tuple(step.step() for step in self.steps),
            tuple(self.outputs),
            tuple(self.symbols),
        )

    def line(self, line: str) -> None:
        if not line.strip():
            if line.startswith("  ") and self.steps:
                raise ProgramError("an empty line inside a step")
            return
        if line.startswith("  "):
            self._inside(line)
            return
        tokens = _Tokens(line)
        heading = tokens.name()
        if (heading == "program") is not (self.name is None):
            raise ProgramError("`program NAME` stands first, and once")
        if heading == "program":
            self.name = tokens.name()
        elif heading == "size":
            self.symbols.append(_symbol(tokens))
        elif heading == "input":
            self.inputs.append(self._definition(tokens))
        elif heading == "output":
            tokens.take("%")
            self.outputs.append(self._value(tokens.name()))
        elif heading == "step":
            self.steps.append(_StepText(tokens))
        else:
            raise ProgramError(f"unknown heading {heading!r}")
        tokens.end()

    def _inside(self, line: str) -> None:
        if not self.steps:
            raise ProgramError("an indented line outside a step")
        step = self.steps[-1]
        if line.startswith("  | "):
            step.source.append(line[4:])
        elif line.startswith("  > "):
            step.text.append(line[4:])
        else:
            step.nodes.append(self._node(_Tokens(line)))

    def _node(self, tokens: _Tokens) -> Node:
        outs = [self._definition(tokens, known=False)]
        while tokens.take(","):
            outs.append(self._definition(tokens, known=False))
        tokens.expect("=")
        op = get_op(tokens.name())
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        tokens.expect("(")
        while not tokens.take(")"):
            kind, text = tokens.peek()
            if kind == "name" and tokens.peek(1) == ("sign", "="):
                tokens.at += 2
                keywords[text] = self._argument(tokens)
            else:
                positional.append(self._argument(tokens))
            if not tokens.take(","):
                tokens.expect(")")
                break
        tokens.end()
        for out in outs:
            self.known[out.name] = out
        return Node(op.name, op.bind(tuple(positional), keywords), tuple(outs))

    def _definition(self, tokens: _Tokens, known: bool = True) -> Value:
        anonymous = tokens.take("%")
        name = tokens.name()
        var: str | None = tokens.name() if tokens.take("as") else name
        tokens.expect(":")
        dtype = tokens.name()
        tokens.expect("[")
        shape = []
        while not tokens.take("]"):
            shape.append(Size.of(_size(tokens)))
            if not tokens.take(","):
                tokens.expect("]")
                break
        if name in self.known:
            raise ProgramError(f"{name} is defined twice")
        value = Value(name, tuple(shape), dtype, None if anonymous else var)
        if known:
            self.known[name] = value
        return value

    def _value(self, name: str) -> Value:
        if name not in self.known:
            raise ProgramError(f"{name} is read before it is defined")
        return self.known[name]

    def _argument(self, tokens: _Tokens) -> Any:
        if tokens.take("%"):
            return self._value(tokens.name())
        if tokens.peek() == ("sign", "("):
            return self._parenthesis(tokens)
        kind, text = tokens.peek()
        if kind == "string":
            tokens.next()
            return json.loads(text)
        if kind == "quote" and _unquoted(text) in self.known:
            return self._value(tokens.name())
        if kind == "name":
            if text in LONE:
                tokens.next()
                return LONE[text]
            if text in self.known and text not in {s.name for s in self.symbols}:
                tokens.next()
                return self.known[text]
            if text in SCALARS and tokens.peek(1) == ("sign", "("):
                tokens.next()
                return Scalar(text, self._tuple(tokens))
        if tokens.peek() == ("sign", "-") and tokens.peek(1) == ("name", "inf"):
            tokens.at += 2
            return -float("inf")
        return self._sized(tokens)

    def _sized(self, tokens: _Tokens) -> Any:
        """A float, or a size (a literal int included)."""
        sign = tokens.peek() == ("sign", "-")
        kind, text = tokens.peek(int(sign))
        if kind == "number" and not text.isdigit():
            tokens.at += 1 + sign
            return -float(text) if sign else float(text)
        return Size.of(_size(tokens))

    def _parenthesis(self, tokens: _Tokens) -> Any:
        """A tuple, or a size expression that starts with a parenthesis."""
        start = tokens.at
        depth, comma = 0, False
        for i in range(start, len(tokens.items)):
            kind, text = tokens.items[i]
            if kind == "sign":
                depth += (text == "(") - (text == ")")
                comma |= text == "," and depth == 1
            if depth == 0:
                break
        if comma or i == start + 1:
            return self._tuple(tokens)
        return Size.of(_size(tokens))

    def _tuple(self, tokens: _Tokens) -> tuple[Any, ...]:
        tokens.expect("(")
        items: list[Any] = []
        while not tokens.take(")"):
            items.append(self._argument(tokens))
            if not tokens.take(","):
                tokens.expect(")")
                break
        return tuple(items)


class _StepText:
    def __init__(self, tokens: _Tokens) -> None:
        self.name = tokens.name()
        self.place: tuple[str, int] | None = None
        self.source: list[str] = []
        self.text: list[str] = []
        self.nodes: list[Node] = []
        if tokens.peek()[0] == "string":
            file = json.loads(tokens.next()[1])
            tokens.expect(":")
            self.place = (file, tokens.integer())

    def step(self) -> Step:
        source = "\n".join(self.source)
        where = None
        if self.place is not None:
            where = Location(*self.place, "\n".join(self.text) if self.text else source)
        return Step(self.name, tuple(self.nodes), source, where)


def _symbol(tokens: _Tokens) -> Symbol:
    name = tokens.name()
    tokens.expect("=")
    of = tokens.name()
    axis = None
    if tokens.take("."):
        tokens.expect("shape")
        tokens.expect("[")
        axis = tokens.integer()
        tokens.expect("]")
    tokens.expect("(")
    tokens.expect("example")
    hint = tokens.integer()
    named = tokens.take(",")
    if named:
        tokens.expect("named")
    tokens.expect(")")
    return Symbol(name, of, axis, hint, named)


def read_size(text: str) -> Any:
    """A size expression: an ``int`` or a ``Size``."""
    tokens = _Tokens(text)
    out = Size.of(_size(tokens))
    tokens.end()
    return out


def _size(tokens: _Tokens, evaluate: bool = True) -> Any:
    """A size expression as sympy has it: sums of products of powers."""
    total = _size_product(tokens, evaluate)
    while tokens.peek() in (("sign", "+"), ("sign", "-")):
        minus = tokens.next()[1] == "-"
        term = _size_product(tokens, evaluate)
        total = total - term if minus else total + term
    return total


def _size_product(tokens: _Tokens, evaluate: bool) -> Any:
    if tokens.take("-"):
        return -_size_product(tokens, evaluate)
    out = _size_power(tokens, evaluate)
    while tokens.peek() in (("sign", "*"), ("sign", "/")):
        divide = tokens.next()[1] == "/"
        factor = _size_power(tokens, evaluate)
        out = out / factor if divide else out * factor
    return out


def _size_power(tokens: _Tokens, evaluate: bool) -> Any:
    base = _size_atom(tokens, evaluate)
    return base ** _size_atom(tokens, evaluate) if tokens.take("**") else base


def _size_atom(tokens: _Tokens, evaluate: bool) -> Any:
    kind = tokens.peek()[0]
    if kind == "number":
        return sympy.Integer(tokens.integer())
    if tokens.take("("):
        out = _size(tokens, evaluate)
        tokens.expect(")")
        return out
    name = tokens.name()
    if kind != "name" or tokens.peek() != ("sign", "("):
        return symbol(name)
    tokens.expect("(")
    args = [_size(tokens, evaluate and name != "exactly")]
    while tokens.take(","):
        args.append(_size(tokens, evaluate))
    tokens.expect(")")
    if name == "exactly":
        return args[0]
    return _function(name)(*args) if evaluate else _function(name)(*args, evaluate=False)


def _function(name: str) -> Any:
    """A function of sizes by its class name: sympy's, or one of those that torch adds."""
    if name in ("Add", "Mul", "Pow", "floor", "ceiling"):
        return getattr(sympy, name)
    from torch.utils._sympy import functions

    found = getattr(functions, name, None)
    if isinstance(found, type) and issubclass(found, sympy.Basic):
        return found
    raise ProgramError(f"no function of sizes is called {name!r}")
