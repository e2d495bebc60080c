"""Saving plans: the same bits whatever is saved, the bytes that are held, the fewest of them."""

from __future__ import annotations

import itertools
import random
from functools import cache
from typing import Any

import pytest
import torch

import backhand
from backhand.errors import InputError
from backhand.longhand.cut import least_cut
from backhand.program.ops import get_op
from tests.programs.loading import derived as derive_example

derived = cache(derive_example)
NAMES = ("article", "conv_net", "gpt_block", "vae")


@pytest.fixture(scope="module", params=NAMES)
def bp(request: pytest.FixtureRequest) -> backhand.Backprop:
    return derived(request.param)[0]


def inputs(bp: backhand.Backprop) -> list[Any]:
    return [
        v.detach().clone().requires_grad_(leaf.name in bp.gradient_names)
        if isinstance(v := leaf.value, torch.Tensor)
        else v
        for leaf in bp.leaves
    ]


def gradients(bp: backhand.Backprop, save: Any, values: list[Any]) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    out = bp.function(save=save)(*values)
    asked = [v for v in values if isinstance(v, torch.Tensor) and v.requires_grad]
    found = torch.autograd.grad(out, asked, torch.ones_like(out))
    return dict(zip(bp.gradient_names, found, strict=True))


@pytest.mark.parametrize("save", ["fast", "least", "inputs"])
def test_gradients_have_the_same_bits(bp: backhand.Backprop, save: str) -> None:
    values = inputs(bp)
    names: Any = save
    if save == "inputs":  # everything else is made again, except what is drawn once
        drawn = [n.outs[0].var for n in bp.program.nodes() if get_op(n.op).random]
        names = [n for n in (*(v.name for v in bp.program.inputs), *drawn) if n is not None]
        names = [n for n in names if not _useless(bp, names, n)]
    torch.manual_seed(3)
    args = bp.captured.arguments.args
    up = None if bp.scalar else torch.ones_like(bp.function()(*values))
    torch.manual_seed(3)
    _, wanted = bp(*args, upstream=up)
    for of, got in gradients(bp, names, values).items():
        assert torch.equal(got, wanted[of]), of


def _useless(bp: backhand.Backprop, names: list[str], name: str) -> bool:
    try:
        bp.saving(names)
    except InputError as error:
        said = str(error)
        return "nothing in the backward pass" in said and name in said.split("from ")[1].split(", ")
    return False


@pytest.mark.parametrize("save", ["fast", "least"])
def test_the_plan_says_what_is_held(bp: backhand.Backprop, save: str) -> None:
    plan = bp.saving(save)
    held: dict[int, int] = {}

    def pack(t: torch.Tensor) -> torch.Tensor:
        held[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    operator = bp.function(save=save)
    values = inputs(bp)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        operator(*values)
    assert sum(held.values()) == plan.bytes
    assert f"saved: {plan.bytes:,} bytes" in str(plan)
    assert str(plan) == str(bp.saving(save))


def test_least_is_least_and_makes_no_contraction_again(bp: backhand.Backprop) -> None:
    fast, least = bp.saving("fast"), bp.saving("least")
    assert least.bytes <= fast.bytes
    forward = {v.name for v in bp.program.values()}
    for node in least.backward.program.nodes():
        if node.outs[0].name in forward:
            op = get_op(node.op)
            assert op.kind not in ("contraction", "random"), node
            assert not op.name.startswith(("convolution", "transposed")), node


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    probs = scores.softmax(-1)
    out = probs @ v
    return out


def gated(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """In shorthand an attention by softmax is the library's kernel, which has no scores to keep."""
    gates = (q @ k.transpose(-2, -1)).sigmoid()
    out = gates @ v
    return out


@pytest.mark.parametrize("form", ["longhand", "shorthand"])
@pytest.mark.parametrize(("length", "again"), [(96, True), (16, False)])
def test_least_makes_scores_of_attention_again_where_they_are_large(
    form: str, length: int, again: bool
) -> None:
    inputs = [torch.randn(2, 2, length, 8, requires_grad=True) for _ in range(3)]
    function = attention if form == "longhand" else gated
    bp = backhand.derive(function, *inputs)
    fast, least = (bp.saving(save, form=form) for save in ("fast", "least"))
    forward = {v.name for v in bp.program.values()}
    made = [n for n in least.backward.program.nodes() if n.outs[0].name in forward]
    assert any(get_op(n.op).kind == "contraction" for n in made) is again
    small, large = 4 * 2 * 2 * length * 8, 4 * 2 * 2 * length * length  # in float32
    assert fast.bytes > large
    assert (least.bytes < large) is again
    assert least.bytes <= (5 * small if again else fast.bytes)  # q, k, v, and y or sums of rows
    out = function(*inputs)
    up = torch.randn_like(out)
    truth = torch.autograd.grad(out, inputs, up)
    found = torch.autograd.grad(bp.function(form=form, save="least")(*inputs), inputs, up)
    for ours, true in zip(found, truth, strict=True):
        torch.testing.assert_close(ours, true)


def test_least_keeps_fewer_bytes_of_the_article() -> None:
    bp = derived("article")[0]
    assert bp.saving("least").bytes < 0.75 * bp.saving("fast").bytes


def test_names_are_checked() -> None:
    bp = derived("vae")[0]
    with pytest.raises(InputError, match="no value named 'nosuch'"):
        bp.saving(["nosuch"])
    with pytest.raises(InputError, match=r"also needs the inputs x, We.* and noise, random"):
        bp.saving(["mean"])
    everything = [v.var or v.name for v in bp.saving("fast").saved]
    assert {v.name for v in bp.saving(everything).saved} == {
        v.name for v in bp.saving("fast").saved
    }
    with pytest.raises(InputError, match="nothing in the backward pass is computed from loss"):
        bp.saving([*everything, "loss"])
    with pytest.raises(InputError, match="save must be fast, least or a list of names"):
        bp.saving("most")


def test_other_forms_are_refused_by_name() -> None:
    bp = derived("focal")[0]
    assert bp.form("longhand", "exact") is bp.derived("exact")
    with pytest.raises(InputError, match="no form 'middlehand'"):
        bp.form("middlehand")


def test_a_cut_is_minimal() -> None:
    """Against every choice of edges, on small networks."""
    rng = random.Random(1)
    nodes = ["s", "a", "b", "c", "d", "t"]
    for _ in range(60):
        pairs = [(x, y) for x, y in itertools.combinations(nodes, 2) if rng.random() < 0.6]
        edges = [(x, y, rng.randint(1, 9)) for x, y in pairs]
        found = least_cut(edges, "s", "t")
        behind = {n for n in nodes if n == "t" or n in found}
        best = min(
            sum(c for x, y, c in edges if x in side and y not in side)
            for r in range(5)
            for some in itertools.combinations("abcd", r)
            for side in [{"s", *some}]
        )
        cut = _cost(edges, found)
        assert cut == best, (edges, found, behind)


def _cost(edges: list[tuple[str, str, int]], heads: set[str]) -> int:
    """What the cut with these heads costs: the edges into them from what ``s`` still reaches."""
    reached, waiting = {"s"}, ["s"]
    while waiting:
        x = waiting.pop()
        for a, b, _ in edges:
            if a == x and b not in heads and b not in reached:
                reached.add(b)
                waiting.append(b)
    assert "t" not in reached
    return sum(c for a, b, c in edges if a in reached and b in heads)
