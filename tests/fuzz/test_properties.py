"""Shapes: elementwise programs on whatever broadcasts, sizes 0 and 1 and rank 0 included."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import BroadcastableShapes, mutually_broadcastable_shapes

from .check import FAULTS, REFUSED, judge
from .generator import BATCH
from .program import Input, Program, Statement

PAIRS = (
    "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / {1}", "torch.maximum({0}, {1})",
    "torch.where({0} > 0, {0}, {1})", "torch.atan2({0}, {1})",
)  # fmt: skip
ALONE = (
    "torch.tanh({0})", "-{0}", "{0} * {0}", "torch.exp({0})", "{0}.abs()", "{0}.sum()",
    "{0}.sum(0, keepdim=True)", "{0}.mean(-1, keepdim=True)", "{0}[None]", "{0}.detach() * {0}",
)  # fmt: skip


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Two or three inputs that broadcast with one another, and a few elementwise statements."""
    shapes: BroadcastableShapes = draw(
        mutually_broadcastable_shapes(
            num_shapes=draw(st.integers(2, 3)), max_dims=4, min_side=0, max_side=3
        )
    )
    dtypes = st.sampled_from([torch.float64, torch.float64, torch.float32])
    kinds = st.sampled_from(["normal", "ties", "edges"])
    inputs = tuple(
        Input(name, shape, draw(dtypes), draw(kinds))
        for name, shape in zip("xyz", shapes.input_shapes, strict=False)
    )
    names = [x.name for x in inputs]
    statements = []
    for i in range(draw(st.integers(1, 4))):
        two = draw(st.booleans())
        text = draw(st.sampled_from(PAIRS if two else ALONE))
        operands = tuple(draw(st.sampled_from(names)) for _ in range(2 if two else 1))
        statements.append(Statement("{t} = " + text, (f"h{i}",), operands))
        names.append(f"h{i}")
    form = draw(st.sampled_from(["loss", "tuple"]))
    return Program(inputs, tuple(statements), tuple(names[-2:]), form, draw(st.integers(0, 99)))


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(programs())
def test_broadcasting_agrees_with_autograd(program: Program) -> None:
    outcome = judge(program)
    assert outcome.verdict not in (*FAULTS, REFUSED), f"{outcome.detail}\n{program.source()}"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(programs(), st.sampled_from([1, 2, 13]))
def test_open_sizes_broadcast_as_fixed_ones_do(program: Program, batch: int) -> None:
    """With a further axis in front, whose size is not the one derived at."""
    inputs = tuple(
        Input(x.name, (BATCH, *(1,) * (4 - len(x.shape)), *x.shape), x.dtype, x.kind)
        for x in program.inputs
    )
    wider = Program(inputs, program.statements, program.outputs, program.form, program.seed, BATCH)
    outcome = judge(wider, symbolic=True, batches=(batch,))
    assert not outcome.fault, f"{outcome.detail}\n{wider.source()}"
