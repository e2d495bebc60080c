"""A complete, importable module for NumPy or JAX: forward, backward, and both together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ..errors import InputError, UnsupportedError
from ..program.ir import Node, Program, Step, Value
from ..program.ops import get_op
from .array_library import HELPERS, needed
from .array_spelling import JAX, NUMPY
from .backend import Backend
from .layout import WIDTH
from .listing import names_in, preamble, print_backward, printed_name, read_before, size_names
from .passes import Passes, indented, structure_text, unique, wrapped
from .python import Line, Printer
from .torch_module import described_inputs, seed_lines

# What each library's module needs at its top, and what its random numbers come from.
_IMPORTS = {"numpy": ["import numpy as np"], "jax": ["import jax", "import jax.numpy as jnp"]}
_SPECIAL = {
    "numpy": "import scipy.special as sp",
    "jax": "import jax.scipy.special as sp",
}
_DRAWS = {"numpy": "rng", "jax": "key"}
_OURS = ("np", "jnp", "jax", "sp", "math", "itertools", "saved", "outputs")
_PREFIX = {"numpy": "np", "jax": "jnp"}


def numpy_module(passes: Passes) -> str:
    """The passes in NumPy."""
    return _Module(passes, NUMPY).text()


def jax_module(passes: Passes) -> str:
    """The passes in JAX: functions of arrays that ``jax.jit`` compiles."""
    return _Module(passes, JAX).text()


class _Module:
    def __init__(self, passes: Passes, backend: Backend) -> None:
        self.backend = backend
        self.np = _PREFIX[backend.name]
        forward = with_casts(passes.forward)
        self.p = p = replace(
            passes, forward=forward, backward=with_casts(passes.backward)
        ).with_sizes_at_hand()
        self.draws = [
            node.outs[0] for node in forward.nodes() if get_op(node.op).random
        ]
        p.reserved(
            (*_OURS, *HELPERS[backend.name], *([_DRAWS[backend.name]] if self.draws else []))
        )
        for v in (*forward.values(), *p.backward.values()):
            if v.dtype == "bfloat16" and backend.name == "numpy":
                raise InputError(f"{printed_name(v)} is bfloat16, which NumPy has not")

    def text(self) -> str:
        p = self.p
        lines = self._printed(p.forward)
        seeds = seed_lines(p, f"{self.np}.ones_like({{}})")
        listing = print_backward(
            p.backward, p.backward.symbols, seeds, width=WIDTH - 4, backend=self.backend
        )
        results = [printed_name(v) for v in p.backward.outputs]
        read = read_before(
            (*listing.preamble, *seeds, *(line.text for line in listing.lines), *results)
        )
        ups = [] if seeds else p.ups
        known = [*p.inputs, *(printed_name(v) for v in p.forward.values())]
        saved = unique(n for n in known if n in read and n not in ups and n not in p.constants)
        forward = [*self._head(names_in(line.text for line in lines)),
                   *(line.text for line in lines)]
        outputs = [printed_name(v) for v in p.forward.outputs]
        forward.append(f"saved = {{{', '.join(f'{s!r}: {s}' for s in saved)}}}")
        forward.append(f"return {structure_text(p.structure, outputs)}, saved")
        result = ", ".join(
            f"{of!r}: {printed_name(v)}"
            for of, v in zip(p.gradients, p.backward.outputs, strict=True)
        )
        backward = [
            *indented(f"{s} = saved[{s!r}]" for s in saved),
            *indented(listing.source.splitlines()),
            *wrapped([f"return {{{result}}}"]),
        ]
        source = "\n".join((*forward, *backward))
        helpers = needed(self.backend.name, [source])
        bodies = [HELPERS[self.backend.name][name] for name in helpers]
        everything = "\n".join((source, *bodies))
        arguments = [*p.inputs, *([_DRAWS[self.backend.name]] if self.draws else [])]
        constants = [
            f"{c} = {self.np}.array({nested!r}, {self.backend.dtype(dtype)})"
            for c, (nested, dtype) in p.constants.items()
        ]
        return "\n".join(
            [
                *self._docstring(everything),
                "",
                *self._imports(everything),
                *(["", *constants] if constants else []),
                "",
                "",
                *wrapped([f"def forward({', '.join(arguments)}):"], 0),
                '    """What the forward pass returns, and what the backward pass reads of it."""',
                *wrapped(forward),
                "",
                "",
                f"def backward({', '.join(['saved', *ups])}):",
                '    """The gradient of every input that has one, by name."""',
                *backward,
                "",
                "",
                *wrapped([f"def forward_and_backward({', '.join([*arguments, *ups])}):"], 0),
                '    """What the forward pass returns, and the gradients."""',
                *wrapped(
                    [f"outputs, saved = forward({', '.join(arguments)})",
                     f"return outputs, backward({', '.join(['saved', *ups])})"]
                ),
                *(line for body in bodies for line in ("", "", *body.splitlines())),
                "",
            ]
        )

    def _printed(self, program: Program) -> list[Line]:
        printer = Printer(program, size_names(self.p.symbols), backend=self.backend)
        return list(_located(program, printer.step_lines))

    def _head(self, used: set[str]) -> list[str]:
        """Sizes, and a key for each draw."""
        out = list(preamble(self.p.symbols, used))
        if self.draws and self.backend.name == "jax":
            keys = [f"key_{printed_name(v)}" for v in self.draws]
            if len(keys) == 1:
                out.append(f"{keys[0]} = key")
            else:
                out.append(f"{', '.join(keys)} = jax.random.split(key, {len(keys)})")
        return out

    def _docstring(self, source: str) -> list[str]:
        p, notes = self.p, []
        title = "NumPy" if self.backend.name == "numpy" else "JAX"
        if self.draws:
            notes.append(
                "``rng`` is a numpy.random.Generator."
                if self.backend.name == "numpy"
                else "``key`` is a key of jax.random."
            )
        wide = any(v.dtype == "float64" for v in (*p.forward.values(), *p.backward.values()))
        if wide and self.backend.name == "jax":
            notes.append('It needs float64: jax.config.update("jax_enable_x64", True).')
        ints = [s.input for s in p.symbols if s.axis is None]
        if ints and self.backend.name == "jax":
            notes.append(f"Under jit these are static: {', '.join(ints)}.")
        return [
            f'"""Forward and backward pass of ``{p.name}`` in {title}, written by backhand.',
            "",
            "Inputs:",
            *described_inputs(p),
            *(["", *notes] if notes else []),
            *(["", *p.note.splitlines()] if p.note else []),
            '"""',
        ]

    def _imports(self, source: str) -> list[str]:
        standard = [f"import {m}" for m in ("itertools", "math") if f"{m}." in source]
        standard += [""] if standard else []
        special = [_SPECIAL[self.backend.name]] if names_in([source]) & {"sp"} else []
        lines = list(_IMPORTS[self.backend.name])
        if self.backend.name == "jax" and "jax." not in source.replace("jax.numpy", ""):
            lines.remove("import jax")
        return [*standard, *lines, *special]


def _located(program: Program, step_lines: Callable[[Step], list[Line]]) -> Iterator[Line]:
    """The statements, with the author's line in what is refused."""
    for step in program.steps:
        try:
            yield from step_lines(step)
        except UnsupportedError as error:
            raise UnsupportedError(error.message, step.where, error.hint) from None


def with_casts(program: Program) -> Program:
    """The program with every change of dtype that torch makes by itself written out.

    Torch lets a float decide over integers of any width, and numbers follow tensors; the array
    libraries have rules of their own, so that operands are given the result's dtype.
    """
    taken = {v.name for v in program.values()}
    steps = tuple(replace(s, nodes=tuple(_cast_nodes(s.nodes, taken))) for s in program.steps)
    return replace(program, steps=steps)


_CASTS = ("to", "stored")
# Arguments that keep their own dtype.
_APART = frozenset({"condition", "mask", "n", "indices", "index"})


def _cast_nodes(nodes: tuple[Node, ...], taken: set[str]) -> Iterator[Node]:
    for node in nodes:
        op, out = get_op(node.op), node.outs[0]
        if node.op in ("softmax", "log_softmax", "safe_softmax"):
            cast = _first_cast(node, taken)
            yield from cast
            continue
        if op.kind != "elementwise" or op.outs != 1 or not out.floating or node.op in _CASTS:
            yield node
            continue
        args: list[Any] = []
        same = False
        for param, arg in zip(op.params, node.args, strict=True):
            if isinstance(arg, Value) and param.name not in _APART:
                same = True
                if arg.dtype != out.dtype:
                    cast_value = Value(_fresh(arg.name, taken), arg.shape, out.dtype)
                    yield Node("to", (arg, out.dtype), (cast_value,))
                    arg = cast_value
            args.append(arg)
        if same:
            yield replace(node, args=tuple(args))
        else:  # where(mask, 1.0, 0.0): of numbers alone
            plain = replace(out, name=_fresh(out.name, taken), var=None)
            yield replace(node, args=tuple(args), outs=(plain,))
            yield Node("to", (plain, out.dtype), (out,))


def _first_cast(node: Node, taken: set[str]) -> list[Node]:
    """The operand of a softmax that is asked for another dtype is cast before."""
    x, out = node.args[0], node.outs[0]
    assert isinstance(x, Value)
    if x.dtype == out.dtype:
        return [node]
    cast = Value(_fresh(x.name, taken), x.shape, out.dtype)
    args = (cast, *node.args[1:])
    return [Node("to", (x, out.dtype), (cast,)), replace(node, args=args)]


def _fresh(stem: str, taken: set[str]) -> str:
    name, i = f"{stem}_cast", 2
    while name in taken:
        name, i = f"{stem}_cast{i}", i + 1
    taken.add(name)
    return name


__all__ = ["jax_module", "numpy_module", "with_casts"]
