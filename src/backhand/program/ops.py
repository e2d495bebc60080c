"""The op table's machinery: what an operator is, how it is spelled, how torch is asked to run it.

A row says the operator's signature, its spelling in Python, and how many values it gives.
Signatures use PyTorch's own argument names, with ``x`` for ``self``; what stands before ``*`` is
passed by position, what stands after it by keyword, and what equals its default is left out.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..errors import ProgramError
from .sizes import ATOM, POWER, PRODUCT, SUM, UNARY

INFIX: dict[str, tuple[int, Callable[[Any, Any], Any]]] = {
    "+": (SUM, operator.add),
    "-": (SUM, operator.sub),
    "*": (PRODUCT, operator.mul),
    "/": (PRODUCT, operator.truediv),
    "@": (PRODUCT, operator.matmul),
    "%": (PRODUCT, operator.mod),
    "**": (POWER, operator.pow),
    "==": (40, operator.eq),
    "!=": (40, operator.ne),
    "<": (40, operator.lt),
    "<=": (40, operator.le),
    ">": (40, operator.gt),
    ">=": (40, operator.ge),
    "&": (55, operator.and_),
    "^": (53, operator.xor),
    "|": (50, operator.or_),
}
# What torch calls the values of operators that give two by name (``x.max(1).values``).
RESULT_FIELDS: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("max_dim", "min_dim", "sort", "topk", "cummax", "cummin", "median_dim", "nanmedian_dim",
     "kthvalue", "mode"),
    ("values", "indices"),
)
# What to call the values of an operator whose result has one name; the empty name is that one.
RESULT_NAMES: dict[str, tuple[str, ...]] = {
    **RESULT_FIELDS,
    **dict.fromkeys(
        ("native_layer_norm", "native_group_norm", "native_batch_norm"), ("", "mean", "inv_std")
    ),
    **dict.fromkeys(
        ("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d",
         "adaptive_max_pool3d", "fractional_max_pool2d", "fractional_max_pool3d"),
        ("", "indices"),
    ),
    "flash_attention": ("", "logsumexp"),
    "rrelu_with_noise": ("", "slopes"),
    "nll_loss_forward": ("", "total_weight"),
    "nll_loss2d_forward": ("", "total_weight"),
    "var_mean": ("var", "mean"),
    "linalg_slogdet": ("sign", "logabsdet"),
    "linalg_svd": ("U", "S", "Vh"),
    "linalg_qr": ("Q", "R"),
    "linalg_eigh": ("eigenvalues", "eigenvectors"),
    "std_mean": ("std", "mean"),
    "aminmax": ("min", "max"),
}
PREFIX: dict[str, Callable[[Any], Any]] = {"-": operator.neg, "~": operator.invert}
PREFIX_STRENGTH = UNARY
SUBSCRIPT_STRENGTH = ATOM


@dataclass(frozen=True, slots=True)
class Param:
    """One argument: its name, whether it may be left out and for what, and how it is passed."""

    name: str
    required: bool
    default: Any
    keyword: bool


@dataclass(frozen=True, slots=True)
class Op:
    """One row of the table.

    ``spelling`` is an infix or prefix sign, ``method`` (or ``.name``), ``new.name_`` (a method that
    fills a fresh tensor in the likeness of the first argument), a dotted torch function, or
    ``custom``. ``outs`` is the number of values, 0 for a list of a length that the arguments
    decide. ``spread`` names an argument whose tuple is written out (``x.view(n, 3)``).
    """

    name: str
    params: tuple[Param, ...]
    spelling: str
    outs: int = 1
    spread: str = ""
    kind: str = "kernel"

    @property
    def random(self) -> bool:
        return self.kind == "random"

    def index(self, param: str) -> int:
        for i, p in enumerate(self.params):
            if p.name == param:
                return i
        raise ProgramError(f"{self.name} has no argument {param!r}")

    def named(self, args: tuple[Any, ...]) -> dict[str, Any]:
        """All arguments by the names of their parameters."""
        return dict(zip((p.name for p in self.params), args, strict=True))

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """All arguments in the table's order, defaults filled in."""
        out = list(args)
        rest = dict(kwargs)
        for p in self.params[len(out) :]:
            if p.name in rest:
                out.append(rest.pop(p.name))
            elif p.required:
                raise ProgramError(f"{self.name} misses its argument {p.name!r}")
            else:
                out.append(p.default)
        if rest or len(out) > len(self.params):
            raise ProgramError(f"{self.name} was given unknown arguments: {sorted(rest)}")
        return tuple(out)

    def written(self, args: tuple[Any, ...]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments as a person writes them: positional, then keywords, defaults left out."""
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        skipped = False
        for p, arg in zip(self.params, args, strict=True):
            same = arg is p.default or (type(arg) is type(p.default) and arg == p.default)
            if same and not p.required:
                skipped = True
            elif p.keyword or skipped:
                keywords[p.name] = arg
            else:
                positional.append(arg)
        return positional, keywords


def parse_signature(text: str) -> tuple[str, tuple[Param, ...]]:
    """``"sum(x, dim=None, *, keepdim=False)"`` as a name and its parameters."""
    name, _, rest = text.partition("(")
    params: list[Param] = []
    keyword = False
    for piece in _split_commas(rest.rstrip().removesuffix(")")):
        if piece == "*":
            keyword = True
            continue
        param, eq, default = piece.partition("=")
        value = _CONSTANTS[default] if default in _CONSTANTS else (_number(default) if eq else None)
        params.append(Param(param, not eq, value, keyword))
    return name.strip(), tuple(params)


_CONSTANTS: dict[str, Any] = {"None": None, "True": True, "False": False, "()": ()}


def _number(text: str) -> int | float | str:
    if text.startswith(("'", '"')):
        return text[1:-1]
    try:
        return int(text)
    except ValueError:
        return float(text)


def _split_commas(text: str) -> Iterator[str]:
    depth, piece = 0, ""
    for ch in text:
        depth += (ch == "(") - (ch == ")")
        if ch == "," and not depth:
            yield piece.strip()
            piece = ""
        else:
            piece += ch
    if piece.strip():
        yield piece.strip()


@cache
def table() -> dict[str, Op]:
    """Every operator by name."""
    from .table import rows

    out: dict[str, Op] = {}
    for row in rows():
        if row.name in out:
            raise ProgramError(f"the op table has two rows for {row.name}")
        out[row.name] = row
    return out


def get_op(name: str) -> Op:
    """The row of an operator; a ``ProgramError`` if there is none."""
    try:
        return table()[name]
    except KeyError:
        raise ProgramError(f"no operator named {name!r} in the op table") from None
