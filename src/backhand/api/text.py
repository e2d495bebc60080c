"""A forward pass and its backward pass as text: what is printed, compiled and emitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import torch

from ..capture import Captured, holds_at
from ..capture.inputs import Leaf
from ..emit.assemble import assemble, module_text
from ..emit.listing import (
    Listing,
    compile_function,
    names_in,
    preamble,
    print_backward,
    print_forward,
    printed_name,
    size_names,
    with_deletions,
)
from ..emit.python import Printer
from ..errors import InputError
from ..explain import Explanations, Source
from ..longhand import Backward, Plan, plan_saving, recompute, spellings
from ..program.cost import Cost, cost
from ..program.invoke import dtype_name
from ..program.ir import Program, without_dead_nodes
from ..shorthand import Region, Shorthand, lean, shorthand
from .closed import ClosedForm, closed_form, refusals_text
from .explaining import explain, source_of
from .kernels import with_kernels

SPELLINGS = ("plain", "exact")
FORMS = ("longhand", "shorthand")


class Derivation:
    """The two programs of a derivation, in both spellings, and their text."""

    def __init__(
        self,
        forward: Callable[..., Any],
        captured: Captured,
        wrt: Sequence[str] | None = None,
        runs: str = "longhand",
    ) -> None:
        if runs not in FORMS:
            raise InputError(f"there is no form {runs!r}: the forms are {', '.join(FORMS)}")
        self.runs = runs
        self.forward = forward
        self.captured = captured
        self.name = captured.program.name
        self._wrt = wrt
        self._names = list(wrt) if wrt is not None else _differentiable(captured)
        if not self._names:
            raise InputError(_nothing_to_do(captured, wrt))
        made = spellings(captured.program, captured.context, captured.vars, self._names)
        self._walked, self._expanded, self._namer = made.walked, made.expanded, made.namer
        self.program: Program = made.forward
        self._exact, self._plain = made.exact, made.plain

    @property
    def symbols(self) -> tuple[Any, ...]:
        return self.captured.program.symbols

    def derived(self, spelling: str = "plain") -> Backward:
        """The backward program in one of the two spellings."""
        if spelling not in SPELLINGS:
            raise InputError(f"spelling must be one of {', '.join(SPELLINGS)}, not {spelling!r}")
        return self._plain if spelling == "plain" else self._exact

    def form(self, form: str = "longhand", spelling: str = "plain") -> Backward:
        """The backward program in one of its forms, in one of the two spellings."""
        if form not in FORMS:
            raise InputError(f"there is no form {form!r}: the forms are {', '.join(FORMS)}")
        if form == "longhand":
            return self.derived(spelling)
        self.derived(spelling)  # refuses a spelling that there is not
        return self._short[spelling]

    def forward_of(self, form: str = "longhand") -> Program:
        """The forward program with a name for everything that the form reads."""
        return self.program if form == "longhand" else self._short_forward

    @cached_property
    def _solved(self) -> Shorthand:
        return shorthand(
            self.captured.program,
            self._expanded,
            self._walked,
            self.captured.context,
            lambda sizes: holds_at(self.captured, sizes),
            [name for name, t in self._examples() if not from_end(t)],
        )

    def _examples(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The example's tensors, constants included, by name."""
        leaves = ((leaf.name, leaf.value) for leaf in self.captured.arguments.dynamic())
        for name, value in (*leaves, *self.captured.constants.items()):
            if isinstance(value, torch.Tensor):
                yield name, value

    def _refuse_from_end(self, values: Mapping[str, Any]) -> None:
        """Refuse indices that count from the end where the text has rows that cannot."""
        for name in self._solved.from_front & values.keys():
            if from_end(values[name]):
                raise InputError(
                    f"{name} has negative elements, which the example has not, and the shorthand "
                    f"has one-hot rows of it: derive with these inputs"
                )

    @cached_property
    def _short_recomputed(self) -> tuple[Backward, Backward, set[str]]:
        plain, needed = recompute(self._solved.plain, self.captured.program)
        exact, more = recompute(self._solved.exact, self.captured.program)
        return plain, exact, needed | more

    @cached_property
    def _short_forward(self) -> Program:
        return self._namer.program(self.captured.program, self._short_recomputed[2])

    @cached_property
    def _short(self) -> dict[str, Backward]:
        assert self._short_forward  # it comes first: it names what both spellings read
        plain, exact, _ = self._short_recomputed
        return {"plain": self._namer.backward(plain), "exact": self._namer.backward(exact)}

    @property
    def regions(self) -> tuple[Region, ...]:
        """What the search for closed forms found, region by region."""
        return self._solved.regions

    def listing(
        self, spelling: str = "plain", shapes: bool = True, form: str = "longhand"
    ) -> Listing:
        """A form in one spelling: ``plain`` for people, ``exact`` bit for bit autograd's.

        ``shapes`` puts the shape of each gradient beside it, as a comment.
        """
        derived = self.form(form, spelling)
        seeds = self._seeds(derived)
        forward = self.forward_of(form)
        return print_backward(derived.program, self.symbols, seeds, shapes, forward)

    @cached_property
    def shorthand(self) -> Listing:
        """The backward pass with every region in closed form where one is worth having.

        A region is what lies between products of matrices and the like. Found at first use, which
        takes longer than deriving.
        """
        return self.listing("plain", form="shorthand")

    def cost(self, form: str = "longhand", at: Mapping[str, int] | None = None) -> Cost:
        """Statements, passes over large tensors, bytes moved and saved, operations of one form.

        ``form`` is ``longhand`` or ``shorthand``. ``at`` gives symbolic sizes by name (``{"n":
        1024}``); the others have the example's values. Raises ``InputError`` for a size that there
        is not.
        """
        return cost(self.forward_of(form), self.form(form).program, at)

    def explain_refusals(self) -> str:
        """The closed forms that were found and not taken, region by region, and why."""
        return refusals_text(self)

    def explain(self, name: str | None = None, numbers: bool = False) -> Explanations:
        """Why a gradient is what it is, from the executed program, its rules and its proofs.

        ``name`` is a gradient's or its value's (``dcounts`` or ``counts``); without one all are
        explained. ``numbers`` adds numbers to the cases that are written out in letters. Shows
        itself in a terminal (``print``) and in a notebook; ``.to("html")`` and the other formats
        give text. Raises ``InputError`` for a name that there is not.
        """
        return explain(self._source, name, numbers, self.name)

    @cached_property
    def _source(self) -> Source:
        return source_of(self)

    def closed_form(self, of: str, given: str) -> ClosedForm:
        """The gradient of ``of`` in terms of the gradient of ``given`` and of forward values.

        Both are names of forward values, with or without the ``d``. Raises ``InputError`` where a
        contraction or another gradient comes in between.
        """
        return closed_form(self, of.strip(), given.strip())

    @cached_property
    def longhand(self) -> Listing:
        """The backward pass, one ``d{x}`` per step, as it is printed for people."""
        return self.listing("plain")

    def _seeds(self, derived: Backward) -> list[str]:
        """``dloss = …`` for a scalar loss; other upstreams are arguments."""
        if self.scalar:
            of, up = derived.upstream_of[0], printed_name(derived.upstream[0])
            return [f"{up} = torch.ones_like({of})"]
        return []

    @cached_property
    def scalar(self) -> bool:
        """Whether there is one differentiable output and it is a scalar: then it is the loss."""
        return len(self._exact.upstream) == 1 and self._exact.upstream[0].shape == ()

    @cached_property
    def leaves(self) -> list[Leaf]:
        return self.captured.arguments.dynamic()

    @cached_property
    def _constants(self) -> tuple[torch.Tensor, ...]:
        return tuple(self.captured.constants.values())

    @cached_property
    def _parameters(self) -> list[str]:
        return [leaf.name for leaf in self.leaves] + list(self.captured.constants)

    def _forward_program(self, derived: Backward, form: str = "longhand") -> Program:
        keep = {v.name for v in derived.program.inputs}
        return without_dead_nodes(self.forward_of(form), keep)

    @cached_property
    def run(self) -> Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """The compiled text: ``run(*leaves, *upstreams) -> (outputs, gradients)``.

        It is the printed forward and backward pass (exact spelling) with a ``del`` after the last
        use of each intermediate, so that no more memory is held than is needed.
        """
        derived = self.form(self.runs, "exact")
        program = self._forward_program(derived, self.runs)
        lines, _ = print_forward(program, self.symbols)
        back = Printer(derived.program, size_names(self.symbols)).lines()
        head = preamble(self.symbols, names_in(line.text for line in (*lines, *back)))
        outputs = [printed_name(v) for v in program.outputs]
        gradients = [printed_name(v) for v in derived.program.outputs]
        keep = {*outputs, *gradients}
        seeds = self._seeds(derived)
        upstream = [printed_name(v) for v in derived.upstream]
        marker = len(lines)
        statements = with_deletions([*lines, *back], keep, set(upstream))
        # the seed of a scalar loss goes between the forward and the backward statements
        position = _position_of(statements, marker)
        body = [*head, *statements[:position], *seeds, *statements[position:]]
        returns = f"return ({', '.join(outputs)},), {_tuple_text(gradients)}"
        parameters = [*self._parameters, *([] if self.scalar else upstream)]
        return compile_function(f"{self.name}_and_backward", parameters, [*body, returns])

    @cached_property
    def gradient_names(self) -> tuple[str, ...]:
        """The inputs that get a gradient, by name, in the order of the call."""
        reached = self._exact.gradients
        wanted = set(self._names)
        return tuple(v.name for v in self.program.inputs if v.name in wanted & reached.keys())

    def saving(
        self, save: str | Sequence[str] = "fast", form: str = "longhand", spelling: str = "exact"
    ) -> Plan:
        """What is saved for the backward pass, with its bytes, and what is computed again.

        It is the plan of the drop-in operator (``function``).

        ``save`` is ``"fast"`` (what the backward pass reads, except views and the like),
        ``"least"`` (the fewest bytes without doing a sort, a random draw or a contraction again,
        but for products that outgrow by far what they are made of, such as scores of attention) or
        the names of exactly what is to be saved. Bytes are those at the example's sizes. Raises
        ``InputError`` for names that are unknown, of no use, or not enough.
        """
        return self.drop_in(form)._plan(save, form, spelling)

    def _plan(self, save: str | Sequence[str], form: str, spelling: str) -> Plan:
        derived = self.form(form, spelling)
        forward = self._forward_program(derived, form)
        return plan_saving(forward, derived, save, self._namer.forward)

    def drop_in(self, form: str = "shorthand") -> Self:
        """The derivation of which a drop-in operator is made.

        In shorthand, lines that compute what a kernel of the library does call that kernel: that
        is derived anew, and may hold for fewer sizes. Otherwise it is this derivation itself.
        """
        return self if form != "shorthand" or self._on_kernels is None else self._on_kernels

    @cached_property
    def _on_kernels(self) -> Self | None:
        captured = with_kernels(self.captured, self.forward)
        if captured is None:
            return None
        other = type(self)(self.forward, captured, self._wrt, self.runs)
        other.__dict__["_on_kernels"] = None
        return other

    def emit(
        self,
        backend: str = "torch",
        spelling: str | None = None,
        form: str = "longhand",
        save: str | Sequence[str] | None = None,
    ) -> str:
        """A complete, importable module as text.

        ``backend`` is ``torch`` (``forward`` and ``backward``), ``numpy`` or ``jax`` (the same
        without torch), or ``function`` (one differentiable operator for torch, bit for bit
        autograd's gradients). ``save`` says what the backward pass is given; see ``saving``.
        ``spelling`` is ``plain``, as people write it, or ``exact``, bit for bit autograd's (the
        default of ``function``). Raises ``InputError`` for a library that there is not and
        ``UnsupportedError``, with the line, for an operator that the library lacks.
        """
        spelling = spelling or ("exact" if backend == "function" else "plain")
        if backend == "function":
            save = "fast" if save is None else save
            if (other := self.drop_in(form)) is not self:
                return other.emit(backend, spelling, form, save)
        derived = self.form(form, spelling)
        plan = self._plan(save, form, spelling) if save is not None else None
        if plan is not None and backend == "function" and form == "shorthand":
            plan = lean(plan, self.captured.context)
        forward = self._forward_program(derived, form)
        passes = assemble(self.captured, forward, derived, self.gradient_names, plan)
        return module_text(backend, passes)


def _differentiable(captured: Captured) -> list[str]:
    """The inputs whose gradients are wanted by default: floating arguments, trained parameters."""
    return [
        leaf.name
        for leaf in captured.arguments.dynamic()
        if isinstance(leaf.value, torch.Tensor)
        and leaf.value.is_floating_point()
        and leaf.kind != "buffer"
        and not _frozen(leaf)
    ]


def from_end(t: torch.Tensor) -> bool:
    """Whether integers have negative ones among them, which index from the end."""
    whole = not (t.is_floating_point() or t.is_complex() or t.dtype == torch.bool or t.is_meta)
    return whole and bool((t < 0).any())


def _frozen(leaf: Leaf) -> bool:
    """Whether the author has switched a parameter's gradient off."""
    return leaf.kind == "parameter" and not leaf.value.requires_grad


def _tuple_text(names: Sequence[str]) -> str:
    return f"({', '.join(names)},)" if names else "()"


def _nothing_to_do(captured: Captured, wrt: Sequence[str] | None) -> str:
    if wrt is not None:
        return "wrt names no input: name those whose gradients are wanted"
    leaves = captured.arguments.dynamic()
    given = ", ".join(map(described, leaves))
    frozen = [leaf.name for leaf in leaves if _frozen(leaf)]
    if frozen:
        return (
            f"no input can have a gradient ({given}): the parameters have requires_grad=False; "
            f"name one in wrt to have its gradient all the same, as in {frozen[0]}"
        )
    return f"no input can have a gradient ({given}): only floating-point tensors have one"


def _position_of(statements: Sequence[str], count: int) -> int:
    """The index after the first ``count`` statements, ``del`` lines not counted."""
    seen = 0
    for i, text in enumerate(statements):
        if text.startswith("del "):
            continue
        if seen == count:
            return i
        seen += 1
    return len(statements)


def described(leaf: Leaf) -> str:
    """An input in a message: its name, shape and dtype, or its value."""
    if isinstance(leaf.value, torch.Tensor):
        return f"{leaf.name} {list(leaf.value.shape)} {dtype_name(leaf.value.dtype)}"
    return f"{leaf.name} = {leaf.value!r:.40}"
