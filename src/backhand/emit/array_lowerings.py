"""What NumPy and JAX write for operators that no row of the table can say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedError
from ..program.ir import Node, Value
from ..program.ops import get_op
from ..program.sizes import ATOM, PRODUCT, SUM, wrap
from .backend import Piece, Speaker
from .layout import commas
from .torch_spelling import selected, sliced, subscripted, transposed

Custom = Callable[[Speaker, Node], Piece]


def _linear(p: Speaker, node: Node) -> Piece:
    x, weight, bias = node.args
    text = f"{wrap(p.piece(x), PRODUCT)} @ {wrap(p.piece(weight), ATOM)}.T"
    if bias is None:
        return text, PRODUCT
    return f"{text} + {wrap(p.piece(bias), SUM + 1)}", SUM


def _plus_product(product: str) -> Custom:
    """``beta * x + alpha * (a @ b)``."""

    def custom(p: Speaker, node: Node) -> Piece:
        x, a, b, beta, alpha = node.args
        left, right = p.piece(a), p.piece(b)
        if product == "@":
            text = f"{wrap(left, PRODUCT)} @ {wrap(right, PRODUCT + 1)}"
        else:
            text = product.format(np=_module(p), a=left[0], b=right[0])
        text = text if alpha == 1 else f"{p.piece(alpha)[0]} * ({text})"
        if beta == 0:
            return text, PRODUCT
        scaled = wrap(p.piece(x), SUM)
        scaled = scaled if beta == 1 else f"{p.piece(beta)[0]} * {wrap(p.piece(x), PRODUCT + 1)}"
        return f"{scaled} + {text}", SUM

    return custom


def _module(p: Speaker) -> str:
    return "np" if p.backend.name == "numpy" else "jnp"


def _einsum(p: Speaker, node: Node) -> Piece:
    equation, operands = node.args
    assert isinstance(operands, tuple)
    inner = ", ".join(p.piece(o)[0] for o in operands)
    return f"{_module(p)}.einsum({equation!r}, {inner})", ATOM


def anywhere(p: Speaker, node: Node) -> None:
    """Refuse a device that is named: arrays lie where the library puts all of them.

    One that follows an input says no more than that.
    """
    for param, arg in zip(get_op(node.op).params, node.args, strict=True):
        if param.name == "device" and isinstance(arg, str) and arg.partition(":")[0] != "cpu":
            raise UnsupportedError(
                f"{p.backend.name} cannot say device={arg!r}",
                None,
                "make the tensor where an input lies: device=x.device",
            )


def _arange(p: Speaker, node: Node) -> Piece:
    anywhere(p, node)
    start, end, step, *_ = node.args
    parts = [p.piece(a)[0] for a in (start, end, step)]
    if step == 1:
        parts = parts[1:2] if start == 0 else parts[:2]
    if node.outs[0].dtype != "int64":
        parts.append(f"dtype={p.argument('dtype', node.outs[0].dtype)}")
    return f"{_module(p)}.arange({', '.join(parts)})", ATOM


def _full(p: Speaker, node: Node) -> Piece:
    anywhere(p, node)
    size, fill, *_ = node.args
    dtype = p.argument("dtype", node.outs[0].dtype)
    text = p.piece(size)[0]
    if isinstance(fill, (bool, int, float)) and fill in (0, 1):
        return f"{_module(p)}.{'ones' if fill else 'zeros'}({text}, {dtype})", ATOM
    return f"{_module(p)}.full({text}, {p.piece(fill)[0]}, {dtype})", ATOM


def _split(p: Speaker, node: Node) -> Piece:
    x, _, dim = node.args
    assert isinstance(x, Value) and isinstance(dim, int)
    at: list[str] = []
    total: Any = 0
    for out in node.outs[:-1]:
        total = total + out.shape[dim]
        at.append(p.piece(total)[0])
    return f"{_module(p)}.split({p.piece(x)[0]}, [{', '.join(at)}], {dim})", ATOM


def _clamp(p: Speaker, node: Node) -> Piece:
    x, low, high = (None if a is None else p.piece(a)[0] for a in node.args)
    if low is None or high is None:
        return f"{_module(p)}.{'minimum' if low is None else 'maximum'}({x}, {low or high})", ATOM
    return f"{_module(p)}.clip({x}, {low}, {high})", ATOM


def _cat(p: Speaker, node: Node) -> Piece:
    tensors, dim = node.args
    assert isinstance(tensors, tuple)
    rank = len(node.outs[0].shape)
    # torch lets an empty vector join anything
    joined = tuple(t for t in tensors if isinstance(t, Value) and len(t.shape) == rank)
    rest = "" if dim == 0 else f", {p.piece(dim)[0]}"
    return f"{_module(p)}.concatenate({p.piece(joined)[0]}{rest})", ATOM


def _roll(p: Speaker, node: Node) -> Piece:
    x, shifts, dims = node.args
    if dims == () and isinstance(shifts, tuple):
        shifts = shifts[0]
    rest = "" if dims == () else f", {p.piece(dims)[0]}"
    return f"{_module(p)}.roll({p.piece(x)[0]}, {p.piece(shifts)[0]}{rest})", ATOM


def _write(p: Speaker, x: Any, subscript: str, values: str, add: bool) -> Piece:
    """``x`` with values written or added at a subscript."""
    if p.backend.name == "jax":
        return f"{wrap(p.piece(x), ATOM)}.at[{subscript}].{'add' if add else 'set'}({values})", ATOM
    index = f"np.s_[{subscript}]" if ":" in subscript else _tuple_of(subscript)
    return f"{'_add_at' if add else '_put_at'}({p.piece(x)[0]}, {index}, {values})", ATOM


def _tuple_of(subscript: str) -> str:
    return f"({subscript})" if commas(subscript) else f"({subscript},)"


def _index_put(p: Speaker, node: Node) -> Piece:
    x, indices, values, accumulate = node.args
    assert isinstance(indices, tuple)
    _no_masks(p, indices)
    subscript = ", ".join(":" if i is None else p.piece(i)[0] for i in indices)
    return _write(p, x, subscript, p.piece(values)[0], bool(accumulate))


def _no_masks(p: Speaker, indices: Any) -> None:
    for i in indices:
        if isinstance(i, Value) and i.dtype == "bool" and p.backend.name == "jax":
            raise UnsupportedError(
                "jax cannot index with a mask under jit: how much it picks is not a shape",
                None,
                "write torch.where(mask, x, 0)",
            )


def _index(p: Speaker, node: Node) -> Piece:
    _no_masks(p, node.args[1])
    return subscripted(p, node)


def _scatter(add: bool) -> Custom:
    def custom(p: Speaker, node: Node) -> Piece:
        x, dim, index, src = node.args
        assert isinstance(index, Value)
        values = p.piece(src)
        if isinstance(src, Value) and src.shape != index.shape:
            cut = ", ".join(f":{p.piece(d)[0]}" for d in index.shape)
            values = f"{wrap(values, ATOM)}[{cut}]", ATOM
        places = f"_places({p.piece(index)[0]}, {dim})"
        if p.backend.name == "jax":
            name = "add" if add else "set"
            return f"{wrap(p.piece(x), ATOM)}.at[{places}].{name}({values[0]})", ATOM
        helper = "_add_at" if add else "_put_at"
        return f"{helper}({p.piece(x)[0]}, {places}, {values[0]})", ATOM

    return custom


def _along_axis(x: Any, dim: Any, text: str) -> str:
    assert isinstance(x, Value) and isinstance(dim, int)
    return ", ".join([":"] * (dim % max(len(x.shape), 1)) + [text])


def _index_add(p: Speaker, node: Node) -> Piece:
    x, dim, index, source, alpha = node.args
    values = p.piece(source)
    text = values[0] if alpha == 1 else f"{p.piece(alpha)[0]} * {wrap(values, PRODUCT + 1)}"
    return _write(p, x, _along_axis(x, dim, p.piece(index)[0]), text, True)


def _index_copy(p: Speaker, node: Node) -> Piece:
    x, dim, index, source = node.args
    text = p.piece(source)[0]
    return _write(p, x, _along_axis(x, dim, p.piece(index)[0]), text, False)


def _slice_scatter(p: Speaker, node: Node) -> Piece:
    x, src, dim, start, end, step = node.args
    part = f"{'' if start is None else p.piece(start)[0]}:{'' if end is None else p.piece(end)[0]}"
    part += "" if step == 1 else f":{p.piece(step)[0]}"
    return _write(p, x, _along_axis(x, dim, part), p.piece(src)[0], False)


def _select_scatter(p: Speaker, node: Node) -> Piece:
    x, src, dim, index = node.args
    return _write(p, x, _along_axis(x, dim, p.piece(index)[0]), p.piece(src)[0], False)


def _random(numpy: str, jax: str) -> Custom:
    """A draw of numbers; the templates name the operator's arguments."""

    def custom(p: Speaker, node: Node) -> Piece:
        anywhere(p, node)
        out, op = node.outs[0], get_op(node.op)
        text = jax if p.backend.name == "jax" else numpy
        given = {
            param.name: wrap(p.piece(arg), PRODUCT + 1)
            for param, arg in zip(op.params, node.args, strict=True)
            if param.name not in ("dtype", "device")
        }
        shape, dtype = p.piece(out.shape)[0], p.argument("dtype", out.dtype)
        key = f"key_{out.var or out.name}"
        return text.format(**given, shape=shape, dtype=dtype, key=key), ATOM

    return custom


_UNIFORM = _random("rng.random({shape}, {dtype})", "jax.random.uniform({key}, {shape}, {dtype})")
_GAUSSIAN = _random(
    "rng.standard_normal({shape}, {dtype})", "jax.random.normal({key}, {shape}, {dtype})"
)
_NORMAL = _random(
    "rng.normal({mean}, {std}, {shape}).astype({dtype})",
    "({mean} + {std} * jax.random.normal({key}, {shape}, {dtype}))",
)
_INTEGERS = _random(
    "rng.integers({low}, {high}, {shape}).astype({dtype})",
    "jax.random.randint({key}, {shape}, {low}, {high}).astype({dtype})",
)

CUSTOM: dict[str, Custom] = {
    "identity": lambda p, node: p.piece(node.args[0]),
    "index": _index,
    "slice": sliced,
    "select": selected,
    "t": transposed,
    "einsum": _einsum,
    "arange": _arange,
    "full": _full,
    "linear": _linear,
    "addmm": _plus_product("@"),
    "addmv": _plus_product("@"),
    "baddbmm": _plus_product("@"),
    "addbmm": _plus_product("({a} @ {b}).sum(0)"),
    "addr": _plus_product("{np}.outer({a}, {b})"),
    "split": _split,
    "split_with_sizes": _split,
    "chunk": _split,
    "roll": _roll,
    "cat": _cat,
    "clamp": _clamp,
    "index_put": _index_put,
    "index_put_at": _index_put,
    "scatter": _scatter(False),
    "scatter_add": _scatter(True),
    "index_add": _index_add,
    "index_copy": _index_copy,
    "index_fill": _index_copy,
    "slice_scatter": _slice_scatter,
    "select_scatter": _select_scatter,
    "rand": _UNIFORM,
    "rand_like": _UNIFORM,
    "randn": _GAUSSIAN,
    "randn_like": _GAUSSIAN,
    "normal": _NORMAL,
    "normal_of_size": _NORMAL,
    "normal_around": _NORMAL,
    "randint": _INTEGERS,
    "randint_like": _INTEGERS,
    "uniform": _random(
        "rng.uniform({low}, {high}, {shape}).astype({dtype})",
        "jax.random.uniform({key}, {shape}, {dtype}, {low}, {high})",
    ),
    "log_normal": _random(
        "rng.lognormal({mean}, {std}, {shape}).astype({dtype})",
        "jnp.exp({mean} + {std} * jax.random.normal({key}, {shape}, {dtype}))",
    ),
    "exponential": _random(
        "rng.exponential(1 / {lambd}, {shape}).astype({dtype})",
        "(jax.random.exponential({key}, {shape}, {dtype}) / {lambd})",
    ),
    "cauchy": _random(
        "({median} + {sigma} * rng.standard_cauchy({shape})).astype({dtype})",
        "({median} + {sigma} * jax.random.cauchy({key}, {shape}, {dtype}))",
    ),
    "geometric": _random(
        "rng.geometric({p}, {shape}).astype({dtype})",
        "jax.random.geometric({key}, {p}, {shape}).astype({dtype})",
    ),
    "poisson": _random(
        "rng.poisson({x}).astype({dtype})", "jax.random.poisson({key}, {x}).astype({dtype})"
    ),
    "randperm": _random(
        "rng.permutation({n}).astype({dtype})",
        "jax.random.permutation({key}, {n}).astype({dtype})",
    ),
    "bernoulli_mask": _random(
        "(rng.random({shape}) < {p}).astype({dtype})",
        "jax.random.bernoulli({key}, {p}, {shape}).astype({dtype})",
    ),
    "bernoulli": _random(
        "(rng.random({shape}) < {x}).astype({dtype})",
        "jax.random.bernoulli({key}, {x}, {shape}).astype({dtype})",
    ),
}
