"""A complete, importable PyTorch module: forward, backward, and an example of their use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..program.ir import Program, Value
from ..program.sizes import Symbol
from .layout import WIDTH, broken
from .listing import names_in, print_backward, print_forward, printed_name, shape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def torch_module(
    name: str,
    forward: Program,
    backward_program: Program,
    upstream: Sequence[Value],
    symbols: Sequence[Symbol],
    seeds: Sequence[str],
    gradients: Sequence[str],
    parameters: Sequence[str],
    constants: Mapping[str, str],
) -> str:
    """The text of a module with ``forward`` and ``backward``; the latter needs no autograd.

    ``forward(*inputs)`` returns the outputs and what the backward pass reads;
    ``backward(saved, …)`` returns the gradients by input name. ``parameters`` are the arguments in
    order; those in ``constants`` are written into the module as the expressions given there.
    """
    inputs = [p for p in parameters if p not in constants]
    ups = [] if seeds else [printed_name(v) for v in upstream]
    listing = print_backward(backward_program, symbols, seeds, width=WIDTH - 4)
    read = names_in((*listing.preamble, *seeds, *(line.text for line in listing.lines)))
    known = [*inputs, *(printed_name(v) for v in forward.values())]
    saved = _unique(name for name in known if name in read and name not in ups)
    lines, head = print_forward(forward, symbols)
    outputs = [printed_name(v) for v in forward.outputs]
    shapes = [
        f"    {printed_name(v)}: {v.dtype} {shape_text(v.shape, symbols)}"
        for v in forward.inputs
        if printed_name(v) not in constants
    ]
    written = [f"{c} = {text}" for c, text in constants.items()]
    body = [*head, *(line.text for line in lines)]
    body.append(f"saved = {{{', '.join(f'{s!r}: {s}' for s in saved)}}}")
    body.append(
        f"return {', '.join(outputs)}{',' if len(outputs) > 1 else ''}, saved".replace(",,", ",")
    )
    unpack = [f"{s} = saved[{s!r}]" for s in saved]
    result = [
        f"{of!r}: {printed_name(v)}"
        for of, v in zip(gradients, backward_program.outputs, strict=True)
    ]
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
            *(["", *written] if written else []),
            "",
            "",
            f"def forward({', '.join(inputs)}):",
            *_indented(part for line in body for part in broken(line, WIDTH - 4)),
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
