"""A complete, importable module with one differentiable operator: a ``torch.autograd.Function``.

Traced by ``torch.compile``, its two passes are fused like any other code. The same two functions
can be registered with ``torch.library`` as an operator that a compiler takes whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..program.ir import Value
from .function_backward import backward_lines
from .function_library import register_lines
from .layout import WIDTH
from .listing import preamble, print_forward, printed_name, size_names
from .passes import (
    Passes,
    handed_through,
    indented,
    packed,
    returned,
    structure_text,
    unique,
    wrapped,
)
from .torch_module import constant_lines, described_inputs

RESERVED = (
    "torch", "math", "ctx", "wants", "again", "register", "operator", "_found", "_forward",
    "_backward", "_check", "_expect", "_require",
)


def function_module(passes: Passes) -> str:
    """The text of the module; the operator in it is called as the forward pass is."""
    p = passes.with_sizes_at_hand(alone=True)
    p.reserved(RESERVED)
    if p.name in p.inputs:
        raise InputError(
            f"{p.name} is the name of the function and of one of its arguments, which an operator "
            f"cannot have: rename one of them"
        )
    return "\n".join(Function(p).lines())


def _alone(p: Passes) -> set[str]:
    """The sizes that the backward pass is given by themselves."""
    return {s.name for s in p.backward.symbols if s.axis is None}


class Function:
    """The parts of the module: what is read, saved and given back, by name."""

    def __init__(self, p: Passes) -> None:
        self.p = p
        body, read = backward_lines(p)
        self.outputs = unique(printed_name(v) for v in p.forward.outputs)
        self.values = {printed_name(v): v for v in p.forward.values()}
        self.ints = [s.input for s in p.symbols if s.axis is None]
        self.tensors = [n for n in p.inputs if n not in self.ints]
        known = unique([*p.inputs, *self.values])
        found = [n for n in known if n in read and n not in p.constants]
        # the backward pass is given tensors, then sizes, then upstreams
        self.saved = [n for n in found if n not in self.ints]
        # each with what it is called in the forward pass
        self.numbers = {n: n for n in found if n in self.ints}
        for s in p.symbols:
            if s.axis is not None and s.name in read and s.name in _alone(p):
                self.numbers[s.name] = s.accessor
        # what the forward pass has to hand over besides its outputs
        self.kept = [n for n in self.saved if n not in p.inputs and n not in self.outputs]
        self.body = body
        names = {v.name: printed_name(v) for v in p.forward.outputs}
        self.differentiable = [names[of] for of in p.upstream_of]
        self.ups = dict(zip(self.differentiable, p.ups, strict=True))
        if not self.tensors:
            raise InputError("an operator without tensor inputs cannot be differentiated")

    @property
    def class_name(self) -> str:
        camel = "".join(part[:1].upper() + part[1:] for part in self.p.name.split("_"))
        return camel if camel != self.p.name and camel.isidentifier() else f"{camel}Function"

    @property
    def arguments(self) -> list[str]:
        """The parameters of ``_backward``."""
        return [*self.saved, *self.numbers, *self.p.ups, "wants"]

    @property
    def optional(self) -> list[str]:
        """Outputs that a caller may leave unused: each of several."""
        return self.differentiable if len(self.differentiable) > 1 else []

    @property
    def incoming(self) -> list[str]:
        """The gradients that autograd brings: one per output, used or not."""
        return [self.ups.get(of, f"_{of}") for of in self.outputs]

    def lines(self) -> list[str]:
        p = self.p
        called = f"{p.name}({', '.join(p.inputs)})"
        return [
            f'"""``{p.name}`` as one differentiable operator, written by backhand.',
            "",
            *wrapped([called]),
            "",
            f"It is differentiable in {', '.join(p.gradients)}.",
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
            *self._forward(),
            "",
            "",
            *self._backward(),
            "",
            "",
            *self._class(),
            "",
            "",
            *self._callable(),
            "",
            "",
            *self._check(),
            "",
            "",
            *register_lines(self),
            "",
        ]

    def _forward(self) -> list[str]:
        lines, head = print_forward(self.p.forward, self.p.symbols)
        # autograd cannot save an input that is an output as well, but a view of it
        both = set(self.saved) & {printed_name(v) for v in handed_through(self.p.forward)}
        given = [f"{n}.view_as({n})" if n in both else n for n in (*self.outputs, *self.kept)]
        result = f"return {returned(given)}"
        return [
            *wrapped([f"def _forward({', '.join(self.p.inputs)}):"], 0),
            '    """The outputs, then what else the backward pass reads."""',
            *wrapped([*head, *(line.text for line in lines), result]),
        ]

    def _backward(self) -> list[str]:
        p = self.p
        asked = [f"wants_{n}" if n in p.gradients else "_" for n in p.inputs]
        given = dict(self.body.results)
        results = [given.get(n, "None") for n in p.inputs]
        return [
            *wrapped([f"def _backward({', '.join(self.arguments)}):"], 0),
            '    """The gradients of the inputs, in order; None for one that is not asked for."""',
            *wrapped([f"{returned(asked)} = wants"]),
            *indented(self.body.lines),
            "",
            *wrapped([f"return {returned(results)}"]),
        ]

    def _class(self) -> list[str]:
        p, outs = self.p, [*self.outputs, *self.kept]
        fixed = [
            of for of in self.outputs if of not in self.ups and self.values[of].floating
        ]
        context = [
            f"{packed(p.inputs)}, {packed(outs)} = inputs, output",
            "ctx.set_materialize_grads(False)",
            *([f"ctx.mark_non_differentiable({', '.join(fixed)})"] if fixed else []),
            f"ctx.save_for_backward({', '.join(self.saved)})",
            *(f"ctx.{n} = {text}" for n, text in self.numbers.items()),
            *(f"ctx.{of}_shape = {of}.shape" for of in self.optional),
        ]
        body: list[str] = []
        if self.kept:
            body += [
                "if not torch.compiler.is_compiling() and any(g is not None for g in again):",
                "    raise RuntimeError(",
                f'        "{p.name} is differentiable once: what it saved besides its inputs does '
                'not "',
                '        "lead back to them. With save=[...], inputs only, it is twice '
                'differentiable"',
                "    )",
            ]
        body += self.zeros()
        passed = [
            *(["*ctx.saved_tensors"] if self.saved else []),
            *(f"ctx.{n}" for n in self.numbers),
            *p.ups,
            "ctx.needs_input_grad",
        ]
        body += [
            f"with torch.autocast({self.device()}.type, enabled=False):",
            f"    return _backward({', '.join(passed)})",
        ]
        signature = ["ctx", *self.incoming, *(["*again"] if self.kept else [])]
        return [
            f"class {self.class_name}(torch.autograd.Function):",
            f'    """The two passes of ``{p.name}``, known to autograd."""',
            "",
            "    generate_vmap_rule = True",
            "",
            "    @staticmethod",
            *wrapped([f"def forward({', '.join(p.inputs)}):"]),
            *wrapped([f"return _forward({', '.join(p.inputs)})"], 8),
            "",
            "    @staticmethod",
            "    def setup_context(ctx, inputs, output):",
            *wrapped(context, 8),
            "",
            "    @staticmethod",
            *wrapped([f"def backward({', '.join(signature)}):"]),
            *deeper(body, 8),
        ]

    def zeros(self) -> list[str]:
        """Upstreams of outputs that nobody used are zero."""
        out: list[str] = []
        for of in self.optional:
            make = f"torch.zeros(ctx.{of}_shape, dtype=torch.{self.values[of].dtype}"
            out += [
                f"if {self.ups[of]} is None:",
                f"    {self.ups[of]} = {make}, device={self.device()})",
            ]
        return out

    def device(self) -> str:
        if self.saved:
            return "ctx.saved_tensors[0].device"
        if len(self.p.ups) == 1:
            return f"{self.p.ups[0]}.device"
        return f"next(g for g in ({', '.join(self.p.ups)}) if g is not None).device"

    def _callable(self) -> list[str]:
        p = self.p
        place = f"{self.tensors[0]}.device.type"
        cast = [
            f"{n}.to(torch.{self.values[n].dtype})" if n in self.tensors and self._floats(n) else n
            for n in p.inputs
        ]
        return [
            *wrapped([f"def {p.name}({', '.join(p.inputs)}):"], 0),
            f'    """``{p.name}`` with its derived backward pass.',
            "",
            "    Under autocast it runs in the dtypes that it was derived for: floating inputs are",
            "    cast to them, and no operator inside is lowered.",
            '    """',
            f"    if torch.is_autocast_enabled({place}):",
            f"        with torch.autocast({place}, enabled=False):",
            *wrapped([f"return {p.name}({', '.join(cast)})"], 12),
            *wrapped([f"_check({', '.join(p.inputs)})"]),
            *wrapped([self.call(f"{self.class_name}.apply"), self.result()]),
        ]

    def call(self, function: str) -> str:
        """The statement that runs both passes' forward half and takes the outputs from it."""
        rest = ["*_"] if self.kept else []
        outs = [*map(self.local, self.outputs), *rest]
        return f"{returned(outs)} = {function}({', '.join(self.p.inputs)})"

    def local(self, output: str) -> str:
        """An output's name where the operator is called, whose own name it must not hide."""
        name = output
        while name == self.p.name or (name != output and name in (*self.p.inputs, *self.outputs)):
            name += "_"
        return name

    def result(self) -> str:
        names = [self.local(printed_name(v)) for v in self.p.forward.outputs]
        return f"return {structure_text(self.p.structure, names)}"

    def _floats(self, name: str) -> bool:
        v = self.values.get(name)
        return v is not None and v.floating

    def _check(self) -> list[str]:
        p = self.p
        sizes = size_names(p.symbols)
        own = {(s.input, s.axis): s.name for s in p.symbols}
        first: list[str] = []
        then: list[str] = []
        for n in self.tensors:
            v = self.values.get(n)
            if v is None:
                continue
            first.append(f"_expect({n!r}, {n}, torch.{v.dtype}, {len(v.shape)})")
            if any(isinstance(d, int) or own.get((n, i)) != str(d) for i, d in enumerate(v.shape)):
                shape = _shape(v, sizes)
                then.append(f"_expect({n!r}, {n}, torch.{v.dtype}, {len(v.shape)}, {shape})")
        named = {s.name for s in p.symbols if s.named}
        body = [*first, *preamble(p.symbols, named), *then]
        if p.symbols:
            least = [sizes[s.name] for s in p.symbols]
            smallest = f"min({', '.join(least)})" if len(least) > 1 else least[0]
            body.append(f'_require({smallest} >= 2, "sizes of 2 and more")')
        for relation in p.relations(sizes):
            line = f'_require({relation}, "sizes with {relation}")'
            body.append(line if len(line) <= WIDTH - 4 else f"_require({relation})")
        return [
            *wrapped([f"def _check({', '.join(p.inputs)}):"], 0),
            '    """Refuse inputs that the passes were not derived for."""',
            *deeper(body, 4),
            "",
            "",
            "def _expect(name, tensor, dtype, rank, shape=None):",
            "    if tensor.dtype != dtype or tensor.dim() != rank:",
            "        found = f\"{tensor.dtype} with {tensor.dim()} axes\"",
            "        raise ValueError(f\"{name} is {found}; derived for {dtype} with {rank}\")",
            "    if shape is not None and tuple(tensor.shape) != shape:",
            "        raise ValueError(f\"{name} is {list(tensor.shape)}; expected {list(shape)}\")",
            *_REQUIRE,
        ]


_REQUIRE = (
    "",
    "",
    'def _require(holds, what="other sizes"):',
    "    if not holds:",
    '        raise ValueError(f"derived for {what}: derive with these inputs")',
)


def _shape(v: Value, sizes: dict[str, str]) -> str:
    return packed([str(d) if isinstance(d, int) else d.text(sizes) for d in v.shape])


def deeper(lines: Sequence[str], by: int) -> list[str]:
    """Statements that may be indented already, at ``by`` more columns, the long ones broken."""
    out: list[str] = []
    for line in lines:
        bare = line.lstrip()
        out += wrapped([bare], by + len(line) - len(bare)) if bare else [""]
    return out
