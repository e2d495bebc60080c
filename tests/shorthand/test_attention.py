"""Attention in the author's words, found by algebra and handed to the library's kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import backhand
from backhand.errors import InputError
from backhand.program.ir import Program
from backhand.shorthand import attentions

Forward = Callable[..., Any]


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return torch.softmax(scores, -1) @ v


def by_exponentials(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    counts = (scores - scores.amax(-1, keepdim=True)).exp()
    probs = counts * counts.sum(-1, keepdim=True) ** -1
    return probs @ v


def without_the_largest(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    e = torch.exp(q @ k.mT * 0.25)
    return (e / e.sum(-1, keepdim=True)) @ v


def through_logs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = (q @ k.mT) * q.shape[-1] ** -0.5
    return (scores - scores.logsumexp(-1, keepdim=True)).exp() @ v


def query_scaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.softmax((q / math.sqrt(q.shape[-1])) @ k.mT, dim=-1) @ v


def key_scaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.softmax(q @ (k * 0.3).transpose(-1, -2), dim=-1) @ v


def unscaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).softmax(-1) @ v


def causal_by_tril(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n = q.shape[-2]
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(torch.tril(torch.ones(n, n)) == 0, float("-inf"))
    return scores.softmax(-1) @ v


def causal_by_triu(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n = q.shape[-2]
    future = torch.ones(n, n, dtype=torch.bool).triu(1)
    scores = torch.where(future, float("-inf"), q @ k.mT * 0.5)
    return scores.softmax(-1) @ v


FOUND: list[tuple[Forward, bool]] = [
    (plain, False),
    (by_exponentials, False),
    (without_the_largest, False),
    (through_logs, False),
    (query_scaled, False),
    (key_scaled, False),
    (unscaled, False),
    (causal_by_tril, True),
    (causal_by_triu, True),
]


def heads(*shape: int, n: int = 3, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    g = torch.Generator().manual_seed(sum(shape))
    return [torch.randn(shape, generator=g, dtype=dtype, requires_grad=True) for _ in range(n)]


def both(f: Forward, values: list[Tensor]) -> tuple[Any, ...]:
    out = f(*values)
    up = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad(out, values, up)


def ops(program: Program) -> list[str]:
    return [n.op for n in program.nodes()]


@pytest.mark.parametrize(("f", "causal"), FOUND, ids=lambda x: getattr(x, "__name__", ""))
def test_it_is_found_whatever_its_words(f: Forward, causal: bool) -> None:
    values = heads(2, 3, 5, 4)
    bp = backhand.derive(f, *values)
    (found,) = attentions(bp.captured.program)
    assert found.causal is causal
    for save in ("fast", "least"):
        plan = bp.saving(save, form="shorthand")
        assert "flash_attention" in ops(plan.forward)
        assert "flash_attention_backward" in ops(plan.backward.program)
        # the queries, keys, values, the result, and one number a row; no scores
        assert plan.bytes == 8 * (4 * 2 * 3 * 5 * 4 + 2 * 3 * 5)
        operator = bp.function(form="shorthand", save=save)
        for other in (values, heads(2, 2, 7, 3), heads(3, 2, 4, 8)):
            torch.testing.assert_close(both(operator, other), both(f, other))


@pytest.mark.parametrize("shape", [(5, 4), (3, 5, 4)])
def test_fewer_axes_are_one_batch_or_one_head(shape: tuple[int, ...]) -> None:
    values = heads(*shape)
    bp = backhand.derive(plain, *values)
    assert "_scaled_dot_product_flash_attention_for_cpu" in bp.emit("function", form="shorthand")
    operator = bp.function(form="shorthand")
    for other in (values, heads(*(n + 1 for n in shape))):
        torch.testing.assert_close(both(operator, other), both(plain, other))


def test_the_words_for_people_stay_and_other_libraries_get_them() -> None:
    bp = backhand.derive(plain, *heads(2, 3, 5, 4))
    assert "softmax" in str(bp.shorthand) or "probs" in str(bp.shorthand)
    assert "flash" not in str(bp.shorthand)
    for backend in ("torch", "numpy", "jax"):
        assert "flash" not in bp.emit(backend, form="shorthand", save="least")
    assert "flash" not in bp.emit("function")  # the longhand is the author's, bit for bit


def test_another_width_of_the_values_is_derived_anew() -> None:
    q, k, v = heads(2, 3, 5, 4)
    operator = backhand.derive(plain, q, k, v).function(form="shorthand")
    (wide,) = heads(2, 3, 5, 6, n=1)
    torch.testing.assert_close(both(operator, [q, k, wide]), both(plain, [q, k, wide]))
    apart = backhand.derive(plain, q, k, wide)
    assert "flash" not in apart.emit("function", form="shorthand")


def test_a_batch_of_one_and_one_position() -> None:
    operator = backhand.derive(causal_by_tril, *heads(2, 3, 5, 4)).function(form="shorthand")
    for shape in ((1, 3, 5, 4), (2, 1, 1, 4), (1, 1, 1, 1)):
        values = heads(*shape)
        torch.testing.assert_close(both(operator, values), both(causal_by_tril, values))


def test_no_positions_at_all() -> None:
    """The library's kernel ends the process for an empty query: it is not called."""
    operator = backhand.derive(plain, *heads(2, 3, 5, 4)).function(form="shorthand")
    values = heads(2, 3, 0, 4)
    assert operator(*values).shape == (2, 3, 0, 4)
    assert "flash" not in backhand.derive(plain, *values).emit("function", form="shorthand")


def returns_the_weights(q: Tensor, k: Tensor, v: Tensor) -> Any:
    probs = (q @ k.mT).softmax(-1)
    return probs @ v, probs


def reads_the_scores(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.mT
    return scores.softmax(-1) @ v + scores.mean()


def by_columns(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).softmax(-2) @ v


def squared(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = (q @ k.mT) ** 2
    return (scores / scores.sum(-1, keepdim=True)) @ v


def not_normalised(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    e = (q @ k.mT).exp()
    return (e / (1 + e.sum(-1, keepdim=True))) @ v


def dropped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.dropout((q @ k.mT).softmax(-1), 0.5) @ v


def banded(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each position sees its neighbour to the left as well, but nothing before it."""
    n = q.shape[-2]
    seen = torch.ones(n, n).tril().triu(-1) == 1
    return (q @ k.mT).masked_fill(~seen, float("-inf")).softmax(-1) @ v


def looks_ahead(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    seen = torch.ones(q.shape[-2], q.shape[-2]).triu() == 1
    return (q @ k.mT).masked_fill(~seen, float("-inf")).softmax(-1) @ v


def temperature_of_data(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT * q.norm()).softmax(-1) @ v


LEFT = [
    returns_the_weights, reads_the_scores, by_columns, squared, not_normalised, dropped, banded,
    looks_ahead, temperature_of_data,
]  # fmt: skip


@pytest.mark.parametrize("f", LEFT)
def test_what_is_something_else_is_left_as_it_is(f: Forward) -> None:
    bp = backhand.derive(f, *heads(2, 3, 5, 4))
    assert bp.drop_in() is bp
    assert "flash" not in bp.emit("function", form="shorthand")


def test_a_mask_that_data_decide_is_left() -> None:
    """A row that is masked whole is NaN for a softmax, and 0 for the kernel."""

    def f(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
        return (q @ k.mT).masked_fill(~seen, float("-inf")).softmax(-1) @ v

    values = [*(h.detach() for h in heads(2, 3, 5, 4)), torch.ones(5, 5, dtype=torch.bool)]
    assert "flash" not in backhand.derive(f, *values).emit("function", form="shorthand")


def test_the_same_attention_of_many_layers_is_judged_once(monkeypatch: Any) -> None:
    from backhand.shorthand.gates import Gates

    class Layers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = torch.nn.ModuleList(torch.nn.Linear(8, 24) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            n, length, _ = x.shape
            for layer in self.qkv:
                q, k, v = (t.view(n, length, 2, 4).transpose(1, 2) for t in layer(x).chunk(3, -1))
                y = ((q @ k.mT) * 0.5).softmax(-1) @ v
                x = x + y.transpose(1, 2).reshape(n, length, 8)
            return x.sum()

    judged = []
    refusal = Gates.refusal

    def counted(self: Gates, *args: Any) -> str | None:
        judged.append(1)
        return refusal(self, *args)

    x = torch.randn(2, 5, 8)
    net = Layers()
    bp = backhand.derive(net, x)
    monkeypatch.setattr(Gates, "refusal", counted)
    other = bp.drop_in()
    assert other is not bp and len(judged) == 1
    assert ops(other.captured.program).count("attention") == 3
    values = [x.clone().requires_grad_(), *net.parameters()]
    ours = torch.autograd.grad(bp.function(form="shorthand")(*values), values)
    theirs = torch.autograd.grad(net(values[0]), values)
    torch.testing.assert_close(ours, theirs)


def test_the_gates_refuse_a_kernel_that_gives_something_else(monkeypatch: Any) -> None:
    from backhand.shorthand import attention

    values = heads(2, 3, 5, 4)
    usual = attention._usual
    monkeypatch.setattr(attention, "_usual", lambda query: 2 * usual(query))

    def f(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (2 / math.sqrt(q.shape[-1]) * (q @ k.mT)).softmax(-1) @ v

    bp = backhand.derive(f, *values)
    assert attentions(bp.captured.program)[0].scale is None
    assert bp.drop_in() is bp


def test_axes_that_are_said_to_be_equal_have_to_be() -> None:
    from backhand.capture import capture

    q, k, v = heads(2, 3, 5, 4)
    found = capture(plain, (q, k, v), equal=[(("q", 3), ("v", 3))])
    assert len(found.program.symbols) == 5
    with pytest.raises(InputError, match="axis 2 of q and axis 3 of v have not the same size"):
        capture(plain, (q, k, v), equal=[(("q", 2), ("v", 3))])


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # torch maps in turn
def test_compiled_mapped_and_in_half() -> None:
    values = heads(2, 3, 5, 4, dtype=torch.float32)
    operator = backhand.derive(causal_by_tril, *values).function(form="shorthand")
    compiled = torch.compile(operator, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(both(compiled, values), both(causal_by_tril, values))
    batch = [torch.stack([t.detach(), t.detach().flip(0)]) for t in values]
    mapped = torch.func.vmap(operator)(*batch)
    torch.testing.assert_close(mapped[1], causal_by_tril(*(b[1] for b in batch)))
    half = heads(2, 3, 5, 4, dtype=torch.bfloat16)
    low = backhand.derive(plain, *half).function(form="shorthand")
    for ours, theirs in zip(both(low, half), both(plain, half), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)


def test_the_registered_operator() -> None:
    values = heads(2, 3, 5, 4)
    bp = backhand.derive(plain, *values)
    operator = bp.function(form="shorthand", operator="backhand_test::attention")
    torch.testing.assert_close(both(operator, values), both(plain, values))
    torch.library.opcheck(operator.registered, tuple(v.detach() for v in values))


def test_a_second_derivative_is_refused() -> None:
    values = heads(2, 3, 5, 4)
    operator = backhand.derive(plain, *values).function(form="shorthand")
    (g, *_) = torch.autograd.grad(operator(*values).sum(), values, create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiable once|not implemented"):
        torch.autograd.grad(g.sum(), values)
