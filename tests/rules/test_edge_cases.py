"""Autograd's answer at ties, kinks, boundaries and outside domains, reproduced bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import backhand

pytestmark = pytest.mark.filterwarnings("ignore:.*degrees of freedom:UserWarning")

INF, NAN = math.inf, math.nan
EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, INF, -INF, NAN)
DTYPES = (torch.float64, torch.float32, torch.bfloat16)


def same_bits(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Equal in shape, dtype and every bit (any NaN equals any NaN)."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    kind = {8: torch.int64, 4: torch.int32, 2: torch.int16}[ours.element_size()]
    bits = ours.contiguous().view(kind) == theirs.contiguous().view(kind)
    return bool((bits | (ours.isnan() & theirs.isnan())).all())


def compared(forward: Callable[..., Any], *cases: tuple[torch.Tensor, ...]) -> None:
    """Hold our gradients of ``forward`` against autograd's, bit for bit, in every case.

    The cases have the same shapes and dtypes: the backward pass is derived once.
    """
    bp = backhand.derive(forward, *cases[0], symbolic=False)
    generator = torch.Generator().manual_seed(7)
    for inputs in cases:
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = forward(*leaves)
        if bp.scalar:
            upstream = torch.ones_like(out)
            _, found = bp(*inputs)
        else:
            draw = torch.randn(out.shape, generator=generator, dtype=torch.float64)
            upstream = draw.to(out.dtype)
            _, found = bp(*inputs, upstream=upstream)
        theirs = torch.autograd.grad(out, leaves, upstream)
        for (name, ours), truth in zip(found.items(), theirs, strict=True):
            assert same_bits(ours, truth), f"d{name} at {inputs}: {ours} is not autograd's {truth}"


ONE = {
    "abs": torch.abs,
    "sign": torch.sign,
    "sgn": torch.sgn,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "trunc": torch.trunc,
    "round": torch.round,
    "frac": torch.frac,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "square": torch.square,
    "log": torch.log,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "log10": torch.log10,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "asin": torch.asin,
    "acos": torch.acos,
    "atanh": torch.atanh,
    "acosh": torch.acosh,
    "tanh": torch.tanh,
    "sinc": torch.sinc,
    "erf": torch.erf,
    "logit": torch.logit,
    "logit eps": lambda x: torch.logit(x, 0.1),
    "nan_to_num": torch.nan_to_num,
    "pow 0": lambda x: x**0,
    "pow 1": lambda x: x**1,
    "pow 2": lambda x: x**2,
    "pow 3": lambda x: x**3,
    "pow half": lambda x: x**0.5,
    "pow -1": lambda x: x**-1,
    "rpow": lambda x: 2**x,
    "rpow 0": lambda x: torch.pow(0, x),
    "relu": torch.relu,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "threshold": lambda x: F.threshold(x, 0.5, 7.0),
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "celu": lambda x: F.celu(x, 0.7),
    "selu": F.selu,
    "silu": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "sigmoid": torch.sigmoid,
    "logsigmoid": F.logsigmoid,
    "softplus": F.softplus,
    "softplus low": lambda x: F.softplus(x, 2.0, 3.0),
    "clamp": lambda x: x.clamp(-1, 1),
    "clamp_min": lambda x: x.clamp(min=0.5),
    "clamp_max": lambda x: x.clamp_max(0.5),
    "where log": lambda x: torch.where(x > 0, torch.log(x), 0.0),
    "masked_fill": lambda x: x.masked_fill(x > 0.5, -INF),
    "nansum": lambda x: x.nansum(),
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "amax": lambda x: x.amax(),
    "cumsum": lambda x: x.cumsum(0),
    "remainder": lambda x: x % 2,
    "xlogy": lambda x: torch.xlogy(x, 0.5),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ONE)
def test_one_operand(name: str, dtype: torch.dtype) -> None:
    compared(ONE[name], (torch.tensor(EDGES, dtype=dtype),))


TWO = {
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "fmax": torch.fmax,
    "fmin": torch.fmin,
    "div": torch.div,
    "pow": torch.pow,
    "atan2": torch.atan2,
    "hypot": torch.hypot,
    "logaddexp": torch.logaddexp,
    "copysign": torch.copysign,
    "fmod": torch.fmod,
    "remainder": torch.remainder,
    "nextafter": torch.nextafter,
    "xlogy": torch.xlogy,
    "xlog1py": torch.special.xlog1py,
    "clamp tensors": lambda x, y: torch.clamp(x, y - 0.5, y),
    "clamp crossed": lambda x, y: torch.clamp(x, y + 0.5, y),
    "clamp min": lambda x, y: torch.clamp(x, min=y),
    "clamp max": lambda x, y: torch.clamp(x, max=y),
    "where": lambda x, y: torch.where(x > y, x * y, x / y),
}


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32), ids=str)
@pytest.mark.parametrize("name", TWO)
def test_two_operands(name: str, dtype: torch.dtype) -> None:
    values = torch.tensor(EDGES, dtype=dtype)
    x, y = torch.meshgrid(values, values, indexing="ij")
    compared(TWO[name], (x.contiguous(), y.contiguous()))


ROWS = {
    "ties": [[1.0, 1.0, 0.5], [2.0, -1.0, 2.0], [0.0, -0.0, 0.0]],
    "zeros": [[1.0, 2.0, 3.0], [0.0, 2.0, 3.0], [0.0, 0.0, 3.0]],
    "one zero": [[1.0, 2.0, 3.0], [1.5, 0.0, 3.0], [1.0, -1.0, 3.0]],
    "no zero": [[1.0, 2.0, 3.0], [1.5, 0.3, 3.0], [1.0, -1.0, 3.0]],
    "infinite": [[-INF, -INF, -INF], [INF, 1.0, 2.0], [INF, INF, -INF]],
    "nan": [[NAN, 1.0, NAN], [1.0, 2.0, NAN], [NAN, NAN, NAN]],
    "constant": [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [-1.0, -1.0, -1.0]],
}
ALONG: dict[str, Callable[..., Any]] = {
    "amax": lambda x: x.amax(1),
    "amin": lambda x: x.amin((0, 1)),
    "max dim": lambda x: x.max(1).values,
    "min dim": lambda x: x.min(0, keepdim=True).values,
    "max": lambda x: x.max(),
    "median": lambda x: x.median(),
    "median dim": lambda x: x.median(1).values,
    "nanmedian": lambda x: x.nanmedian(),
    "cummax": lambda x: x.cummax(1).values,
    "cummin": lambda x: x.cummin(1).values,
    "sort": lambda x: x.sort(dim=1, stable=True).values,
    "topk": lambda x: x.topk(2, 1).values,
    "sum": lambda x: x.sum(0),
    "nansum": lambda x: x.nansum(1),
    "mean": lambda x: x.mean(1),
    "prod": lambda x: x.prod(),
    "prod dim": lambda x: x.prod(1),
    "prod keepdim": lambda x: x.prod(0, keepdim=True),
    "cumprod": lambda x: x.cumprod(1),
    "cumsum": lambda x: x.cumsum(0),
    "logcumsumexp": lambda x: x.logcumsumexp(1),
    "logsumexp": lambda x: x.logsumexp(1),
    "var": lambda x: x.var(1),
    "var all": lambda x: x.var(),
    "std": lambda x: x.std(1),
    "std all": lambda x: x.std(),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=1),
    "norm 1": lambda x: torch.linalg.vector_norm(x, 1, dim=1),
    "norm 3": lambda x: torch.linalg.vector_norm(x, 3, dim=1),
    "norm half": lambda x: torch.linalg.vector_norm(x, 0.5, dim=1),
    "norm 1.5": lambda x: torch.linalg.vector_norm(x, 1.5, dim=1),
    "norm inf": lambda x: torch.linalg.vector_norm(x, INF, dim=1),
    "root of squares": lambda x: (x * x).sum(1).sqrt(),
    "renorm": lambda x: x.renorm(2, 0, 1.0),
}


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32), ids=str)
@pytest.mark.parametrize("name", ALONG)
def test_along_axes(name: str, dtype: torch.dtype) -> None:
    compared(ALONG[name], *((torch.tensor(rows, dtype=dtype),) for rows in ROWS.values()))


SMALL = {
    "std of one": (lambda x: x.std(0), (1, 3)),
    "var of one": (lambda x: x.var(), (1,)),
    "std, correction 0": (lambda x: x.std(0, correction=0), (1, 3)),
    "sum of none": (lambda x: x.sum(0), (0, 3)),
    "mean of none": (lambda x: x.mean(0), (0, 3)),
    "prod of none": (lambda x: x.prod(0), (0, 3)),
    "cumsum of none": (lambda x: x.cumsum(0), (0, 3)),
    "0-d sum": (lambda x: x.sum(), ()),
    "0-d amax": (lambda x: x.amax(0), ()),
    "0-d max": (lambda x: x.max(0).values, ()),
    "0-d prod": (lambda x: x.prod(0), ()),
    "0-d cumsum": (lambda x: x.cumsum(0), ()),
    "0-d cumprod": (lambda x: x.cumprod(0), ()),
    "0-d logsumexp": (lambda x: x.logsumexp(0), ()),
    "0-d norm": (lambda x: torch.linalg.vector_norm(x), ()),
    "0-d std": (lambda x: x.std(correction=0), ()),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_shapes(name: str) -> None:
    forward, shape = SMALL[name]
    count = max(1, math.prod(shape))
    values = torch.arange(1.0, 1.0 + count, dtype=torch.float64)
    compared(forward, (values[: math.prod(shape)].reshape(shape),))


# What the answers are, for those who read.
STATED: dict[str, tuple[Callable[..., Any], list[float], list[float]]] = {
    "abs at 0 is 0": (torch.abs, [0.0, -0.0], [0.0, 0.0]),
    "relu at 0 is 0, at NaN 1": (torch.relu, [0.0, NAN], [0.0, 1.0]),
    "clamp at a bound is 1": (lambda x: x.clamp(-1, 1), [-1.0, 1.0], [1.0, 1.0]),
    "hardtanh at a bound is 0": (F.hardtanh, [-1.0, 1.0], [0.0, 0.0]),
    "sqrt at 0 is inf": (torch.sqrt, [0.0], [INF]),
    "log below 0 has a slope": (torch.log, [-1.0], [-1.0]),
    "1/x at 0 is -inf": (lambda x: 1 / x, [0.0], [-INF]),
    "x**0 at 0 is 0": (lambda x: x**0, [0.0], [0.0]),
    "x**.5 at 0 is inf": (lambda x: x**0.5, [0.0], [INF]),
    "amax shares": (lambda x: x.amax(), [2.0, 1.0, 2.0], [0.5, 0.0, 0.5]),
    "max along an axis takes the first": (lambda x: x.max(0).values, [2.0, 2.0], [1.0, 0.0]),
    "norm at 0 is 0": (torch.linalg.vector_norm, [0.0, 0.0], [0.0, 0.0]),
    "root of squares at 0 is NaN": (lambda x: (x * x).sum().sqrt(), [0.0, 0.0], [NAN, NAN]),
    "where over a bad branch is NaN": (
        lambda x: torch.where(x > 0, torch.log(x), 0.0).sum(),
        [0.0],
        [NAN],
    ),
    "nansum at NaN is 0": (torch.nansum, [NAN, 1.0], [0.0, 1.0]),
    "prod, one zero": (torch.prod, [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    "prod, two zeros": (torch.prod, [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    "std of one is NaN": (torch.std, [1.0], [NAN]),
    "std of a constant is 0": (torch.std, [2.0, 2.0], [0.0, 0.0]),
    "logsumexp of -inf is NaN": (lambda x: x.logsumexp(0), [-INF, -INF], [NAN, NAN]),
    "softplus above its threshold is 1": (F.softplus, [21.0], [1.0]),
    "x * x.detach() is x": (lambda x: (x * x.detach()).sum(), [3.0], [3.0]),
}


@pytest.mark.parametrize("name", STATED)
def test_stated_answer(name: str) -> None:
    forward, values, expected = STATED[name]
    x = torch.tensor(values, dtype=torch.float64)
    compared(forward, (x,))
    bp = backhand.derive(lambda x: forward(x).sum(), x, symbolic=False)
    _, found = bp(x)
    assert torch.equal(
        found["x"].nan_to_num(nan=77.0), torch.tensor(expected).double().nan_to_num(nan=77.0)
    )


def test_maximum_splits_a_tie() -> None:
    x = torch.ones(2, dtype=torch.float64)
    bp = backhand.derive(lambda x, y: torch.maximum(x, y).sum(), x, x.clone(), symbolic=False)
    _, found = bp(x, x.clone())
    assert found["x"].tolist() == found["y"].tolist() == [0.5, 0.5]


def test_power_of_zero_to_zero() -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    bp = backhand.derive(lambda x, e: (x**e).sum(), zero, zero.clone(), symbolic=False)
    _, found = bp(zero, zero.clone())
    assert found["x"].tolist() == found["e"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: torch.heaviside(x, x), "no derivative of heaviside"),
        (lambda x: x // 2, "no derivative of floor_divide"),
        (lambda x: torch.special.zeta(x, x), "no derivative of zeta"),
        (lambda x: torch.igamma(x, x), "no derivative of igamma"),
    ],
)
def test_what_torch_cannot_differentiate_is_refused(
    forward: Callable[..., Any], message: str
) -> None:
    with pytest.raises(backhand.errors.UnsupportedError, match=message):
        backhand.derive(forward, torch.rand(3, dtype=torch.float64), symbolic=False)


def test_the_zero_of_sgn_stays_zero_where_a_local_gradient_is_infinite() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.sgn(x.sqrt()).sum()

    x = torch.tensor([0.0, 4.0], requires_grad=True)
    (true,) = torch.autograd.grad(forward(x), x)
    bp = backhand.derive(forward, x.detach())
    assert torch.equal(bp(x.detach())[1]["x"], true) and not true.any()
    assert bp.verify().ok


def test_the_zero_of_sgn_is_a_number_behind_padding() -> None:
    """Torch copies what it crops, and a copy of that zero is no longer one for good."""

    def f(x: torch.Tensor) -> torch.Tensor:
        return torch.sgn(torch.nn.functional.pad(x.sqrt(), (0, 1))).sum()

    x = torch.tensor([0.0, 4.0], dtype=torch.float64)
    bp = backhand.derive(f, x)
    truth = x.clone().requires_grad_()
    f(truth).backward()
    assert truth.grad is not None and bool(truth.grad[0].isnan())
    assert same_bits(bp(x)[1]["x"], truth.grad)
    assert "[:-1]" in str(bp.longhand)


@pytest.mark.parametrize("size", [1.0, 1e-9, 0.0])
@pytest.mark.parametrize("shape", [(3, 4), (4,)])
def test_a_clamp_behind_autograds_back_has_a_gradient(size: float, shape: tuple[int, ...]) -> None:
    """Below its ``eps``, cosine similarity has the gradient of the norms that it clamps."""

    def f(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cosine_similarity(x * y[..., 1:2], y, dim=-1).sum()

    torch.manual_seed(1)
    x, y = torch.randn(3, 4, dtype=torch.float64) * size, torch.randn(shape, dtype=torch.float64)
    leaves = x.clone().requires_grad_(), y.clone().requires_grad_()
    truth = torch.autograd.grad(f(*leaves), leaves)
    _, found = backhand.derive(f, x, y)(x, y)
    assert same_bits(found["x"], truth[0]) and same_bits(found["y"], truth[1])
