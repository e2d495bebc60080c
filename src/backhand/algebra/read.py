"""From the program to index notation: what each operator means, element by element.

Axis ``k`` of a value is the index ``ak``; axes of size one have no index. An operator that has no
reading here makes a leaf: a tensor about which nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..errors import ProgramError
from ..program.ir import Node, Value
from ..program.ops import get_op
from ..program.sizes import Dim, Scalar, Size
from . import coefficients as co
from .expr import Delta, Expr, Fn
from .functions import apply, exp, log, negation, sigmoid
from .normal import (
    ONE,
    ZERO,
    add,
    constant,
    mul,
    neg,
    of_atom,
    positive,
    power,
    reduce,
    ref,
    scaled,
    substitute,
)


class Unreadable(Exception):
    """The operator, or this use of it, has no reading."""


def axis(k: int) -> str:
    return f"a{k}"


def leaf(value: Value, linear: bool = False) -> Expr:
    """A value about which nothing is known."""
    index = tuple(axis(k) for k, d in enumerate(value.shape) if d != 1)
    return ref(value.name, *index, linear=linear, flag=value.dtype == "bool")


class Reader:
    """Reads nodes; ``known`` has the expression of every value read so far."""

    def __init__(self, known: Mapping[str, Expr] | None = None) -> None:
        self.known: dict[str, Expr] = dict(known or {})
        # Values that count along an axis (``arange``), by name: their length.
        self.counters: dict[str, Dim] = {}
        # Values that are minus infinity everywhere, by name.
        self.bottoms: set[str] = set()

    def is_bottom(self, arg: Any) -> bool:
        if isinstance(arg, Value):
            return arg.name in self.bottoms
        return isinstance(arg, float) and arg == float("-inf")

    def of(self, value: Value) -> Expr:
        """The expression of a value; it is a leaf if it was not made by anything read."""
        found = self.known.get(value.name)
        if found is None:
            found = self.known[value.name] = leaf(value)
        return found

    def at(self, arg: Any, rank: int) -> Expr:
        """An operand as it is broadcast to ``rank`` axes."""
        if isinstance(arg, Value):
            return shifted(self.of(arg), len(arg.shape), rank - len(arg.shape))
        if isinstance(arg, (int, float, Size, Scalar)):
            try:
                return constant(arg)
            except ProgramError as error:
                raise Unreadable(str(error)) from None
        raise Unreadable(f"{arg!r} as an operand")

    def node(self, node: Node) -> tuple[Expr, ...]:
        """The expressions of a node's outputs; ``Unreadable`` if it has none.

        Integers point at elements and are not computed with: each is a leaf. Those made of one-hot
        rows are numbers like others.
        """
        if _points(node) and not any(self._hot(v) for v in node.operands()):
            if node.op == "arange":
                _count(self, node)
            return tuple(leaf(v) for v in node.outs)
        function = READINGS.get(node.op)
        if function is None:
            raise Unreadable(node.op)
        args = get_op(node.op).named(node.args)
        found = function(self, node.outs[0], args)
        return found if isinstance(found, tuple) else (found,)

    def _hot(self, value: Value) -> bool:
        """Whether an integer is made of one-hot rows."""
        known = None if value.floating else self.known.get(value.name)
        return known is not None and any(isinstance(a, Delta) for a in known.atoms())


def _points(node: Node) -> bool:
    whole = node.outs[0].dtype.startswith(("int", "uint"))
    return whole and get_op(node.op).kind != "view" and node.op != "one_hot"


def _count(r: Reader, node: Node) -> None:
    """Note that the value counts from 0 to its length."""
    start, end, step, *_ = node.args
    if start == 0 and step == 1 and isinstance(end, (int, Size)):
        r.counters[node.outs[0].name] = end


Reading: TypeAlias = "Callable[[Reader, Value, dict[str, Any]], Expr | tuple[Expr, ...]]"
READINGS: dict[str, Reading] = {}


def reading(*names: str) -> Callable[[Reading], Reading]:
    def register(function: Reading) -> Reading:
        for name in names:
            get_op(name)
            READINGS[name] = function
        return function

    return register


def shifted(expr: Expr, rank: int, by: int) -> Expr:
    """Axis ``k`` becomes axis ``k + by``."""
    if not by:
        return expr
    return substitute(expr, {axis(k): axis(k + by) for k in range(rank)})


def _elementwise(fn: Callable[..., Expr], *names: str) -> Reading:
    def read(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
        return fn(*(r.at(args[n], len(out.shape)) for n in names))

    return read


def _register_elementwise() -> None:
    one, two = ("x",), ("x", "other")
    simple: dict[str, tuple[Callable[..., Expr], tuple[str, ...]]] = {
        "neg": (neg, one),
        "identity": (lambda x: x, one),
        "clone": (lambda x: x, one),
        "stop_gradient": (lambda x: x, one),
        "contiguous": (lambda x: x, one),
        "add": (add, two),
        "sub": (lambda x, y: add(x, neg(y)), two),
        "mul": (mul, two),
        "div": (lambda x, y: mul(x, power(y, -1)), two),
        "exp": (exp, one),
        "log": (log, one),
        "log1p": (lambda x: log(add(ONE, x)), one),
        "expm1": (lambda x: add(exp(x), neg(ONE)), one),
        "sqrt": (lambda x: power(x, 0.5), one),
        "rsqrt": (lambda x: power(x, -0.5), one),
        "square": (lambda x: power(x, 2), one),
        "reciprocal": (lambda x: power(x, -1), one),
        "sigmoid": (sigmoid, one),
        "silu": (lambda x: mul(x, sigmoid(x)), one),
        "logsigmoid": (lambda x: neg(log(add(ONE, exp(neg(x))))), one),
        "logical_not": (negation, one),
    }
    for name, (fn, names) in simple.items():
        READINGS[name] = _elementwise(fn, *names)
    for name in ("tanh", "sin", "cos", "erf", "abs", "sign", "relu", "atan", "sinh", "cosh"):
        READINGS[name] = _elementwise(lambda x, name=name: apply(name, x), "x")
    for name in ("gt", "ge", "lt", "le", "eq", "ne", "maximum", "minimum"):
        READINGS[name] = _elementwise(lambda x, y, name=name: apply(name, x, y), *two)


_register_elementwise()


@reading("pow")
def _pow(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    exponent = args["exponent"]
    if isinstance(exponent, bool) or not isinstance(exponent, (int, float)):
        raise Unreadable("a power that is no number")
    if isinstance(args["x"], (int, float)):
        raise Unreadable("a number to the power of a tensor")
    try:
        return power(r.at(args["x"], len(out.shape)), exponent)
    except ProgramError as error:
        raise Unreadable(str(error)) from None


@reading("softplus")
def _softplus(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    beta = co.number(args["beta"])
    inside = log(add(ONE, exp(scaled(r.of(args["x"]), beta))))
    return scaled(inside, 1 / beta)


@reading("where")
def _where(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    rank = len(out.shape)
    condition = r.at(args["condition"], rank)
    if r.is_bottom(args["other"]):
        return apply("masked", r.at(args["x"], rank), negation(condition))
    if r.is_bottom(args["x"]):
        return apply("masked", r.at(args["other"], rank), condition)
    x, other = r.at(args["x"], rank), r.at(args["other"], rank)
    _whole(x, condition)
    _whole(other, condition)
    return add(mul(condition, x), mul(negation(condition), other))


def _whole(expr: Expr, condition: Expr) -> None:
    """Refuse a branch that may be infinite where the other one is taken: 0 times it is no number.

    What divides by numbers that may be zero, or takes their logarithm, is so guarded on purpose; a
    condition on every element does not guard what is one number for all, such as a count.
    """
    if condition.constant is not None:
        return
    for mono, _ in expr.terms:
        for atom, q in mono.factors:
            open_log = isinstance(atom, Fn) and atom.name == "log"
            one_for_all = not atom.free and bool(condition.free)
            if ((q < 0 and not positive(atom)) or open_log) and not one_for_all:
                raise Unreadable("a branch that divides, or takes a logarithm, under a condition")


@reading("clamp")
def _clamp(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    if args["min"] != 0 or args["max"] is not None:
        raise Unreadable("a clamp other than at zero from below")
    return apply("relu", r.of(args["x"]))


@reading("masked_fill")
def _masked_fill(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    rank = len(out.shape)
    x, mask = r.at(args["x"], rank), r.at(args["mask"], rank)
    if r.is_bottom(args["value"]):
        return apply("masked", x, mask)
    _whole(x, mask)
    return add(mul(negation(mask), x), mul(mask, r.at(args["value"], rank)))


@reading("zeros_like", "new_zeros")
def _zeros(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    return ZERO


@reading("ones_like")
def _ones(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    return ONE


@reading("full", "full_like")
def _full(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    value = args["fill_value"]
    if r.is_bottom(value):
        r.bottoms.add(out.name)
    return r.at(int(value) if isinstance(value, bool) else value, 0)


def _dims(x: Value, dim: Any) -> list[int]:
    """The axes of a reduction, counted from the front; a number has none, whatever is written."""
    if dim is None or dim == () or not x.shape:
        return list(range(len(x.shape)))
    return sorted(d % len(x.shape) for d in (dim if isinstance(dim, tuple) else (dim,)))


def summed(expr: Expr, x: Value, dims: list[int], keepdim: bool) -> Expr:
    """The sum over axes, the ones that stay counted anew unless ``keepdim``."""
    for k in dims:
        expr = reduce(expr, axis(k), co.number(x.shape[k]))
    if keepdim:
        return expr
    stays = [k for k in range(len(x.shape)) if k not in dims]
    return substitute(expr, {axis(k): axis(i) for i, k in enumerate(stays)})


def count(x: Value, dims: list[int]) -> co.Coefficient:
    out = co.ONE
    for k in dims:
        out = co.times(out, co.number(x.shape[k]))
    return out


@reading("sum")
def _sum(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x = args["x"]
    if args.get("dtype") is not None:
        raise Unreadable("a sum in another dtype")
    dims = _dims(x, args["dim"])
    return summed(r.of(x), x, dims, args["keepdim"])


@reading("mean")
def _mean(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x = args["x"]
    if args.get("dtype") is not None:
        raise Unreadable("a mean in another dtype")
    return averaged(r.of(x), x, _dims(x, args["dim"]), args["keepdim"])


def averaged(expr: Expr, x: Value, dims: list[int], keepdim: bool) -> Expr:
    """The mean over axes, as ``summed``."""
    return scaled(summed(expr, x, dims, keepdim), 1 / count(x, dims))


def centred(r: Reader, x: Value, dims: list[int]) -> Expr:
    """``x - mean``, as one group."""
    expr = r.of(x)
    return add(expr, neg(averaged(expr, x, dims, True)))


def variance(r: Reader, x: Value, dims: list[int], correction: Any, keepdim: bool) -> Expr:
    squares = summed(power(centred(r, x, dims), 2), x, dims, keepdim)
    return scaled(squares, co.tidy(1 / (count(x, dims) - co.number(correction))))


@reading("var")
def _var(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x = args["x"]
    correction = 1 if args["correction"] is None else args["correction"]
    return variance(r, x, _dims(x, args["dim"]), correction, args["keepdim"])


@reading("std")
def _std(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    found = _var(r, out, args)
    assert isinstance(found, Expr)
    return power(found, 0.5)


@reading("var_mean")
def _var_mean(r: Reader, out: Value, args: dict[str, Any]) -> tuple[Expr, ...]:
    x = args["x"]
    dims = _dims(x, args["dim"])
    mean = averaged(r.of(x), x, dims, args["keepdim"])
    found = _var(r, out, args)
    assert isinstance(found, Expr)
    return found, mean


@reading("vector_norm")
def _vector_norm(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x = args["x"]
    if args["ord"] != 2 or args.get("dtype") is not None:
        raise Unreadable("a norm that is not the Euclidean one")
    return power(summed(power(r.of(x), 2), x, _dims(x, args["dim"]), args["keepdim"]), 0.5)


@reading("logsumexp")
def _logsumexp(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x = args["x"]
    return log(summed(exp(r.of(x)), x, _dims(x, args["dim"]), args["keepdim"]))


@reading("softmax", "safe_softmax")
def _softmax(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x = args["x"]
    e = exp(r.of(x))
    return mul(e, power(summed(e, x, _dims(x, args["dim"]), True), -1))


@reading("log_softmax")
def _log_softmax(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x = args["x"]
    return add(r.of(x), neg(log(summed(exp(r.of(x)), x, _dims(x, args["dim"]), True))))


def normalised(
    r: Reader, x: Value, dims: list[int], eps: float, weight: Expr, bias: Expr
) -> tuple[Expr, Expr, Expr]:
    """A normalisation's output, mean and inverse deviation."""
    inverse = power(add(variance(r, x, dims, 0, True), constant(eps)), -0.5)
    out = add(mul(centred(r, x, dims), inverse, weight), bias)
    return out, averaged(r.of(x), x, dims, True), inverse


@reading("native_layer_norm")
def _layer_norm(r: Reader, out: Value, args: dict[str, Any]) -> tuple[Expr, ...]:
    x, rank = args["x"], len(out.shape)
    dims = list(range(rank - len(args["normalized_shape"]), rank))
    weight = ONE if args["weight"] is None else r.at(args["weight"], rank)
    bias = ZERO if args["bias"] is None else r.at(args["bias"], rank)
    return normalised(r, x, dims, args["eps"], weight, bias)


@reading("native_batch_norm")
def _batch_norm(r: Reader, out: Value, args: dict[str, Any]) -> tuple[Expr, ...]:
    x, rank = args["x"], len(out.shape)
    if not args["training"]:
        raise Unreadable("batch norm with running statistics")
    dims = [k for k in range(rank) if k != 1]

    def channel(value: Value) -> Expr:
        return substitute(r.of(value), {axis(0): axis(1)})

    weight = ONE if args["weight"] is None else channel(args["weight"])
    bias = ZERO if args["bias"] is None else channel(args["bias"])
    y, mean, inverse = normalised(r, x, dims, args["eps"], weight, bias)
    # the saved statistics have the channel as their only axis
    back = {axis(1): axis(0)}
    return y, substitute(mean, back), substitute(inverse, back)


@reading("expand")
def _expand(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    return r.at(args["x"], len(out.shape))


@reading("unsqueeze", "squeeze", "view", "reshape", "flatten")
def _same_order(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    """A change of shape that only adds or drops axes of size one."""
    x = args["x"]
    before = [k for k, d in enumerate(x.shape) if d != 1]
    after = [k for k, d in enumerate(out.shape) if d != 1]
    if [x.shape[k] for k in before] != [out.shape[k] for k in after]:
        raise Unreadable("a change of shape")
    return substitute(r.of(x), {axis(i): axis(j) for i, j in zip(before, after, strict=True)})


@reading("permute", "transpose", "t")
def _permute(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x, rank = args["x"], len(out.shape)
    if "dims" in args:
        order = [d % rank for d in args["dims"]]
    else:
        order = list(range(rank))
        if rank > 1:
            i, j = args.get("dim0", 0) % rank, args.get("dim1", 1) % rank
            order[i], order[j] = order[j], order[i]
    return substitute(r.of(x), {axis(k): axis(i) for i, k in enumerate(order)})


@reading("to")
def _to(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    """A cast from integers or flags is exact; one between floats is not."""
    x = args["x"]
    if x.floating:
        raise Unreadable("a cast between floats")
    return r.of(x)


@reading("mse_loss")
def _mse_loss(r: Reader, out: Value, args: dict[str, Any]) -> Expr:
    x, target = args["x"], args["target"]
    if not isinstance(target, Value) or x.shape != target.shape:
        raise Unreadable("mse_loss of two shapes")
    squares = power(add(r.of(x), neg(r.of(target))), 2)
    return _mean_or_sum(squares, x, args["reduction"])


def _mean_or_sum(expr: Expr, x: Value, reduction: str) -> Expr:
    if reduction == "none":
        return expr
    dims = list(range(len(x.shape)))
    return (summed if reduction == "sum" else averaged)(expr, x, dims, False)


__all__ = [
    "READINGS",
    "Reader",
    "Unreadable",
    "axis",
    "leaf",
    "of_atom",
    "reading",
    "shifted",
    "summed",
]
