"""A complete, importable PyTorch module: forward, backward, and both together."""

from __future__ import annotations

from .layout import WIDTH
from .listing import print_backward, print_forward, printed_name, read_before, shape_text
from .passes import Passes, indented, unique, wrapped


def torch_module(passes: Passes) -> str:
    """The text of a module with ``forward`` and ``backward``; the latter needs no autograd.

    ``forward(*inputs)`` returns the outputs and what the backward pass reads;
    ``backward(saved, …)`` returns the gradients by input name.
    """
    p = passes.with_sizes_at_hand()
    p.reserved(("torch", "math"))
    seeds = seed_lines(p, "torch.ones_like({})")
    ups = [] if seeds else p.ups
    listing = print_backward(p.backward, p.backward.symbols, seeds, width=WIDTH - 4)
    results = [printed_name(v) for v in p.backward.outputs]
    read = read_before(
        (*listing.preamble, *seeds, *(line.text for line in listing.lines), *results)
    )
    known = [*p.inputs, *(printed_name(v) for v in p.forward.values())]
    saved = unique(n for n in known if n in read and n not in ups and n not in p.constants)
    lines, head = print_forward(p.forward, p.symbols)
    outputs = [printed_name(v) for v in p.forward.outputs]
    body = [*head, *(line.text for line in lines)]
    body.append(f"saved = {{{', '.join(f'{s!r}: {s}' for s in saved)}}}")
    body.append(f"return {', '.join([*outputs, 'saved'])}")
    result = [
        f"{of!r}: {printed_name(v)}"
        for of, v in zip(p.gradients, p.backward.outputs, strict=True)
    ]
    return "\n".join(
        [
            f'"""The forward and the backward pass of ``{p.name}``, written by backhand.',
            "",
            "Inputs:",
            *described_inputs(p),
            *(["", *p.note.splitlines()] if p.note else []),
            '"""',
            "",
            "import math",
            "",
            "import torch",
            *constant_lines(p),
            "",
            "",
            f"def forward({', '.join(p.inputs)}):",
            *wrapped(body),
            "",
            "",
            f"def backward({', '.join(['saved', *ups])}):",
            *indented(f"{s} = saved[{s!r}]" for s in saved),
            *indented(listing.source.splitlines()),
            *wrapped([f"return {{{', '.join(result)}}}"]),
            "",
        ]
    )


def seed_lines(p: Passes, ones: str) -> list[str]:
    """``dloss = …`` for a scalar loss; other upstreams are arguments."""
    return [f"{p.ups[0]} = {ones.format(p.upstream_of[0])}"] if p.scalar else []


def constant_lines(p: Passes) -> list[str]:
    """Small tensors that the forward pass makes or reads, written out."""
    lines = [
        f"{c} = torch.tensor({nested!r}, dtype=torch.{dtype})"
        for c, (nested, dtype) in p.constants.items()
    ]
    return ["", *lines] if lines else []


def described_inputs(p: Passes) -> list[str]:
    """The inputs with their dtypes and shapes, for a docstring."""
    return [
        f"    {printed_name(v)}: {v.dtype} {shape_text(v.shape, p.symbols)}"
        for v in p.forward.inputs
        if printed_name(v) not in p.constants
    ]
