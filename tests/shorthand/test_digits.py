"""The first gate: what fifty digits see, what they cannot compare, and that it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import backhand
from backhand.program.ir import Node
from backhand.shorthand.digits import Digits, Finding
from backhand.shorthand.gates import Gates


def normed(x: Tensor) -> Tensor:
    return x / (x**2).sum(1, keepdim=True).sqrt()


def shifted(logits: Tensor) -> Tensor:
    e = (logits - logits.amax(1, keepdim=True)).exp()
    return (e / e.sum(1, keepdim=True)).log().mean()


def cubes(x: Tensor) -> Tensor:
    return (x**3).mean() / (x**2).sum() ** 1.5


def found(forward, *shape: int):
    bp = backhand.derive(forward, torch.randn(shape))
    (region,) = bp.regions
    assert region.lines
    assert region.uncounted is None
    nodes = [n for line in region.lines for n in line.nodes]
    return bp._solved.solver.gates, region, nodes


def compare(gates: Gates, region, nodes: Sequence[Node]) -> Finding:
    return gates.digits.compare(region.nodes, nodes, region.given, region.targets, gates.true)


@pytest.mark.parametrize("forward", [normed, shifted, cubes])
def test_a_form_is_the_same_function_to_the_last_digits(forward) -> None:
    gates, region, nodes = found(forward, 4, 5)
    assert compare(gates, region, nodes) == Finding()


@pytest.mark.parametrize("forward", [normed, shifted, cubes])
def test_a_billionth_of_a_billionth_is_seen(forward) -> None:
    """Far below what float64 can tell."""
    gates, region, nodes = found(forward, 4, 5)
    last = nodes[-1]
    value = replace(last.outs[0], name="nearly")
    off = Node("mul", (value, 1 + 2.0**-52), last.outs)
    wrong = [*nodes[:-1], replace(last, outs=(value,)), off]
    reason = gates.refusal(region.nodes, wrong, region.given, region.targets)
    assert reason is not None
    assert reason.startswith("with fifty digits")


def test_a_dropped_term_is_seen_where_it_is_nearly_nothing() -> None:
    """1e-30 beside 1: gone in float64."""

    def forward(x: Tensor) -> Tensor:
        return (x * x).sum(1, keepdim=True) * x

    gates, region, nodes = found(forward, 3, 4)
    last = nodes[-1]
    value = replace(last.outs[0], name="nearly")
    off = Node("add", (value, 1e-30), last.outs)
    wrong = [*nodes[:-1], replace(last, outs=(value,)), off]
    assert "with fifty digits" in (compare(gates, region, wrong).refusal or "")


def test_an_operator_without_an_exact_version_is_said() -> None:
    def forward(x: Tensor) -> Tensor:
        z = torch.nn.functional.avg_pool2d(x, 2)
        e = z.exp()
        return e / e.sum(1, keepdim=True)

    bp = backhand.derive(forward, torch.randn(2, 3, 4, 4))
    solved = [r for r in bp.regions if r.lines]
    assert solved
    assert all(r.uncounted and "avg_pool2d has no exact version" in r.uncounted for r in solved)
    assert bp.verify(form="shorthand").ok


def test_sizes_at_which_it_would_take_too_long_are_said() -> None:
    bp = backhand.derive(normed, torch.randn(200, 80), symbolic=False)
    (region,) = bp.regions
    assert region.lines
    assert region.uncounted == "more than 10000 numbers at its sizes"


def test_a_gradient_that_is_zero_is_judged_by_what_it_is_made_of() -> None:
    def forward(x: Tensor) -> Tensor:
        e = x.exp()
        return (e / e.sum(1, keepdim=True)).sum()

    gates, region, nodes = found(forward, 3, 4)
    assert compare(gates, region, nodes) == Finding()


def test_the_numbers_are_those_of_the_region() -> None:
    """Two regions of one pass are not compared on the same numbers, one region always is."""
    seen: list[int] = []
    gates, region, nodes = found(normed, 4, 5)
    digits = gates.digits

    def make(kind, value, shape, sizes, seed):
        seen.append(seed)
        return digits_make(kind, value, shape, sizes, seed)

    digits_make = digits.make
    again = Digits(
        digits.forward, digits.backward, digits.sizes, digits.kinds, make, digits.made_up
    )
    for _ in range(2):
        again.compare(region.nodes, nodes, region.given, region.targets, gates.true)
    half = len(seen) // 2
    assert seen[:half] == seen[half:]
    assert len(set(seen)) == half
