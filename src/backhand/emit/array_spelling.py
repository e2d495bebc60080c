"""NumPy and JAX as backends: the table's rows, helpers by name, and a few lowerings."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ..errors import UnsupportedError
from ..program.ir import Node
from ..program.ops import INFIX, PREFIX, Op, get_op, table
from ..program.sizes import ATOM, POWER, PRODUCT, SUM, UNARY, wrap
from .array_library import HELPERS
from .array_lowerings import CUSTOM, anywhere
from .array_table import GRADIENT, REFUSED, ROWS
from .backend import Backend, Piece, Speaker

_SIGNS: dict[type[ast.operator], tuple[str, int]] = {
    ast.Add: (" + ", SUM),
    ast.Sub: (" - ", SUM),
    ast.Mult: (" * ", PRODUCT),
    ast.Div: (" / ", PRODUCT),
    ast.MatMult: (" @ ", PRODUCT),
    ast.Pow: ("**", POWER),
}
# Helpers that serve several operators, or that leave arguments of theirs out.
_HELPER_OF = {
    **{f"convolution{n}d": "_conv" for n in (1, 2, 3)},
    **{f"conv{n}d_input": "_conv_input" for n in (1, 2, 3)},
    **{f"conv{n}d_weight": "_conv_weight" for n in (1, 2, 3)},
    "constant_pad_nd": "_constant_pad",
    "max_pool2d_with_indices": "_max_pool2d",
}
# Arguments that a helper does not take, with the only value that may stand there.
_FIXED: dict[str, dict[str, Any]] = {
    "max_pool2d_with_indices": {"ceil_mode": False},
    "avg_pool2d": {"ceil_mode": False, "count_include_pad": True, "divisor_override": None},
    "attention": {"dropout_p": 0.0},
}


@cache
def rows(library: str) -> Mapping[str, ast.expr]:
    """The templates of one library, parsed."""
    found: dict[str, ast.expr] = {}
    for line in ROWS.splitlines():
        if not line.strip():
            continue
        name, _, template = (part.strip() for part in line.partition(" | "))
        if name.startswith("{"):
            only, _, name = name.partition(" ")
            if only != f"{{{library}}}":
                continue
            name = name.strip()
        get_op(name)
        found[name] = ast.parse(template, mode="eval").body
    return found


def helper_of(op: str) -> str:
    return _HELPER_OF.get(op, f"_{op.strip('_')}")


def spelled(library: str, op: Op) -> bool:
    """Whether the library has a spelling for the operator."""
    return (
        op.name in rows(library)
        or op.name in CUSTOM
        or helper_of(op.name) in HELPERS[library]
        or op.spelling in INFIX
        or op.spelling in PREFIX
    )


@cache
def _reasons(library: str) -> Mapping[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for line in REFUSED.replace("\\\n", " ").strip().splitlines():
        names, reason, hint = (part.strip() for part in line.split("|"))
        only, *rest = names.split()
        if not only.startswith("{"):
            rest = [only, *rest]
        elif only != f"{{{library}}}":
            continue
        for name in rest:
            get_op(name)
            found[name] = reason, hint
    return found


def refusal(library: str, op: str) -> tuple[str, str] | None:
    """Why an operator has no spelling, and what to write instead; None if it has one."""
    if spelled(library, get_op(op)):
        return None
    return _reasons(library).get(op) or (GRADIENT if get_op(op).kind == "gradient" else None)


def refused(library: str) -> dict[str, tuple[str, str]]:
    """Every operator that the library's emitter refuses."""
    found = {name: refusal(library, name) for name in table()}
    return {name: why for name, why in found.items() if why is not None}


def _call(library: str) -> Callable[[Speaker, Op, Node], Piece]:
    def call(p: Speaker, op: Op, node: Node) -> Piece:
        anywhere(p, node)
        if _of_a_scalar(op, node):
            if op.kind == "index" or op.outs != 1:
                hint = "leave it out: it changes nothing"
                raise UnsupportedError(f"{library} has no {op.name} of a scalar", None, hint)
            if op.name in _UNCHANGED:
                return p.piece(node.args[op.index("x")])
        template = rows(library).get(op.name)
        if template is not None:
            return _Template(p, op, node, library).piece(template)
        helper = helper_of(op.name)
        if helper in HELPERS[library]:
            return _helper(p, op, node, helper)
        reason, hint = refusal(library, op.name) or ("it has no spelling there", "")
        raise UnsupportedError(f"{library} cannot say {op.name}: {reason}", None, hint)

    return call


# Operators that leave a scalar as it is, and an axis that torch lets one name.
_UNCHANGED = frozenset({"cumsum", "cumprod", "logcumsumexp", "transpose", "permute", "flip"})


def _of_a_scalar(op: Op, node: Node) -> bool:
    x = next(node.operands(), None)
    return x is not None and not x.shape and any(q.name.startswith("dim") for q in op.params)


def _helper(p: Speaker, op: Op, node: Node, helper: str) -> Piece:
    args = list(node.args)
    fixed = _FIXED.get(op.name, {})
    for i, param in enumerate(op.params):
        if param.name in fixed and args[i] != fixed[param.name]:
            raise UnsupportedError(
                f"{op.name} with {param.name}={args[i]!r} has no counterpart in the emitted module"
            )
        if param.name == "padding" and isinstance(args[i], str):
            raise UnsupportedError(
                f"{op.name} with padding={args[i]!r} has no counterpart in the emitted module",
                None,
                "give the padding as numbers",
            )
    if "softmax" in op.name:
        args[op.index("dtype")] = None  # the operand is cast before
    positional, keywords = op.written(tuple(args))
    names = [param.name for param in op.params]
    texts = [p.argument(n, a) for n, a in zip(names, positional, strict=False)]
    texts += [f"{k}={p.argument(k, v)}" for k, v in keywords.items()]
    return f"{helper}({', '.join(texts)})", ATOM


class _Template:
    """One template with the node's arguments put in."""

    def __init__(self, p: Speaker, op: Op, node: Node, library: str) -> None:
        self.p = p
        self.op = op
        self.node = node
        self.module = "np" if library == "numpy" else "jnp"
        self.args = dict(zip((param.name for param in op.params), node.args, strict=True))
        first = next(node.operands(), None)
        if op.kind == "reduction" and first is not None and not first.shape and "dim" in self.args:
            self.args["dim"] = None  # a scalar has no axis to name

    def piece(self, t: ast.expr) -> Piece:
        if isinstance(t, ast.Name):
            return self._name(t.id)
        if isinstance(t, ast.Constant):
            return repr(t.value), ATOM
        if isinstance(t, ast.BinOp):
            return self._binary(t)
        if isinstance(t, ast.Compare):
            left, right = self.piece(t.left), self.piece(t.comparators[0])
            sign = {ast.Eq: "=="}[type(t.ops[0])]  # type: ignore[index]
            return f"{wrap(left, 41)} {sign} {wrap(right, 41)}", 40
        if isinstance(t, ast.UnaryOp):
            return f"-{wrap(self.piece(t.operand), UNARY)}", UNARY
        if isinstance(t, ast.Attribute):
            return f"{wrap(self.piece(t.value), ATOM)}.{t.attr}", ATOM
        if isinstance(t, ast.Subscript):
            return f"{wrap(self.piece(t.value), ATOM)}[{self.piece(t.slice)[0]}]", ATOM
        assert isinstance(t, ast.Call), ast.dump(t)
        args = list(t.args)
        while args and self._empty(args[-1]):
            args.pop()
        texts = [text for a in args for text in self._written(a)]
        given = [k for k in t.keywords if not self._empty(k.value)]
        texts += [f"{k.arg}={self.piece(k.value)[0]}" for k in given]
        return f"{wrap(self.piece(t.func), ATOM)}({', '.join(texts)})", ATOM

    def _written(self, t: ast.expr) -> list[str]:
        """An argument as it is written; a starred tuple as several, or as the shape that it is."""
        if not isinstance(t, ast.Starred):
            return [self.piece(t)[0]]
        assert isinstance(t.value, ast.Name)
        shape = self.args.get(t.value.id, self.node.outs[0].shape)
        assert isinstance(shape, tuple)
        whole = self.p.shapes.whole(shape)
        return [whole or "()"] if whole or not shape else [self.p.piece(d)[0] for d in shape]

    def _empty(self, t: ast.expr) -> bool:
        """Whether an argument holds what the library takes for granted."""
        if not isinstance(t, ast.Name) or t.id not in self.args:
            return False
        value = self.args[t.id]
        return value is None or value is False or value == ()

    def _name(self, name: str) -> Piece:
        out = self.node.outs[0]
        if name in self.args:
            if name in ("dtype", "input_dtype"):
                return self.p.argument("dtype", self.args[name]), ATOM
            return self.p.piece(self.args[name])
        if name == "out_shape":
            return self.p.piece(out.shape)
        if name == "out_dtype":
            return self.p.argument("dtype", out.dtype), ATOM
        return self.module if name == "np" else name, ATOM

    def _binary(self, t: ast.BinOp) -> Piece:
        sign, strength = _SIGNS[type(t.op)]
        # a factor of one is not written
        if isinstance(t.op, ast.Mult) and isinstance(t.left, ast.Name):
            value = self.args.get(t.left.id)
            if isinstance(value, (int, float)) and value == 1:
                return self.piece(t.right)
        left, right = self.piece(t.left), self.piece(t.right)
        if (
            isinstance(t.op, ast.Add)
            and isinstance(t.right, ast.BinOp)
            and isinstance(t.right.left, ast.BinOp)
        ):
            return f"{wrap(left, strength)}{sign}{wrap(right, strength)}", strength
        if isinstance(t.op, ast.Pow):
            return f"{wrap(left, ATOM)}**{wrap(right, UNARY)}", strength
        return f"{wrap(left, strength)}{sign}{wrap(right, strength + 1)}", strength


def _numpy_dtype(name: str) -> str:
    return {"bool": "bool", "int64": "int"}.get(name, f"np.{name}")


def _jax_dtype(name: str) -> str:
    # int: whatever JAX's integers are, which its configuration decides
    return {"bool": "bool", "int64": "int"}.get(name, f"jnp.{name}")


NUMPY = Backend("numpy", _call("numpy"), CUSTOM, _numpy_dtype, "size")
JAX = Backend("jax", _call("jax"), CUSTOM, _jax_dtype, "size")

__all__ = ["JAX", "NUMPY", "refused", "spelled"]
