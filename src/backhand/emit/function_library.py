"""``register()``: an emitted module's two passes as an operator of ``torch.library``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..program.ops import get_op
from .passes import packed, returned, roots, wrapped

if TYPE_CHECKING:
    from .function_module import Function


def register_lines(f: Function) -> list[str]:
    """The function that registers; it returns what is called like the forward pass."""
    p = f.p
    outs = [*f.outputs, *f.kept]
    whole = {*f.ints, *f.numbers}
    kinds = {n: "SymInt" if n in whole else "Tensor" for n in (*p.inputs, *f.values, *f.numbers)}
    takes = [f"{kinds[n]} {n}" for n in p.inputs]
    given = [*f.saved, *f.numbers]
    takes_back = [*(f"{kinds[n]} {n}" for n in given), *(f"Tensor {u}" for u in p.ups)]
    random = any(get_op(node.op).random for node in p.forward.nodes())
    tags = ["        tags=torch.Tag.nondeterministic_seeded,"] if random else []
    spare = f.saved[0] if f.saved else p.ups[0]
    copied = _copied_gradients(f)
    own = [f"for i in {packed([str(i) for i in copied])}:  # an operator owns what it returns",
           "    if _found[i] is not None:",
           "        _found[i] = _found[i].clone()"] if copied else []
    many = len(p.inputs) > 1
    gives = packed(outs) if len(outs) > 1 else outs[0]
    passed = [
        *(["*ctx.saved_tensors"] if f.saved else []),
        *(f"ctx.{n}" for n in f.numbers),
        *p.ups,
        "list(ctx.needs_input_grad)",
    ]
    signature = ["ctx", *f.incoming, *(["*_"] if f.kept else [])]
    result = "_found" if many else "[_found]"
    return [
        f'def register(name="backhand::{p.name}"):',
        '    """Register the passes with torch.library; returns the function that calls them.',
        "",
        "    torch.compile and torch.export keep the operator whole. Its second half is called",
        "    ``{name}_backward``.",
        '    """',
        "",
        *wrapped([f"def run({', '.join(p.inputs)}):"]),
        *wrapped(
            [f"{returned(outs)} = _forward({', '.join(p.inputs)})",
             f"return {', '.join(_owned(f, outs))}"], 8
        ),
        "",
        *wrapped([f"def run_backward({', '.join([*given, *p.ups, 'wants'])}):"]),
        *wrapped([f"_found = list(_backward({', '.join(f.arguments)}))"], 8),
        *(f"        {line}" for line in own),
        f"        _found = [{spare}.new_empty(0) if g is None else g for g in _found]",
        f"        return {'tuple(_found)' if many else '_found[0]'}",
        "",
        "    operator = torch.library.custom_op(",
        "        name,",
        "        run,",
        "        mutates_args=(),",
        *_schema(takes, len(outs)),
        *tags,
        "    )",
        "    operator_backward = torch.library.custom_op(",
        '        f"{name}_backward",',
        "        run_backward,",
        "        mutates_args=(),",
        *_schema([*takes_back, "bool[] wants"], len(p.inputs)),
        "    )",
        "    operator.register_fake(run)",
        "    operator_backward.register_fake(run_backward)",
        "",
        "    def setup_context(ctx, inputs, output):",
        *wrapped(
            [
                f"{packed(p.inputs)}, {gives} = inputs, output",
                f"ctx.save_for_backward({', '.join(f.saved)})",
                *(f"ctx.{n} = {text}" for n, text in f.numbers.items()),
                *(f"ctx.{of}_shape = {of}.shape" for of in f.optional),
            ],
            8,
        ),
        "",
        *wrapped([f"def differentiate({', '.join(signature)}):"]),
        *(f"        {line}" for line in f.zeros()),
        *wrapped([f"_found = operator_backward({', '.join(passed)})"], 8),
        f"        asked = zip({result}, ctx.needs_input_grad, strict=True)",
        "        return tuple(g if wanted else None for g, wanted in asked)",
        "",
        "    operator.register_autograd(differentiate, setup_context=setup_context)",
        "",
        *wrapped([f"def call({', '.join(p.inputs)}):"]),
        *wrapped(
            [
                f"_check({', '.join(p.inputs)})",
                f.call("operator") if len(outs) > 1
                else f"{f.local(outs[0])} = operator({', '.join(p.inputs)})",
                f.result(),
            ],
            8,
        ),
        "",
        "    return call",
    ]


def _owned(f: Function, names: Iterable[str]) -> list[str]:
    """What the operator returns: a copy of what shares storage with an input or another result."""
    alias = roots(f.p.forward)
    taken = {v.name for v in f.p.forward.inputs}
    out: list[str] = []
    for n in names:
        root = alias[f.values[n].name]
        out.append(f"{n}.clone()" if root in taken else n)
        taken.add(root)
    return out


def _copied_gradients(f: Function) -> list[int]:
    """The places of gradients that share storage with an argument or another gradient."""
    alias = roots(f.p.backward)
    taken = {v.name for v in f.p.backward.inputs}
    out: list[int] = []
    of = dict(zip(f.p.gradients, f.p.backward.outputs, strict=True))
    for i, n in enumerate(f.p.inputs):
        if n in of:
            root = alias[of[n].name]
            if root in taken:
                out.append(i)
            taken.add(root)
    return out


def _schema(takes: Iterable[str], gives: int) -> list[str]:
    """A schema as strings that Python joins, a few arguments a line."""
    parts = list(takes)
    rows: list[str] = []
    for i, part in enumerate(parts):
        text = part + (", " if i < len(parts) - 1 else "")
        if rows and len(rows[-1]) + len(text) < 76:
            rows[-1] += text
        else:
            rows.append(text)
    rows[0] = f"({rows[0]}"
    rows[-1] += ")"
    tensors = ", ".join(["Tensor"] * gives)
    ends = [f" -> ({tensors})"] if len(tensors) < 76 else [" -> (", *_cut(tensors), ")"]
    return ["        schema=(", *(f'            "{row}"' for row in [*rows, *ends]), "        ),"]


def _cut(text: str) -> list[str]:
    words = text.split(" ")
    rows = [""]
    for word in words:
        if len(rows[-1]) + len(word) > 74:
            rows.append("")
        rows[-1] += f"{word} "
    rows[-1] = rows[-1].rstrip()
    return rows


__all__ = ["register_lines"]
