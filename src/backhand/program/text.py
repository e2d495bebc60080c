"""Programs as text: one line per node, steps as headings; what is printed parses back.

    program forward
    size n = x.shape[0] (example 32, named)
    input x: float32[n, 3]
    step y "net.py":4
      | y = (x * x).sum(0)
      %y_1: float32[n, 3] = mul(x, x)
      y: float32[3] = sum(%y_1, 0)
    output y

A value is ``name: dtype[shape]``; ``%name`` has no name of its own in the printed source, and
``dx_1 as dx`` is printed as ``dx``. Arguments are the op table's, defaults left out. A float
computed from sizes is written as it is stored: ``div(1, n)``. A name that is no identifier
stands in backticks.
"""

from __future__ import annotations

import json
import math
from typing import Any

import sympy

from ..errors import ProgramError
from .ir import Node, Program, Step, Value
from .ops import get_op
from .parse import LONE, parse_program, read_size
from .sizes import ATOM, POWER, PRODUCT, SUM, UNARY, Dim, Scalar, Size, Symbol, wrap


def program_text(program: Program) -> str:
    """The text of a program; ``parse_program`` gives the program back."""
    names = _Names(program)
    lines = [f"program {quoted(program.name)}"]
    lines += [f"size {_symbol(s)}" for s in program.symbols]
    lines += [f"input {names.defined(v)}" for v in program.inputs]
    for step in program.steps:
        lines += _heading(step)
        lines += [f"  {_node(node, names)}" for node in step.nodes]
    lines += [f"output {names.used(v)}" for v in program.outputs]
    return "\n".join(lines) + "\n"


def quoted(name: str) -> str:
    """A name as it stands in the text: an identifier bare, anything else in backticks."""
    if name.isidentifier() and name.isascii() and name not in LONE:
        return name
    return "`" + json.dumps(name)[1:-1].replace("`", "\\u0060") + "`"


class _Names:
    """How values are written: those called like a size or a constant stand in backticks."""

    def __init__(self, program: Program) -> None:
        sizes = {s.name for s in program.symbols}
        self.texts: dict[str, str] = {}
        self.values: dict[str, Value] = {}
        for value in program.values():
            text = quoted(value.name)
            if value.name in sizes:
                text = "`" + value.name + "`"
            self.texts[value.name] = text if value.var is not None else f"%{text}"
            self.values[value.name] = value

    def used(self, value: Value) -> str:
        known = self.values.get(value.name)
        if known != value:
            raise ProgramError(f"{value.name} is read as {value}, but was made as {known}")
        return self.texts[value.name]

    def defined(self, value: Value) -> str:
        name = self.used(value)
        if value.var is not None and value.var != value.name:
            name += f" as {quoted(value.var)}"
        return f"{name}: {value.dtype}[{', '.join(dim_text(d) for d in value.shape)}]"


def _symbol(s: Symbol) -> str:
    where = quoted(s.input) if s.axis is None else f"{quoted(s.input)}.shape[{s.axis}]"
    return f"{quoted(s.name)} = {where} (example {s.hint}{', named' if s.named else ''})"


def _heading(step: Step) -> list[str]:
    where = step.where
    place = "" if where is None else f" {json.dumps(where.file)}:{where.line}"
    out = [f"step {quoted(step.name)}{place}"]
    if step.source:
        out += [f"  | {line}" for line in step.source.split("\n")]
    if where is not None and where.text != step.source:
        out += [f"  > {line}" for line in where.text.split("\n")]
    return out


def _node(node: Node, names: _Names) -> str:
    op = get_op(node.op)
    positional, keywords = op.written(node.args)
    args = [_argument(a, names) for a in positional]
    args += [f"{k}={_argument(v, names)}" for k, v in keywords.items()]
    outs = ", ".join(names.defined(v) for v in node.outs)
    return f"{outs} = {node.op}({', '.join(args)})"


def _argument(arg: Any, names: _Names) -> str:
    if isinstance(arg, Value):
        return names.used(arg)
    if isinstance(arg, tuple):
        inner = ", ".join(_argument(a, names) for a in arg)
        return f"({inner}{',' if len(arg) == 1 else ''})"
    if isinstance(arg, str):
        return json.dumps(arg)
    if isinstance(arg, Size):
        return dim_text(arg)
    if isinstance(arg, Scalar):
        return f"{arg.op}({', '.join(_argument(a, names) for a in arg.args)})"
    if isinstance(arg, float) and not math.isfinite(arg):
        return str(arg)  # inf, -inf, nan
    if arg is None or isinstance(arg, (bool, int, float)):
        return repr(arg)
    raise ProgramError(f"an argument that has no text: {arg!r}")


def dim_text(dim: Dim) -> str:
    """A size as text; where plain arithmetic would not read back alike, as the tree it is."""
    if isinstance(dim, int):
        return str(dim)
    text = _sum(dim.expr)[0]
    if read_size(text) == dim:
        return text
    text = f"exactly({_tree(dim.expr)})"
    if read_size(text) != dim:
        raise ProgramError(f"a size that has no text: {sympy.srepr(dim.expr)}")
    return text


def _sum(expr: sympy.Expr) -> tuple[str, int]:
    """A size expression as text with its binding strength; ``/`` is exact division."""
    if expr.is_Symbol:
        return quoted(expr.name), ATOM
    if expr.is_Rational:
        text = str(expr)
        return text, PRODUCT if "/" in text else (UNARY if text.startswith("-") else ATOM)
    if expr.is_Add:
        terms = sorted(expr.args, key=lambda t: (t.is_number, bool(t.could_extract_minus_sign())))
        out = wrap(_sum(terms[0]), SUM)
        for term in terms[1:]:
            minus = bool(term.could_extract_minus_sign())
            out += f" {'-' if minus else '+'} {wrap(_sum(-term if minus else term), PRODUCT)}"
        return out, SUM
    if expr.is_Mul:
        return "*".join(wrap(_sum(a), POWER) for a in expr.args), PRODUCT
    if expr.is_Pow:
        return f"{wrap(_sum(expr.base), ATOM)}**{wrap(_sum(expr.exp), ATOM)}", POWER
    return f"{type(expr).__name__}({', '.join(_sum(a)[0] for a in expr.args)})", ATOM


def _tree(expr: sympy.Expr) -> str:
    if not expr.args:
        return _sum(expr)[0]
    return f"{type(expr).__name__}({', '.join(map(_tree, expr.args))})"


__all__ = ["dim_text", "parse_program", "program_text", "quoted"]
