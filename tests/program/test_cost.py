"""The cost model against counts made by hand: what is read and written, once per loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import backhand
from backhand.capture import capture
from backhand.errors import InputError
from backhand.program.cost import Cost, comparison, cost, item_bytes
from backhand.program.ir import Program
from backhand.program.loops import loops

N, K = 64, 48


def program(function: Callable[..., object], *inputs: torch.Tensor) -> Program:
    return capture(function, inputs).program


def alone(function: Callable[..., object], *inputs: torch.Tensor) -> Cost:
    """The cost of straight-line code that is no backward pass of anything."""
    captured = program(function, *inputs)
    return cost(captured, captured)


def matrix(*shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (N, K)))


# single loops, and what parts them


def test_a_chain_of_elementwise_operators_is_one_loop() -> None:
    def f(x, y):
        a = x.exp() * y
        b = a.sin() + x
        return b * a

    # read x, read y, write the result
    assert alone(f, matrix(), matrix()).passes == 3


def test_a_reduction_is_read_in_the_loop_that_makes_its_operand() -> None:
    def f(x, y):
        return (x * y).sum(0), x.sum(0), (x - y).amax(0), (x * x).sum()

    # x and y once, and four small results
    assert alone(f, matrix(), matrix()).passes == 2


def test_reductions_that_keep_different_axes_are_two_loops() -> None:
    assert alone(lambda x: (x.sum(0), x.sum(1)), matrix()).passes == 2
    assert alone(lambda x: (x.sum(0), x.sum()), matrix()).passes == 1


def test_a_reduction_needed_elementwise_again_starts_a_new_loop() -> None:
    def f(x):
        mean = x.mean(1, keepdim=True)
        return x - mean

    # read x for the mean; read x again, write
    assert alone(f, matrix()).passes == 3


def test_each_further_dependence_is_one_more_loop() -> None:
    def f(x):
        diff = x - x.mean(1, keepdim=True)
        var = (diff * diff).mean(1, keepdim=True)
        return diff / var.sqrt()

    # x for the mean, x for the variance, x for the result, and the result
    assert alone(f, matrix()).passes == 4


def test_what_nobody_waits_for_joins_the_loop_that_reads_the_same() -> None:
    def f(dy, xhat, gain):
        inner = (dy * gain * xhat).sum(1, keepdim=True)
        dx = dy * gain - xhat * inner
        return dx, (dy * xhat).sum(0), dy.sum(0)

    # a loop over rows (2 reads), then dx and both sums over columns together (2 reads, 1 write)
    assert alone(f, matrix(), matrix(), matrix(K)).passes == 5


def test_a_product_of_matrices_reads_what_is_in_memory() -> None:
    def f(x, y, w):
        return (x * y) @ w

    # the product of x and y has to be stored: 2 reads, 1 write; the matmul reads it and w, writes
    assert alone(f, matrix(N, N), matrix(N, N), matrix(N, N)).passes == 6


def test_a_value_is_stored_if_that_moves_less() -> None:
    def f(a, b, c, d):
        v = a * b * c * d
        return v - v.mean(1, keepdim=True)

    # computing v twice would read eight; storing it: 4 reads, 1 write, 1 read, 1 write
    assert alone(f, matrix(), matrix(), matrix(), matrix()).passes == 7


def test_views_cost_nothing_and_a_part_is_read_as_a_part() -> None:
    def f(x):
        return x.T.reshape(K, N).sum(0) + x[:, 0]

    counted = alone(f, matrix())
    assert counted.passes == 1

    def g(x):
        return x[: N // 8] * 2

    # an eighth of the largest tensor is not large
    assert alone(g, matrix()).passes == 0
    assert alone(g, matrix()).bytes_moved == 2 * (N // 8) * K * 4


def test_a_gather_reads_what_it_takes() -> None:
    def f(x, index):
        return x[torch.arange(x.shape[0]), index].exp()

    index = torch.randint(0, K, (N,))
    counted = alone(f, matrix(), index)
    assert counted.passes == 0
    assert counted.bytes_moved == N * 4 + N * 8 + N * 4


def test_a_scatter_writes_its_whole_result() -> None:
    def f(x, index):
        rows = torch.arange(x.shape[0])
        return torch.zeros_like(x).index_put((rows, index), torch.tensor(1.0)) / x.shape[0]

    # the zeros with the ones in them are written, read, divided and written
    assert alone(f, matrix(), torch.randint(0, K, (N,))).passes == 3

    def g(x, index):
        rows = torch.arange(x.shape[0])
        return x.exp().index_put((rows, index), torch.tensor(1.0)) / x.shape[0]

    # here x is read as well
    assert alone(g, matrix(), torch.randint(0, K, (N,))).passes == 4


def test_a_one_hot_is_computed_where_it_is_read() -> None:
    def f(probs, index):
        return (probs - torch.nn.functional.one_hot(index, K)) / probs.shape[0]

    assert alone(f, matrix(), torch.randint(0, K, (N,))).passes == 2


def test_a_softmax_is_a_reduction_and_a_division() -> None:
    assert alone(lambda x: torch.softmax(x, 1), matrix()).passes == 3
    # what is done with its result elementwise happens in the same loop
    assert alone(lambda x, y: torch.softmax(x, 1) - y, matrix(), matrix()).passes == 4


def test_a_kernel_that_cannot_be_fused_reads_and_writes() -> None:
    assert alone(lambda x: x.exp().cumsum(0).exp(), matrix()).passes == 2 + 2 + 2


def test_dead_results_are_not_written() -> None:
    values, both = lambda x: x.max(1).values, lambda x: tuple(x.max(1))
    assert alone(both, matrix()).bytes_moved - alone(values, matrix()).bytes_moved == N * 8


# whole backward passes


def softmax(x):
    maxes = x.max(1, keepdim=True).values
    e = (x - maxes).exp()
    total = e.sum(1, keepdim=True)
    y = e / total
    return y


def batch_norm(x, gain, bias):
    n = x.shape[0]
    mean = 1 / n * x.sum(0, keepdim=True)
    diff = x - mean
    diff2 = diff**2
    var = 1 / (n - 1) * diff2.sum(0, keepdim=True)
    inv = (var + 1e-5) ** -0.5
    raw = diff * inv
    y = gain * raw + bias
    return y


def cross_entropy(logits, target):
    n = logits.shape[0]
    maxes = logits.max(1, keepdim=True).values
    norm_logits = logits - maxes
    counts = norm_logits.exp()
    total = counts.sum(1, keepdims=True)
    total_inv = total**-1
    probs = counts * total_inv
    logprobs = probs.log()
    loss = -logprobs[range(n), target].mean()
    return loss


def test_softmax_longhand() -> None:
    counted = backhand.derive(softmax, matrix()).cost("longhand")
    # 1: dy and e, for the rows' sums. 2: dy and e, for dx so far, which is stored, and its sum.
    # 3: the gradient of the maxes is written into zeros. 4: both are read and added up.
    assert counted.passes == 2 + 3 + 1 + 3
    assert counted.statements == 7


def test_softmax_in_closed_form() -> None:
    def closed(y, dy):
        return y * (dy - (dy * y).sum(1, keepdim=True))

    assert alone(closed, matrix(), matrix()).passes == 2 + 3


def test_batch_norm_longhand() -> None:
    counted = backhand.derive(batch_norm, matrix(), matrix(K), matrix(K)).cost()
    # 1: dy, diff and raw, for the three sums. 2: dy and diff, for ddiff, stored, and its sum.
    # 3: ddiff is read and dx written.
    assert counted.passes == 3 + 3 + 2


def test_batch_norm_in_closed_form() -> None:
    def closed(dy, raw, gain, inv):
        n = dy.shape[0]
        dbias, dgain = dy.sum(0), (dy * raw).sum(0)
        return gain * inv / n * (n * dy - dbias - n / (n - 1) * raw * dgain), dgain, dbias

    assert alone(closed, matrix(), matrix(), matrix(K), matrix(K)).passes == 2 + 3


def test_cross_entropy_longhand() -> None:
    counted = backhand.derive(cross_entropy, matrix(), torch.randint(0, K, (N,))).cost()
    # 1: dlogprobs is written. 2: it, probs and counts are read; dprobs is stored, it is read again.
    # 3: dprobs and counts are read, dnorm_logits is written. 4: the maxes' part is written.
    # 5: both are read, dlogits is written.
    assert counted.passes == 1 + 4 + 3 + 1 + 3


def test_cross_entropy_in_closed_form() -> None:
    def closed(probs, target):
        return (probs - torch.nn.functional.one_hot(target, K)) / probs.shape[0]

    counted = alone(closed, matrix(), torch.randint(0, K, (N,)))
    assert counted.passes == 2
    assert counted.statements == 1


# bytes at other sizes, and what is saved


@pytest.mark.parametrize(("n", "k"), [(64, 48), (1000, 10), (17, 4096)])
def test_bytes_are_evaluated_at_the_sizes_given(n: int, k: int) -> None:
    bp = backhand.derive(softmax, matrix())
    names = {s.axis: s.name for s in bp.symbols}
    counted = bp.cost(at={names[0]: n, names[1]: k})
    rows, whole = 4 * n, 4 * n * k
    first = 2 * whole + 2 * rows  # dy, e, total; ds
    second = 3 * whole + 3 * rows  # dy, e, total, ds; dx so far, dm
    third = whole + rows + 8 * n  # dm, the maxes' positions; what is scattered
    assert counted.bytes_moved == first + second + third + 3 * whole
    assert counted.bytes_saved == whole + rows + 8 * n  # e, total, positions; x for its shape only


def test_sizes_that_are_not_there_are_refused() -> None:
    bp = backhand.derive(softmax, matrix())
    with pytest.raises(InputError, match="no symbolic size 'q'"):
        bp.cost(at={"q": 3})
    with pytest.raises(InputError, match="no form 'round'"):
        bp.cost("round")


def test_views_of_one_tensor_are_saved_once() -> None:
    def f(x, w):
        flat = x.reshape(-1)
        y = flat * flat
        z = x.T @ w
        return y.sum() + z.sum()

    bp = backhand.derive(f, matrix(), matrix(N, 2), wrt=["x", "w"])
    assert bp.cost().bytes_saved == N * K * 4 + N * 2 * 4


def test_bytes_follow_the_dtype() -> None:
    assert [item_bytes(d) for d in ("float16", "bfloat16", "float64", "bool", "int8")] == [
        2, 2, 8, 1, 1,
    ]  # fmt: skip
    half, double = (
        alone(lambda x: x.exp(), matrix().to(dtype)) for dtype in (torch.bfloat16, torch.float64)
    )
    assert double.bytes_moved == 4 * half.bytes_moved


# operations


def test_operations_of_products() -> None:
    a, b = matrix(8, 16), matrix(16, 4)
    assert alone(lambda a, b: a @ b, a, b).flops == 2 * 8 * 16 * 4
    assert alone(lambda a, b: torch.einsum("ik,kj->ij", a, b), a, b).flops == 2 * 8 * 16 * 4
    x, y = matrix(5, 8, 16), matrix(5, 16, 4)
    assert alone(lambda x, y: torch.einsum("...ik,...kj->...ij", x, y), x, y).flops == (
        2 * 5 * 8 * 16 * 4
    )
    bias = matrix(4)
    assert alone(lambda c, a, b: torch.addmm(c, a, b), bias, a, b).flops == 2 * 8 * 16 * 4


def test_operations_of_a_convolution() -> None:
    images, weight = matrix(2, 3, 8, 8), matrix(5, 3, 3, 3)
    counted = alone(lambda x, w: torch.nn.functional.conv2d(x, w), images, weight)
    assert counted.flops == 2 * (2 * 5 * 6 * 6) * (3 * 3 * 3)

    def loss(x, w):
        return torch.nn.functional.conv2d(x, w).sum()

    # the plain spelling has a convolution for each of the two gradients
    back = backhand.derive(loss, images, weight).cost()
    assert 2 * counted.flops <= back.flops <= 2.2 * counted.flops


def test_operations_elementwise_and_of_reductions() -> None:
    assert alone(lambda x: x.exp() + 1, matrix()).flops == 2 * N * K
    assert alone(lambda x: x.sum(1), matrix()).flops == N * K
    assert alone(lambda x: x.T.reshape(-1), matrix()).flops == 0


# the machinery


def test_loops_say_what_they_move() -> None:
    captured = program(lambda x: x - x.mean(1, keepdim=True), matrix())
    first, second = loops(captured, captured.hints())
    assert first.reads == {"x": N * K}
    assert list(first.writes.values()) == [N]
    assert second.reads == {"x": N * K, **first.writes}
    assert list(second.writes.values()) == [N * K]


@pytest.mark.parametrize("shape", [(0, 4), (), (1, 1), (5,)])
def test_empty_and_small_tensors(shape: tuple[int, ...]) -> None:
    counted = alone(lambda x: (x - x.sum()).exp(), torch.ones(shape))
    assert counted.statements >= 1
    assert counted.bytes_moved >= 0


def test_one_form_alone_has_no_ratio() -> None:
    rows = comparison({"longhand": Cost(1, 2, 3, 4, 5)})
    assert {len(row) for row in rows} == {2}
    assert rows[0] == ("", "longhand")
    zero = comparison({"longhand": Cost(0, 0, 0, 0, 0), "shorthand": Cost(0, 0, 0, 0, 0)})
    assert {row[-1] for row in zero[1:]} == {""}
