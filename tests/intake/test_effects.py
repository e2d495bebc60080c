"""What statements read and write, told from their text."""

from __future__ import annotations

import ast

import pytest

from backhand.review.sources.effects import effects, free_names, root

HELPERS = """\
def add(into, what):
    into += what
    return scale

def fill(into):
    add(into[0], offset)

def fresh(x):
    x = x * 2
    x += 1
    return x
"""
FUNCTIONS = {n.name: n for n in ast.parse(HELPERS).body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("text", "reads", "binds", "writes"),
    [
        ("dx = g * w", "g w", "dx", "dx"),
        ("a, (b, *c) = x", "x", "a b c", "a b c"),
        ("dx += g", "g dx", "", "dx"),
        ("dC[ix] += g[k]", "g k dC ix", "", "dC"),
        ("dx[range(n), Y] = -1 / n", "n dx range Y", "", "dx"),
        ("x.grad = None", "x", "", "x"),
        ("dx.add_(g).mul_(2)", "dx g", "", "dx"),
        ("dC.index_add_(0, ix, g)", "dC ix g", "", "dC"),
        ("torch.mul(a, b, out=dx)", "torch a b dx", "", "dx torch"),
        ("words.sort()", "words", "", "words"),
        ("random.shuffle(words)", "random words", "", "random words"),
        ("torch.nn.init.zeros_(w)", "torch w", "", "torch w"),
        ("print(x)", "print x", "", ""),
        ("loss.backward()", "loss", "", ""),
        ("w.requires_grad_()", "w", "", "w"),
        ("y = [k * a for k in b if k > c]", "b c a", "y", "y"),
        ("y = {k: v for k, v in b.items()}", "b", "y", "y"),
        ("f = lambda k: k + a", "a", "f", "f"),
        ("for k in range(n):\n  t = x[k]\n  d[k] += t", "range n x d", "k t", "k t d"),
        ("if a:\n  x = 1\nelse:\n  x = b", "a b", "x", "x"),
        ("if a:\n  x = 1\ny = x", "a", "", "x"),
        ("with open(p) as f:\n  t = f.read()", "open p", "f t", "f t"),
        ("import a.b as c, d.e", "", "c d", "c d"),
        ("def f(x, y=z):\n  return x + g", "z g", "f", "f"),
        ("def f(x: T, *, y: S = z) -> R:\n  return x", "z T S R", "f", "f"),
        ("x: T = y", "T y", "x", "x"),
        ("class K(B):\n  a = b\n  c = a", "B b", "K", "K"),
        ("if (m := x.max()) > 0:\n  y = m", "x", "m", "m y"),
        ("add(dx, g)", "add dx g scale", "", "dx"),
        ("fill(dx)", "fill dx scale offset", "", "dx"),
        ("y = fresh(x)", "fresh x", "y", "y"),
    ],
)
def test_reads_and_writes(text: str, reads: str, binds: str, writes: str) -> None:
    found = effects(ast.parse(text).body[0], FUNCTIONS)
    assert set(found.reads) >= set(reads.split()) - {"scale", "offset"}
    assert set(found.reads) <= set(reads.split()) | {"add"}
    assert set(found.binds) == set(binds.split())
    assert set(found.writes) == set(writes.split())


def test_helpers_bring_what_they_need() -> None:
    found = effects(ast.parse("fill(dx)").body[0], FUNCTIONS)
    assert {"scale", "offset"} <= set(found.reads)
    assert free_names(FUNCTIONS["add"]) == ("scale",)


@pytest.mark.parametrize(
    ("text", "name"), [("x.data[0].T", "x"), ("x.view(-1)[0]", "x"), ("f(x)[0]", None), ("3", None)]
)
def test_root(text: str, name: str | None) -> None:
    assert root(ast.parse(text, mode="eval").body) == name
