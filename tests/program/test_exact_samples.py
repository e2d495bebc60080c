"""Every operator on its rule's samples, forward and backward: fifty digits, or a stated reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backhand.errors import ProgramError, UnsupportedError
from backhand.program.exact import evaluate_exact, relative_distance
from backhand.program.exact_ops import NONE
from backhand.program.ir import Program, Step
from backhand.program.ops import get_op
from backhand.program.reference import evaluate
from backhand.rules import RULES
from tests.rules.checks import calls
from tests.rules.known import NO_GRADIENT
from tests.rules.machinery import Refused, run

# A convolution's gradient by objects is slow; two samples are enough to see digits lost.
SAMPLES, ELEMENTS = 2, 1000


def nodes(op):
    """The nodes of what the samples become, each with torch's arrays for what it reads."""
    for call in calls(RULES[op])[:SAMPLES]:
        try:
            derived = call.derived
        except (Refused, UnsupportedError):
            continue
        for program in (derived.program, derived.plain.program):
            space = derived.environment()
            run(program, space)
            arrays = {n: v.numpy() for n, v in space.items() if isinstance(v, torch.Tensor)}
            for node in program.nodes():
                given = {v.name: arrays[v.name] for v in node.operands() if v.name in arrays}
                if not get_op(node.op).random and sum(a.size for a in given.values()) <= ELEMENTS:
                    yield node, given


def in_floats(node, given):
    inputs = tuple({v.name: v for v in node.operands()}.values())
    return evaluate(Program("p", inputs, (Step("s", (node,)),), node.outs), given)


@pytest.mark.parametrize("op", RULES)
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, about odd but legal calls
def test_every_node_agrees_or_is_refused(op):
    tried = set()
    for node, given in nodes(op):
        tried.add(node.op)
        if node.op in NONE:
            with pytest.raises(ProgramError, match=NONE[node.op]):
                evaluate_exact([node], given, {})
            continue
        found, truth = evaluate_exact([node], given, {}), in_floats(node, given)
        for value in node.outs:
            if value.dtype == "none":
                continue
            if value.floating:
                limit = 1e-12 if value.dtype == "float64" else 1e-5
                assert relative_distance(found[value.name], truth[value.name]) < limit, node
            else:
                np.testing.assert_array_equal(found[value.name], truth[value.name], str(node))
    assert op in tried or op in NO_GRADIENT or get_op(op).random
