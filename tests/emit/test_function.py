"""The differentiable operator: the same bits as the derivation, in every setting torch has."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import backhand
from backhand.errors import InputError
from tests.kept import kept
from tests.programs.loading import PROGRAMS
from tests.programs.loading import derived as derive_example

derived = cache(derive_example)


def layer(x, weight, bias, gain):
    hidden = torch.tanh(x @ weight + bias)
    normed = hidden * torch.rsqrt((hidden**2).mean(-1, keepdim=True) + 1e-5)
    return normed * gain


def tensors(n: int = 6, seed: int = 0, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    shapes = [(n, 4), (4, 5), (5,), (5,)]
    return [torch.randn(s, generator=g, dtype=dtype).requires_grad_() for s in shapes]


@pytest.fixture(scope="module")
def bp() -> backhand.Backprop:
    return backhand.derive(layer, *(t.detach() for t in tensors()))


def grads(function: Any, values: list[Any], seed: int = 3) -> list[torch.Tensor]:
    """The gradients of everything that asks for one, with upstreams of ones."""
    torch.manual_seed(seed)
    outs = [
        o
        for o in torch.utils._pytree.tree_leaves(function(*values))
        if isinstance(o, torch.Tensor) and o.requires_grad
    ]
    asked = [v for v in values if isinstance(v, torch.Tensor) and v.requires_grad]
    return list(torch.autograd.grad(outs, asked, [torch.ones_like(o) for o in outs]))


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(
        x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a, b, strict=True)
    )


QUICK = [name for name in PROGRAMS if name not in ("attention", "conv_net", "llama_block")]


@pytest.mark.parametrize("name", QUICK)  # the saving tests have the larger ones
def test_backward_gives_the_derivations_bits(name: str) -> None:
    bp, _ = derived(name)
    values = [
        v.detach().clone().requires_grad_(leaf.name in bp.gradient_names)
        if isinstance(v := leaf.value, torch.Tensor)
        else v
        for leaf in bp.leaves
    ]
    found = grads(bp.function(), values)
    up = None
    if not bp.scalar:
        torch.manual_seed(3)
        up = torch.ones_like(bp.function()(*values))
    torch.manual_seed(3)
    _, wanted = bp(*bp.captured.arguments.args, upstream=up)
    assert same(found, list(wanted.values()))


def test_agrees_with_autograd_at_other_sizes_and_layouts(bp: backhand.Backprop) -> None:
    f = bp.function()
    for n in (2, 9):
        values = tensors(n)
        assert same(grads(f, values), grads(layer, values))
    x = torch.randn(4, 9).t().requires_grad_()
    wide = torch.randn(5, 8)[:, ::2].t().requires_grad_()
    values = [x, wide, *tensors()[2:]]
    assert not x.is_contiguous() and not wide.is_contiguous()
    out = f(*values)
    _, wanted = bp(*(v.detach() for v in values), upstream=torch.ones_like(out))
    found = grads(f, values)
    assert same(found, list(wanted.values()))
    # autograd itself multiplies in another order where a matrix lies transposed in memory
    for got, true in zip(found, grads(layer, values), strict=True):
        torch.testing.assert_close(got, true)


def test_what_does_not_fit_is_derived_anew(bp: backhand.Backprop) -> None:
    f = bp.function()
    for values in (tensors(1), tensors(dtype=torch.float64)):
        assert same(grads(f, values), grads(layer, values))
    with pytest.raises(InputError, match="takes 4 inputs"):
        f(values[0])


def test_the_text_refuses_what_it_was_not_derived_for(bp: backhand.Backprop) -> None:
    space: dict[str, Any] = {}
    exec(bp.emit("function"), space)
    f = space["layer"]
    f(*tensors())
    for values, said in (
        (tensors(1), "derived for sizes of 2 and more"),
        (tensors(dtype=torch.float64), "x is torch.float64 with 2 axes; derived for torch.float32"),
        ([tensors()[0][0], *tensors()[1:]], "x is torch.float32 with 1 axes"),
        ([*tensors()[:3], torch.randn(4)], r"gain is \[4\]; expected \[5\]"),
    ):
        with pytest.raises(ValueError, match=said):
            f(*values)


def test_gradients_that_nobody_asks_for_are_not_computed(bp: backhand.Backprop) -> None:
    f = bp.function()
    full = grads(f, tensors())
    for asked in itertools.product([False, True], repeat=4):
        if any(asked):
            values = [t.requires_grad_(a) for t, a in zip(tensors(), asked, strict=True)]
            wanted = [g for g, a in zip(full, asked, strict=True) if a]
            assert same(grads(f, values), wanted), asked
    with torch.profiler.profile() as ran:
        grads(f, [t.requires_grad_(i == 3) for i, t in enumerate(tensors())])
    products = sum(e.count for e in ran.key_averages() if e.key == "aten::mm")
    assert products == 1  # the forward pass's own: the gain needs none


# torch's tracer makes an instance of an autograd.Function, which torch itself warns about
TRACED = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@TRACED
def test_compiled(bp: backhand.Backprop) -> None:
    torch._dynamo.reset()
    f = bp.function()
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager", dynamic=True)
    for n in (6, 9):
        assert same(grads(compiled, tensors(n)), grads(f, tensors(n)))
    with pytest.raises(Exception, match="derived for sizes of 2 and more"):
        torch.compile(f, fullgraph=True, backend="eager")(*tensors(1))


@TRACED
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_compiled_with_inductor(bp: backhand.Backprop) -> None:
    torch._dynamo.reset()
    backend = "inductor" if shutil.which("g++") or shutil.which("clang++") else "aot_eager"
    f = bp.function()
    compiled = torch.compile(f, fullgraph=True, backend=backend)
    for got, want in zip(grads(compiled, tensors()), grads(f, tensors()), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_autocast_keeps_the_dtypes_of_the_derivation(bp: backhand.Backprop, where: str) -> None:
    f = bp.function()
    values = tensors()
    plain = f(*values)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = f(*values)
        assert torch.equal(out, plain) and out.dtype == torch.float32
        low = values[0].detach().bfloat16().requires_grad_()
        cast = f(low, *values[1:])
        assert cast.dtype == torch.float32
        if where == "inside":
            cast.sum().backward()
    if where == "outside":
        cast.sum().backward()
    exact = low.detach().float().requires_grad_()
    (wanted,) = torch.autograd.grad(f(exact, *values[1:]).sum(), exact)
    assert low.grad is not None and torch.equal(low.grad, wanted.bfloat16())


def test_a_second_derivative_is_refused_or_right(bp: backhand.Backprop) -> None:
    values = tensors(dtype=torch.float64)
    wide = backhand.derive(layer, *(t.detach() for t in values))

    def penalty(f: Any) -> torch.Tensor:
        (g,) = torch.autograd.grad(f(*values).pow(2).sum(), values[0], create_graph=True)
        (second,) = torch.autograd.grad(g.pow(2).sum(), values[1])
        return second

    with pytest.raises(RuntimeError, match="layer is differentiable once: what it saved"):
        penalty(wide.function())
    again = wide.function(save=["x", "weight", "bias", "gain"])
    torch.testing.assert_close(penalty(again), penalty(layer), rtol=1e-9, atol=1e-12)


# the first use of forward mode loads decompositions by way of torch.jit
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_transforms(bp: backhand.Backprop) -> None:
    f = bp.function()
    x, *rest = (t.detach() for t in tensors())
    batch = torch.randn(3, 6, 4)
    torch.testing.assert_close(
        torch.vmap(f, (0, None, None, None))(batch, *rest),
        torch.stack([layer(b, *rest) for b in batch]),
    )

    def loss(g: Any) -> Any:
        return lambda x, *rest: g(x, *rest).pow(2).sum()

    per_sample = torch.vmap(torch.func.grad(loss(f)), (0, None, None, None))(batch, *rest)
    wanted = torch.stack([torch.func.grad(loss(layer))(b, *rest) for b in batch])
    torch.testing.assert_close(per_sample, wanted)
    with pytest.raises(NotImplementedError, match="jvp"):
        torch.func.jvp(f, (x, *rest), (x, *rest))


def many(x, k: int, index):
    wide = (x * k).reshape(k, -1)
    top = wide.max(1)
    return {"values": top.values, "rest": [top.indices, wide.mean()]}, x[index], 3


def test_several_outputs_and_integers() -> None:
    x = torch.randn(6, 4)
    index = torch.tensor([0, 2, 5])
    f = backhand.derive(many, x, 3, index).function()
    asked = x.clone().requires_grad_()
    out, wanted = f(asked, 3, index), many(asked, 3, index)
    assert torch.equal(out[0]["rest"][0], wanted[0]["rest"][0]) and out[2] == 3
    for pick in (lambda o: o[0]["values"], lambda o: o[0]["rest"][1], lambda o: o[1]):
        got, true = (torch.autograd.grad(pick(o).sum(), asked, retain_graph=True)[0]
                     for o in (out, wanted))
        assert torch.equal(got, true)
    assert not out[0]["rest"][0].requires_grad
    double = torch.randn(8, 4, requires_grad=True)
    assert same(grads(f, [double, 2, index]), grads(many, [double, 2, index]))


def noisy(x, w):
    kept = F.dropout(x @ w, 0.5)
    return (kept + torch.randn_like(kept)).tanh().sum()


def test_random_numbers_are_drawn_once() -> None:
    x, w = torch.randn(6, 4), torch.randn(4, 5)
    values = [x.requires_grad_(), w.requires_grad_()]
    derivation = backhand.derive(noisy, x.detach(), w.detach())
    for save in ("fast", "least"):
        assert same(grads(derivation.function(save=save), values), grads(noisy, values))


def test_views_and_arguments_handed_through() -> None:
    def f(x, y):
        return x.t(), y, x + y

    x, y = torch.randn(3, 3), torch.randn(3, 3)
    bp = backhand.derive(f, x, y)
    values = [x.requires_grad_(), y.requires_grad_()]
    for g in (bp.function(), bp.function(operator="backhand_test::views")):
        assert same(grads(g, values), grads(f, values))


def test_an_argument_that_is_handed_through_may_be_saved() -> None:
    def f(x):
        return x.sin() * x, x.to(torch.float64)

    x = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    bp = backhand.derive(f, x.detach())
    for save in ("fast", "least", ["x"]):
        assert same(grads(bp.function(save=save), [x]), grads(f, [x])), save

    def g(x):
        """What is flat already is not copied."""
        return (x.flatten() * 2).exp() * x.flatten()

    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    for values in ([x.detach()], [x.detach()[:, None]]):
        bp = backhand.derive(g, *values)
        assert same(grads(bp.function(), [x]), grads(g, [x]))


def test_a_scale_made_of_sizes_is_no_condition() -> None:
    """Attention takes the root of a size, of which torch notes that it is not negative."""
    w = torch.randn(4, 3, requires_grad=True)

    def f(w):
        return F.scaled_dot_product_attention(w, w, w).sum()

    bp = backhand.derive(f, w.detach())
    assert "_require(min(w.shape[0], w.shape[1]) >= 2" in bp.emit("function")
    assert "** 0.5 >=" not in bp.emit("function") and "**0.5 >=" not in bp.emit("function")
    other = torch.randn(5, 7, requires_grad=True)
    for values in ([w], [other]):
        for ours, theirs in zip(grads(bp.function(), values), grads(f, values), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_nothing_is_kept_for_its_shape() -> None:
    """Zeros in the likeness of an input need its sizes alone, and those are no tensors."""

    def f(table, rows):
        return table[rows].exp().sum()

    table, rows = torch.randn(50, 3), torch.tensor([1, 4, 4, 0])
    bp = backhand.derive(f, table, rows)
    for save in ("fast", "least"):
        plan = bp.saving(save)
        assert "table" not in [v.var for v in plan.saved]
        for operator in (None, f"backhand_test::rows_{save}"):
            g = bp.function(save=save, operator=operator)
            for n in (50, 70):
                values = torch.randn(n, 3, requires_grad=True)
                assert held(lambda v=values, g=g: g(v, rows)) == plan.bytes
                ours, theirs = (torch.autograd.grad(h(values, rows), values) for h in (g, f))
                assert torch.equal(ours[0], theirs[0])


def held(call: Any) -> int:
    """The bytes that autograd is asked to keep."""
    storages: dict[int, int] = {}

    def pack(t: torch.Tensor) -> torch.Tensor:
        storages[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = call()
    del out
    return sum(storages.values())


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(4, 3)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x):
        return torch.relu(self.fc(x) + self.shift).pow(2).sum()


class Shipped(Net):
    """The same module on the derived operator."""

    def __init__(self, operator: Any) -> None:
        super().__init__()
        self.operator = operator

    def forward(self, x):
        return self.operator(x, self.fc.weight, self.fc.bias, self.shift)


def test_a_modules_parameters_are_arguments() -> None:
    net = Net()
    x = torch.randn(5, 4)
    bp = backhand.derive(net, x)
    ours = Shipped(bp.function())
    ours.load_state_dict(net.state_dict())
    net(x).backward()
    ours(x).backward()
    for a, b in zip(net.parameters(), ours.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def _replica(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    try:
        torch.manual_seed(0)
        net = Net()
        data = torch.randn(8, 4)
        ours = Shipped(backhand.derive(net, data[:4]).function())
        ours.load_state_dict(net.state_dict())
        for model in (net, ours):
            replica = torch.nn.parallel.DistributedDataParallel(model)
            replica(data[4 * rank : 4 * rank + 4]).backward()
        found = [[p.grad for p in m.parameters()] for m in (net, ours)]
        torch.save(found, f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


def test_in_two_processes() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_replica, (port, folder), nprocs=2)
        ranks = [torch.load(f"{folder}/{rank}.pt") for rank in (0, 1)]
    for theirs, ours in ranks:
        assert same(theirs, ours)
    assert same(ranks[0][1], ranks[1][1])


@pytest.fixture(scope="module")
def registered() -> Iterator[list[tuple[backhand.Backprop, Any, list[Any]]]]:
    made = []
    cases = [(layer, tensors()), (many, [torch.randn(6, 4, requires_grad=True), 3,
                                         torch.tensor([0, 2])])]
    for f, values in cases:
        bp = backhand.derive(f, *(v.detach() if isinstance(v, torch.Tensor) else v for v in values))
        made.append((bp, bp.function(operator=f"backhand_test::{f.__name__}"), values))
    yield made


def test_the_registered_operator_passes_opcheck(registered: Any) -> None:
    for _, operator, values in registered:
        found = torch.library.opcheck(operator.registered.default, tuple(values))
        assert set(found.values()) == {"SUCCESS"}, found


def test_the_registered_operator_is_kept_whole(registered: Any) -> None:
    torch._dynamo.reset()
    seen: list[str] = []

    def backend(graph: Any, example: Any) -> Any:
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    bp, operator, values = registered[0]
    assert same(grads(operator, values), grads(bp.function(), values))
    torch.compile(operator, fullgraph=True, backend=backend)(*values)
    assert any("backhand_test.layer" in target for target in seen)
    with pytest.raises(InputError, match="there is an operator backhand_test::layer already"):
        bp.function(operator="backhand_test::layer")
    with pytest.raises(InputError, match="no operator's name"):
        bp.function(operator="layer")


@pytest.mark.parametrize(("name", "save"), [("focal", "fast"), ("article", "least"),
                                            ("vae", "fast")])
def test_text_is_as_kept(name: str, save: str) -> None:
    text = derived(name)[0].emit("function", save=save)
    assert text == kept(f"function_{name}.py.txt", text)
    assert [line for line in text.splitlines() if len(line) > 100 and "#" not in line] == []


@pytest.mark.parametrize("operator", [None, "backhand_tests::loss"])
def test_a_function_may_be_called_as_its_result_is(operator: str | None) -> None:
    """``def loss(…): return …`` gives a value that is named loss, too."""

    def loss(x: Tensor, loss_: Tensor) -> Tensor:
        return (x.exp() * loss_).sum()

    values = [torch.randn(4, requires_grad=True), torch.randn(4)]
    f = backhand.derive(loss, *(v.detach() for v in values)).function(operator=operator)
    assert same(grads(f, values), grads(loss, values))
    with torch.autocast("cpu"):
        assert same(grads(f, values), grads(loss, values))


def test_an_argument_is_not_called_as_the_function_is() -> None:
    def loss(loss: Tensor) -> Tensor:
        return (loss * loss).sum()

    with pytest.raises(InputError, match="of the function and of one of its arguments"):
        backhand.derive(loss, torch.randn(3)).emit("function")


def test_names_that_the_module_needs_are_refused() -> None:
    def f(torch):
        return (torch * torch).sum()

    bp = backhand.derive(f, torch.randn(3))
    with pytest.raises(InputError, match="torch is a name that the emitted module needs itself"):
        bp.emit("function")
