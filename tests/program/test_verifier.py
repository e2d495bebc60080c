"""The verifier: well-formed programs pass, and every way of being wrong is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import backhand
from backhand.errors import ProgramError
from backhand.program.ir import Node, Program, Step, Value, map_arg
from backhand.program.sizes import Size, symbol
from backhand.program.verifier import check_program, size_bindings
from examples import article
from tests.helpers import checked, holds
from tests.programs.loading import PROGRAMS, derived


def article_inputs(n=8):
    C, W1, W2 = torch.randn(27, 10), torch.randn(30, 64), torch.randn(64, 27)
    b1, gain, bias, b2 = torch.randn(64), torch.randn(1, 64), torch.randn(1, 64), torch.randn(27)
    Xb, Yb = torch.randint(0, 27, (n, 3)), torch.randint(0, 27, (n,))
    return C, Xb, W1, b1, gain, bias, W2, b2, Yb


def test_the_article_after_every_pass():
    checked(backhand.derive(article.forward, *article_inputs()))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_example_programs_after_every_pass(name):
    checked(derived(name)[0], bindings=1)


def small():
    def forward(x, w):
        y = x @ w
        z = y.sum(0)
        return (z * z).mean()

    return backhand.derive(forward, torch.ones(4, 3), torch.ones(3, 2))


def mutated(program, name, **changes):
    """The program with some fields of one value changed, where it is made and read."""

    def change(v):
        return replace(v, **changes) if v.name == name else v

    steps = tuple(
        replace(s, nodes=tuple(
            replace(node, args=tuple(map_arg(a, change) for a in node.args),
                    outs=tuple(map(change, node.outs)))
            for node in s.nodes))
        for s in program.steps
    )  # fmt: skip
    return replace(program, steps=steps)


def test_a_wrong_shape_is_named():
    program = small().captured.program
    with pytest.raises(ProgramError, match=r"z = sum\(y\) in step z: z is said to be float32\[4\]"):
        check_program(mutated(program, "z", shape=(program.inputs[0].shape[0],)))


def test_a_shape_that_is_right_only_at_the_examples_sizes_is_found():
    program = small().captured.program
    with pytest.raises(ProgramError, match=r"z is said to be float32\[2\], but is float32"):
        check_program(mutated(program, "z", shape=(2,)))


def test_a_wrong_dtype_is_named():
    with pytest.raises(ProgramError, match=r"z is said to be float64.*but is float32"):
        check_program(mutated(small().captured.program, "z", dtype="float64"))


X, Y = Value("x", (2, 3), "float32", "x"), Value("y", (2, 3), "float32", "y")


def program_of(*nodes, inputs=(X,), outputs=(Y,)):
    return Program("p", inputs, (Step("y", nodes),), outputs)


STRANGE = Value("y", (Size(symbol("k")),), "float32", "y")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (program_of(Node("exp", (Y,), (Y,))), "y is read before it is made"),
        (program_of(Node("exp", (X,), (Y,)), Node("exp", (X,), (Y,))), "y is made a second time"),
        (program_of(Node("exp", (X,), (X,))), "x is made a second time"),
        (program_of(Node("exp", (replace(X, var=None),), (Y,))), "x was made as .* and is read as"),
        (program_of(Node("exp", (X,), (STRANGE,))), "y has the unknown size k"),
        (program_of(Node("view", (X, (Size(symbol("k")),)), (Y,))), "has the unknown size k"),
        (program_of(Node("exp", (X, 1), (Y,))), "2 arguments where exp takes 1"),
        (program_of(Node("exp", (X,), (Y, replace(Y, name="z")))), "2 outputs where exp has 1"),
        (program_of(Node("nope", (X,), (Y,))), "no operator named 'nope'"),
        (program_of(Node("view", (X, (7,)), (Y,))), "y = view.* fails as it stands: .*invalid"),
        (program_of(outputs=(Y,)), "the outputs: y is read before it is made"),
        (program_of(inputs=(X, X), outputs=(X,)), "the inputs: x is made a second time"),
    ],
)
def test_what_is_not_well_formed_is_named(program, message):
    with pytest.raises(ProgramError, match=message):
        check_program(program)


def test_other_sizes_respect_what_tracing_assumed():
    def forward(x, y):
        return (x.view(-1, 2) + y).sum()

    bp = backhand.derive(forward, torch.ones(6), torch.ones(3, 2))
    for sizes in size_bindings(bp.captured.program, lambda s: holds(bp, s), 5):
        assert holds(bp, sizes)
    checked(bp)


def test_sizes_that_belong_together_grow_together():
    def forward(q, k, v):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    checked(backhand.derive(forward, *(torch.ones(2, 4, 3) for _ in range(3))))
