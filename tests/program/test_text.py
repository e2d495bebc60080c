"""Programs as text: what is printed parses back to the same program."""

from __future__ import annotations

import math
import re

import pytest
import sympy
import torch

import backhand
from backhand.errors import Location, ProgramError
from backhand.program.ir import Node, Program, Step, Value
from backhand.program.sizes import Scalar, Size, Symbol, symbol
from backhand.program.text import dim_text, parse_program, program_text

N, M = symbol("n"), symbol("m")


def one_node(op, args, out, inputs=(), **step):
    inputs = inputs or tuple(a for a in args if isinstance(a, Value))
    return Program("p", inputs, (Step("y", (Node(op, args, (out,)),), **step),), (out,),
                   (Symbol("n", "x", 0, 5, True), Symbol("m", "x", 1, 3, False)))  # fmt: skip


X = Value("x", (Size(N), Size(M)), "float32", "x")


def again(program):
    text = program_text(program)
    parsed = parse_program(text)
    assert parsed == program, text
    assert program_text(parsed) == text
    return text


def test_what_it_looks_like():
    def forward(x, w):
        n = x.shape[0]
        y = x @ w
        loss = (y * y).sum() / n
        return loss

    bp = backhand.derive(forward, torch.ones(4, 3), torch.ones(3, 2))
    text = again(bp.captured.program)
    assert "size n = x.shape[0] (example 4, named)\n" in text
    assert "input x: float32[n, x_1]\n" in text
    assert "  | y = x @ w\n  y: float32[n, w_1] = matmul(x, w)\n" in text
    assert "  loss: float32[] = div(%loss_2, n)\n" in text
    assert text.endswith("output loss\n")
    assert str(bp.captured.program) == text


@pytest.mark.parametrize(
    "arg",
    [1, -3, 2.0, -0.5, 1e-05, -1e30, 0.0, -0.0, math.inf, -math.inf, True, False, None,
     Size(N), Size(N - 1), Size(-N), Size(N * M), Size(N * M / 2), Size(sympy.floor(N / 2)),
     Size((N + 1) * M), Size(N**2), Size(sympy.floor((N - 1) / 2) + 1),
     Scalar("div", (1, Size(N))), Scalar("div", (1, Size(N - 1))), Scalar("sub", (Size(N), 1)),
     Scalar("neg", (Scalar("sqrt", (Scalar("float", (Size(N),)),)),)), (1, 2), (Size(N),), ()],
    ids=repr,
)  # fmt: skip
def test_arguments(arg):
    y = Value("y", (Size(N),), "float32", "y")
    program = one_node("clamp", (X, arg, None), y)
    again(program)
    found = next(parse_program(program_text(program)).nodes()).args[1]
    assert type(found) is type(arg)
    assert repr(found) == repr(arg)  # -0.0, and 1 against True


def test_torchs_own_functions_of_sizes():
    from torch.utils._sympy.functions import FloorDiv, Max, Mod, PythonMod

    y = Value("y", (), "float32", "y")
    for expr in (FloorDiv(N, 2), Mod(N, 3), PythonMod(N, 3), Max(N, M), 2 * FloorDiv(N - 1, M) + 1):
        again(one_node("clamp", (X, Size(expr), None), y))


def test_an_expression_that_arithmetic_would_change_is_written_as_a_tree():
    kept = Size(sympy.Mul(2, sympy.Add(N, 1), evaluate=False))
    text = dim_text(kept)
    assert text.startswith("exactly(")
    again(one_node("clamp", (X, kept, None), Value("y", (kept,), "float32", "y")))


def test_strings_lists_dtypes_and_keywords():
    out = Value("y", (Size(N),), "float64", None)
    again(one_node("sum", (X, (0, 1), True, "float64"), out))
    again(one_node("gelu", (X, "tanh"), out))
    again(one_node("index", (X, (None, Value("i", (3,), "int64", "i"))), out,
                   inputs=(X, Value("i", (3,), "int64", "i"))))  # fmt: skip


def test_names_that_are_no_identifiers_or_mean_something_else():
    for name in ("a b", "x`y", "None", "inf", "ü", 'quo"te', "back\\slash", "n", "div", "42"):
        x = Value(name, (Size(N),), "float32", name)
        other = Value("b", (), "float32", "an other")
        y = Value("y", (), "float32", None)
        again(one_node("add", (x, other), y, inputs=(x, other)))


def test_values_without_a_name_and_with_another_one():
    x, t = Value("x", (2,), "float32", "x"), Value("t_1", (2,), "float32", None)
    y = Value("dx_1", (2,), "float32", "dx")
    nodes = (Node("exp", (x,), (t,)), Node("neg", (t,), (y,)))
    text = again(Program("p", (x,), (Step("y", nodes),), (y, x)))
    assert "%t_1: float32[2] = exp(x)" in text
    assert "dx_1 as dx: float32[2] = neg(%t_1)" in text


def test_several_outputs():
    x = Value("x", (3, 4), "float32", "x")
    outs = (Value("v", (3,), "float32", "v"), Value("i", (3,), "int64", None))
    node = Node("max_dim", (x, 1, False), outs)
    text = again(Program("p", (x,), (Step("v", (node,)),), outs[:1]))
    assert "v: float32[3], %i: int64[3] = max_dim(x, 1)" in text


SOURCES = ["", "y = x", "a\nb", "tab\there", '"quoted" | > %', " indented"]
PLACES = [None, ("f.py", 3, None), ("a b.py", 1, ""), ('q".py', 9, "x\n\ny")]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("where", PLACES)
def test_headings(source, where):
    location = None
    if where is not None:
        file, line, text = where
        location = Location(file, line, source if text is None else text)
    y = Value("y", (), "float32", "y")
    again(one_node("clamp", (X, 1, None), y, source=source, where=location))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not start with `program NAME`"),
        ("input x: float32[2]", "line 1: `program NAME` stands first"),
        ("program p\nprogram q", "line 2: `program NAME` stands first, and once"),
        ("program p\noutput y", "line 2: y is read before it is defined"),
        ("program p\ninput x: float32[2]\ninput x: float32[2]", "line 3: x is defined twice"),
        ("program p\nfoo x", "line 2: unknown heading 'foo'"),
        ("program p\n  y: float32[] = exp(x)", "line 2: an indented line outside a step"),
        ("program p\ninput x: float32[2]\nstep y\n  y: float32[2] = nope(x)", "line 4: no op"),
        ("program p\ninput x: float32[2]\nstep y\n  y: float32[2] = sum(x, bad=1)", "unknown arg"),
        ("program p\ninput x: float32[2", "line 2: expected"),
        ("program p\ninput x: float32[2] rest", "line 2: unexpected 'rest'"),
        ("program p\nsize n = x.shape[0]", "line 2: expected '('"),
        ("program p\ninput x: float32[?]", "cannot read"),
        ("program p\ninput x: float32[Nope(n)]", "no function of sizes is called 'Nope'"),
    ],
)
def test_unreadable_text_says_where(text, message):
    with pytest.raises(ProgramError, match=re.escape(message)):
        parse_program(text)
