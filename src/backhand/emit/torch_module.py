"""A complete, importable PyTorch module: forward, backward, and an example of their use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..program.ir import Program, Value
from ..program.sizes import Symbol
from .listing import preamble, print_backward, printed_name, shape_text, size_names
from .python import Printer, sizes_read

if TYPE_CHECKING:
    from collections.abc import Iterable


def torch_module(
    name: str,
    forward: Program,
    backward_program: Program,
    upstream: Sequence[Value],
    symbols: Sequence[Symbol],
    seeds: Sequence[str],
    gradients: Sequence[str],
) -> str:
    """The text of a module with ``forward`` and ``backward``; the latter needs no autograd.

    ``forward(*inputs)`` returns the outputs and what the backward pass reads; ``backward(saved, …)``
    returns the gradients by input name.
    """
    inputs = [printed_name(v) for v in forward.inputs] + [
        s.input for s in symbols if s.axis is None
    ]
    saved = _unique(
        [printed_name(v) for v in backward_program.inputs if v not in upstream]
        + [s.input for s in symbols if s.name in sizes_read(backward_program)]
        + ([printed_name(forward.outputs[0])] if seeds else [])
    )
    lines = Printer(forward, size_names(symbols)).lines()
    head = preamble(symbols, sizes_read(forward))
    outputs = [printed_name(v) for v in forward.outputs]
    shapes = [
        f"    {printed_name(v)}: {v.dtype} {shape_text(v.shape, symbols)}" for v in forward.inputs
    ]
    body = [*head, *(line.text for line in lines)]
    body.append(f"saved = {{{', '.join(f'{s!r}: {s}' for s in saved)}}}")
    body.append(f"return {', '.join(outputs)}{',' if len(outputs) > 1 else ''}, saved".replace(",,", ","))
    ups = [] if seeds else [printed_name(v) for v in upstream]
    listing = print_backward(backward_program, symbols, seeds)
    unpack = [f"{s} = saved[{s!r}]" for s in saved]
    result = [f"{of!r}: {printed_name(v)}" for of, v in zip(gradients, backward_program.outputs, strict=True)]
    return "\n".join(
        [
            f'"""The forward and the backward pass of ``{name}``, written by backhand.',
            "",
            "Inputs:",
            *shapes,
            '"""',
            "",
            "import math",
            "",
            "import torch",
            "",
            "",
            f"def forward({', '.join(inputs)}):",
            *_indented(body),
            "",
            "",
            f"def backward({', '.join(['saved', *ups])}):",
            *_indented(unpack),
            *_indented(listing.source.splitlines()),
            f"    return {{{', '.join(result)}}}",
            "",
        ]
    )


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
