"""One tensor as several operands of one operator, and read once more: uses add up in one order.

Two terms are the same in any order, three are not: the third use makes the order visible.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import backhand
from backhand.checking.compare import EXACT, compare
from backhand.rules import RULES, Sample
from tests.helpers import checked

from .front import tied_function_of
from .machinery import Call, shaped
from .values import generator, normal, tensors_in

SIZE = 3  # of every axis, so that operands of one rank can be one tensor
NOT_EXACT: dict[tuple[str, int], str] = {}
# Operators that one tensor cannot be several operands of.
OTHER_SIZES = ("slice_scatter", "max_unpool2d", "max_unpool3d", "grid_sample")
NEVER = {
    **dict.fromkeys(OTHER_SIZES, "operands of one rank must have different sizes"),
    "multilabel_margin_loss_forward": "one operand holds labels",
    "native_layer_norm": "its sizes are arguments too",
}
STATISTICS = "a gradient through the saved statistics is refused"
REFUSED = {"native_batch_norm": STATISTICS, "native_group_norm": STATISTICS}


def _tied(op: str) -> Iterator[tuple[int, Call, list[int]]]:
    """The samples of a rule at one size, with the tensors that can be one and the same."""
    for index, sample in enumerate(RULES[op].samples):
        call = _call(op, index, shaped(sample, lambda shape: (SIZE,) * len(shape)))
        if call is None:
            continue
        ranks = sorted({leaf.value.dim() for leaf in call.leaves if leaf.grad})
        for rank in ranks:
            same = [
                i for i, leaf in enumerate(call.leaves) if leaf.grad and leaf.value.dim() == rank
            ]
            if len(same) > 1:
                yield index, call, same


def _call(op: str, index: int, sample: Sample) -> Call | None:
    try:
        call = Call.of(RULES[op], index, sample=sample)
        call.run(call.values)
    except (RuntimeError, IndexError, ValueError, TypeError):  # not at this size
        return None
    return call


def _may_tie(sample: Sample) -> bool:
    arguments = (*sample.args, *sample.kwargs.values())
    ranks = [len(t.shape) for a in arguments for t in tensors_in(a) if t.grad]
    return len(set(ranks)) < len(ranks)


OPS = [op for op, rule in RULES.items() if any(map(_may_tie, rule.samples)) and op not in REFUSED]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, about odd but legal calls
def test_uses_of_one_tensor_add_up_as_autograd_adds_them(op: str) -> None:
    compared = 0
    for index, call, same in _tied(op):
        others = [i for i in range(len(call.leaves)) if i not in same]
        place = {leaf: 0 for leaf in same} | {leaf: k + 1 for k, leaf in enumerate(others)}

        def fill(given: Any, call: Call = call, place: Any = place) -> tuple[Any, ...]:
            return call.filled([given[place[i]] for i in range(len(call.leaves))])

        forward = tied_function_of(call.op, fill)
        values = [call.values[same[0]], *(call.values[i] for i in others)]
        asked = [True, *(call.leaves[i].grad for i in others)]
        inputs = [v.clone().requires_grad_(g) for v, g in zip(values, asked, strict=True)]
        outputs = [out for out in forward(*inputs) if out.requires_grad]
        rng = generator("tied", op, index)
        ups = [normal(tuple(out.shape), rng).to(out.dtype) for out in outputs]
        (truth,) = torch.autograd.grad(outputs, inputs[:1], ups)
        bp = checked(backhand.derive(forward, *values, wrt=["x"], symbolic=False))
        _, gradients = bp(*values, upstream=tuple(ups))
        found = compare(gradients["x"], truth)
        compared += 1
        if (op, index) in NOT_EXACT:
            assert found.verdict != EXACT, f"exact by now ({NOT_EXACT[op, index]})"
        else:
            assert found.verdict == EXACT, f"{call.label}: {found}"
    assert bool(compared) is (op not in NEVER)
