"""Convolutions in one to three dimensions, plain and transposed.

The exact spelling is torch's own kernel, which gives all gradients at once. The plain one writes
what each is: the gradient of the input is a transposed convolution of the upstream with the same
weight (and the other way round), that of the weight correlates the input with the upstream.
"""

from __future__ import annotations

from typing import Any

from ..program.build import Var, many, op
from ..program.sizes import Dim
from .base import Context, Gradients, T, kernel, plain, rule, sample
from .norms import mask, picked

NAMES = ("x", "weight", "bias")


def _tuple(value: Any, n: int) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,) * n


def _int(values: tuple[Any, ...]) -> Any:
    return values[0] if len(set(values)) == 1 else values


def _backward(c: Context, transposed: bool) -> Gradients:
    n = c.x.rank - 2
    extra = _tuple(c["output_padding"] if transposed else 0, n)
    bias = c["bias"]
    out = many.convolution_backward(
        c.g,
        c.x,
        c["weight"],
        None if bias is None else bias.shape,
        _tuple(c["stride"], n),
        _tuple(c["padding"], n),
        _tuple(c["dilation"], n),
        transposed,
        extra,
        c["groups"],
        mask(c, *NAMES),
    )
    return picked(c, out, *NAMES)


def _samples(*size: int) -> tuple[Any, ...]:
    n = len(size)
    ones = (2,) * n
    return (
        sample(T((2, 4, *size)), T((6, 4, *ones)), T((6,))),
        sample(T((2, 4, *size)), T((6, 2, *ones)), None, 2, 1, 1, 2),
        sample(T((1, 2, *size)), T((3, 2, *ones)), T((3,)), 1, 1, 2),
    )


def _transposed_samples(*size: int) -> tuple[Any, ...]:
    ones = (2,) * len(size)
    return (
        sample(T((2, 4, *size)), T((4, 6, *ones)), T((6,))),
        sample(T((2, 4, *size)), T((4, 3, *ones)), None, 2, 1, 1, 2),
    )


# s, p, d: stride, padding, dilation; the sum over k is over the places where g has an element
CONVOLVED = {
    "x": "\\sum_{o,k} W_{o,c,k}\\, g_{n,o,(j + p - d k)/s}",
    "weight": "\\sum_{n,i} g_{n,o,i}\\, x_{n,c,s i + d k - p}",
    "bias": "\\sum_{n,i} g_{n,o,i}",
}
TRANSPOSED = {
    "x": "\\sum_{o,k} W_{c,o,k}\\, g_{n,o,s i + d k - p}",
    "weight": "\\sum_{n,i} x_{n,c,i}\\, g_{n,o,s i + d k - p}",
    "bias": "\\sum_{n,i} g_{n,o,i}",
}

for _n, _size in ((1, (6,)), (2, (5, 4)), (3, (4, 3, 3))):
    rule(f"convolution{_n}d", _samples(*_size), tex=CONVOLVED)(lambda c: _backward(c, False))
    rule(f"transposed{_n}d", _transposed_samples(*_size), tex=TRANSPOSED)(
        lambda c: _backward(c, True)
    )


@plain("convolution_backward")
def _convolution_backward(
    g: Var,
    x: Var,
    weight: Var,
    bias_sizes: Any,
    stride: tuple[Any, ...],
    padding: tuple[Any, ...],
    dilation: tuple[Any, ...],
    transposed: bool,
    output_padding: tuple[Any, ...],
    groups: Dim,
    output_mask: tuple[bool, ...],
) -> tuple[Var | None, Var | None, Var | None]:
    n = x.rank - 2
    how = {
        "stride": _int(stride),
        "padding": _int(padding),
        "dilation": _int(dilation),
        "groups": groups,
    }
    if transposed and any(e >= s for e, s in zip(output_padding, stride, strict=True)):
        # the padded rim is wider than a stride: no convolution maps the upstream back to x's shape
        kernel = many.convolution_backward(
            g, x, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups,
            output_mask,
        )
        return kernel[0], kernel[1], kernel[2]
    dx = dweight = dbias = None
    if output_mask[0]:
        if transposed:
            dx = getattr(op, f"convolution{n}d")(g, weight, **how)
        else:
            dx = getattr(op, f"conv{n}d_input")(x.shape, weight, g, **how)
    if output_mask[1]:
        wide, narrow = (g, x) if transposed else (x, g)
        dweight = getattr(op, f"conv{n}d_weight")(wide, weight.shape, narrow, **how)
    if output_mask[2]:
        dbias = op.sum(g, (0, *range(2, x.rank)))
    return dx, dweight, dbias


kernel(
    "a convolution again, spelled for the backward pass: its own gradient has no rule",
    *(f"conv{n}d_{of}" for n in (1, 2, 3) for of in ("input", "weight")),
)
