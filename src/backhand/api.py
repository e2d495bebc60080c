"""The Python API: ``derive`` and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
import torch.utils._pytree as pytree

from .capture import Captured, capture, fits
from .capture.annotations import annotated_inputs
from .capture.inputs import Leaf, flatten
from .capture.source import location_of_error
from .checking import Report, verify
from .checking.verify import autograd_truth, run_lines
from .emit.assemble import assemble, module_text
from .emit.listing import (
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
from .emit.python import Printer
from .errors import CaptureError, InputError
from .longhand import Backward, Namer, Plan, backward, expand_plain, plan_saving, recompute
from .operator import Operator
from .program.cost import Cost, cost
from .program.invoke import dtype_name
from .program.ir import Program, Value, without_dead_nodes

SPELLINGS = ("plain", "exact")
FORMS = ("longhand",)


def derive(
    forward: Callable[..., Any],
    *example_inputs: Any,
    wrt: Sequence[str] | None = None,
    symbolic: bool = True,
    size_names: Mapping[str, tuple[str | None, ...]] | None = None,
    **example_kwargs: Any,
) -> Backprop:
    """Derive the backward pass of ``forward``.

    ``example_inputs`` are one call's arguments: tensors, numbers, and tuples, lists or dicts of
    them. Only their shapes and dtypes matter; sizes stay symbolic, so that what is derived at one
    batch size runs at another. Without example inputs they are made from jaxtyping annotations
    (``x: Float[Tensor, "n d"]``), whose names become the sizes' names. A module's parameters become
    inputs: ``fc1.weight`` is ``fc1_weight``.

    ``wrt`` names the inputs whose gradients are wanted (default: every floating one).
    ``symbolic=False`` fixes every size to the example's.

    Raises ``InputError`` for bad arguments, ``CaptureError`` and ``UnsupportedError`` with the line
    of the forward pass that cannot be differentiated, and what to write instead.

    >>> import torch, backhand
    >>> def forward(x, w):
    ...     y = x @ w
    ...     return (y * y).sum()
    >>> bp = backhand.derive(forward, torch.randn(4, 3), torch.randn(3, 2))
    >>> loss, grads = bp(torch.ones(5, 3), torch.ones(3, 2))
    >>> loss.item(), list(grads)
    (90.0, ['x', 'w'])
    """
    if not callable(forward):
        raise InputError(f"forward must be a function or a module, not {type(forward).__name__}")
    if not example_inputs and not example_kwargs:
        example_inputs, names = annotated_inputs(forward)
        size_names = {**names, **(size_names or {})}
    captured = capture(forward, example_inputs, example_kwargs, size_names, symbolic)
    return Backprop(forward, captured, wrt)


class Backprop:
    """A forward pass and its backward pass.

    Call it to run both: ``loss, grads = bp(*inputs)``. ``grads`` maps the name of every
    differentiable input to its gradient. No autograd tape is recorded anywhere.
    """

    def __init__(
        self, forward: Callable[..., Any], captured: Captured, wrt: Sequence[str] | None = None
    ) -> None:
        self.forward = forward
        self.captured = captured
        self.name = captured.program.name
        self._wrt = wrt
        self._names = list(wrt) if wrt is not None else _differentiable(captured)
        if not self._names:
            raise InputError(_nothing_to_do(captured, wrt))
        self._walked = backward(captured.program, captured.context, captured.fakes, self._names)
        plain = expand_plain(self._walked, captured.context, captured.fakes)
        exact, needed_exact = recompute(self._walked, captured.program)
        plain, needed_plain = recompute(plain, captured.program)
        namer = self._namer = Namer(captured.program)
        self.program: Program = namer.program(captured.program, needed_exact | needed_plain)
        self._exact, self._plain = namer.backward(exact), namer.backward(plain)
        self._variants: dict[Any, Backprop] = {}
        self._fitting: set[Any] = set()

    # what people read

    @property
    def symbols(self) -> tuple[Any, ...]:
        return self.captured.program.symbols

    def derived(self, spelling: str = "plain") -> Backward:
        """The backward program in one of the two spellings."""
        if spelling not in SPELLINGS:
            raise InputError(f"spelling must be one of {', '.join(SPELLINGS)}, not {spelling!r}")
        return self._plain if spelling == "plain" else self._exact

    def listing(self, spelling: str = "plain", shapes: bool = True) -> Listing:
        """The longhand in one spelling: ``plain`` for people, ``exact`` bit for bit autograd's."""
        derived = self.derived(spelling)
        seeds = self._seeds(derived)
        return print_backward(derived.program, self.symbols, seeds, shapes, self.program)

    @cached_property
    def longhand(self) -> Listing:
        """The backward pass, one ``d{x}`` per step, as it is printed for people."""
        return self.listing("plain")

    def cost(self, form: str = "longhand", at: Mapping[str, int] | None = None) -> Cost:
        """Statements, passes over large tensors, bytes moved and saved of one form.

        ``at`` gives symbolic sizes by name; the others have the example's values.
        """
        return cost(self.program, self.form(form).program, at)

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

    # running

    @cached_property
    def leaves(self) -> list[Leaf]:
        return self.captured.arguments.dynamic()

    @cached_property
    def _flat(self) -> bool:
        """Whether a call is all there is: one tensor per argument in, one scalar loss out."""
        arguments = self.captured.arguments
        return (
            self.scalar
            and arguments.module is None
            and not arguments.kwargs
            and len(arguments.args) == len(arguments.leaves)
            and all(leaf.kind == "tensor" for leaf in arguments.leaves)
            and len(self.program.outputs) == 1
            and self.captured.treespec.is_leaf()
        )

    @cached_property
    def _constants(self) -> tuple[torch.Tensor, ...]:
        return tuple(self.captured.constants.values())

    @cached_property
    def _parameters(self) -> list[str]:
        return [leaf.name for leaf in self.leaves] + list(self.captured.constants)

    def _forward_program(self, derived: Backward) -> Program:
        keep = {v.name for v in derived.program.inputs}
        return without_dead_nodes(self.program, keep)

    @cached_property
    def run(self) -> Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """The compiled text: ``run(*leaves, *upstreams) -> (outputs, gradients)``.

        It is the printed forward and backward pass (exact spelling) with a ``del`` after the last
        use of each intermediate, so that no more memory is held than is needed.
        """
        derived = self._exact
        program = self._forward_program(derived)
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
        """The inputs that get a gradient, in order."""
        reached = self._exact.gradients
        wanted = set(self._names)
        return tuple(v.name for v in self.program.inputs if v.name in wanted & reached.keys())

    def _values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """The dynamic leaves of a call, checked against the signature that was derived."""
        arguments = flatten(self.forward, args, kwargs)
        ours, theirs = self.captured.arguments.leaves, arguments.leaves
        if [leaf.name for leaf in ours] != [leaf.name for leaf in theirs]:
            expected = ", ".join(leaf.name for leaf in ours if leaf.kind != "parameter")
            got = ", ".join(leaf.name for leaf in theirs if leaf.kind != "parameter")
            raise InputError(f"expected the inputs ({expected}), got ({got})")
        return [leaf.value for leaf in theirs if self._is_dynamic(leaf)]

    def _is_dynamic(self, leaf: Leaf) -> bool:
        return leaf.name in self._dynamic_names

    def _statics(self, leaves: Sequence[Leaf]) -> list[Any]:
        return [leaf.value for leaf in leaves if not self._is_dynamic(leaf)]

    @cached_property
    def _dynamic_names(self) -> set[str]:
        return {leaf.name for leaf in self.leaves}

    def specialised(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Backprop:
        """This derivation if it holds for the inputs' sizes and types, else one made for them."""
        call, state = _call_key(args, kwargs), self.captured.state.changed()
        if not state and call in self._fitting:
            return self
        key = (call, state)
        if key in self._variants:
            return self._variants[key]
        if state:
            return self._variant(key, args, kwargs)
        values = self._values(args, kwargs)
        theirs = self._statics(flatten(self.forward, args, kwargs).leaves)
        if theirs == self._statics(self.captured.arguments.leaves) and fits(self.captured, values):
            self._fitting.add(call)
            return self
        return self._variant(key, args, kwargs)

    def _variant(self, key: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Backprop:
        """The derivation for a call, or a state of its surroundings, that this one does not fit."""
        try:
            variant = derive(self.forward, *args, wrt=self._wrt, **kwargs)
        except CaptureError as error:
            raise self._misfit(args, kwargs) or error from None
        self._variants[key] = variant
        variant._fitting.add(key[0])
        return variant

    def __call__(
        self, *args: Any, upstream: Any = None, **kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Run forward and backward: ``(outputs, {input name: gradient})``.

        ``upstream`` is the gradient of the output (a tuple, one per differentiable output) and is
        needed unless the output is a scalar loss. Inputs may have other sizes than the examples;
        where the derivation does not hold for them (a batch of one, another dtype) it is made anew.
        """
        usual = self._flat and not kwargs and upstream is None
        same = not self.captured.state.changed()
        if usual and same and _call_key(args, kwargs) in self._fitting:
            # a step of a training loop: nothing to flatten, seen before
            (loss,), found = self._run(args, args, kwargs)
            return loss, dict(zip(self.gradient_names, found, strict=True))
        bp = self.specialised(args, kwargs)
        if bp is not self:
            return bp(*args, upstream=upstream, **kwargs)
        values = self._values(args, kwargs)
        ups = self._upstreams(upstream, values)
        outputs, gradients = self._run(values, args, kwargs, ups)
        return self._structured(outputs), dict(zip(self.gradient_names, gradients, strict=True))

    def _run(
        self,
        values: Sequence[Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        ups: Sequence[Any] = (),
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        try:
            with torch.no_grad():
                return self.run(*values, *self._constants, *ups)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise self._misfit(args, kwargs) or error from None

    def _misfit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> InputError | None:
        """What is wrong with the inputs, if the forward pass itself fails on them."""
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                self.forward(*_copies(args), **_copies(kwargs))
        except Exception as error:
            said = (str(error).strip().splitlines() or ["no message"])[0]
            where = location_of_error(error)
            given = ", ".join(map(_described, flatten(self.forward, args, kwargs).leaves))
            derived = ", ".join(map(_described, self.captured.arguments.leaves))
            return InputError(
                f"the inputs do not fit the forward pass: {type(error).__name__}: {said}"
                + (f"\n  {where}: {where.text}" if where else "")
                + f"\n  given: {given}\n  derived with: {derived}"
            )
        return None

    def _sizes_of(self, values: Sequence[Any]) -> dict[str, int]:
        """The symbolic sizes' values for these inputs."""
        by_name = {leaf.name: value for leaf, value in zip(self.leaves, values, strict=True)}
        out: dict[str, int] = {}
        for s in self.symbols:
            value = by_name[s.input]
            out[s.name] = value if s.axis is None else value.shape[s.axis]
        return out

    def _upstreams(self, upstream: Any, values: Sequence[Any]) -> list[torch.Tensor]:
        if self.scalar:
            if upstream is not None:
                raise InputError("the output is a scalar loss: its upstream is 1, give none")
            return []
        given = list(upstream) if isinstance(upstream, (tuple, list)) else [upstream]
        names = self._exact.upstream_of
        if upstream is None or len(given) != len(names):
            raise InputError(
                f"the output is not a scalar loss: pass upstream=…, the gradient of "
                f"{', '.join(names)}" + (f" ({len(names)} tensors)" if len(names) > 1 else "")
            )
        for name, gradient in zip(names, given, strict=True):
            if not isinstance(gradient, torch.Tensor):
                raise InputError(f"the upstream of {name} is not a tensor")
        sizes = self._sizes_of(values)
        for name, value, gradient in zip(names, self._exact.upstream, given, strict=True):
            shape = [d if isinstance(d, int) else d.evaluate(sizes) for d in value.shape]
            found = f"{list(gradient.shape)} {dtype_name(gradient.dtype)}"
            if found != f"{shape} {value.dtype}":
                raise InputError(
                    f"the upstream of {name} has shape and dtype {found}, "
                    f"and {name} has {shape} {value.dtype}"
                )
        return given

    def _structured(self, outputs: tuple[Any, ...]) -> Any:
        tensors = iter(outputs)
        leaves = [next(tensors) if leaf is None else leaf for leaf in self.captured.out_leaves]
        return pytree.tree_unflatten(leaves, self.captured.treespec)

    # checking

    def namespace(self, values: Sequence[Any], seed: int) -> dict[str, Any]:
        """A namespace in which the forward pass has run: every named value by its printed name."""
        import math

        program = self.program
        lines, head = print_forward(program, self.symbols)
        space: dict[str, Any] = {"torch": torch, "math": math}
        space.update(zip(self._parameters, [*values, *self._constants], strict=True))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            run_lines([*head, *lines], space)
        return space

    def verify(
        self,
        *args: Any,
        upstream: Any = None,
        target: str | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> Report:
        """Check every named gradient against autograd on the user's own function.

        Without inputs the example inputs are used. Returns a report: ``.ok``, ``.gradients``, and a
        table as ``str``. Outputs that are not a scalar loss get a random upstream.
        """
        if args or kwargs:
            bp = self.specialised(args, kwargs)
            if bp is not self:
                return bp.verify(*args, upstream=upstream, target=target, seed=seed, **kwargs)
            values = self._values(args, kwargs)
        elif self.captured.state.changed():
            example = self.captured.arguments
            bp = self.specialised(example.args, example.kwargs)
            return bp.verify(upstream=upstream, target=target, seed=seed)
        else:
            values = [leaf.value for leaf in self.leaves]
        detached = [v.detach() if isinstance(v, torch.Tensor) else v for v in values]
        derived = self._exact
        named = self.captured.program.values()  # not those that only the backward pass reads
        names = [v.name for v in named if v.var is not None and v.floating]
        wrt = set(self._names)
        ups = self._upstreams(upstream, detached) if upstream is not None else None
        truth = autograd_truth(
            self.captured, detached, derived.upstream_of, wrt, set(names), ups, seed
        )

        # torch picks its kernels by whether a tensor asks for a gradient, too
        asking = [
            v.detach().requires_grad_(leaf.name in wrt) if isinstance(v, torch.Tensor) else v
            for leaf, v in zip(self.leaves, detached, strict=True)
        ]

        def forward() -> dict[str, Any]:
            space = self.namespace(asking, seed)
            for value, of in zip(derived.upstream, derived.upstream_of, strict=True):
                space[printed_name(value)] = truth.upstream[of]
            return space

        order = [n for n in reversed(names) if n in derived.gradients]
        order = [n for n in order if n not in wrt or n not in truth.upstream]
        return verify(
            target or self.name,
            self.captured,
            derived,
            self.listing("exact", shapes=False),
            self.listing("plain", shapes=False),
            forward,
            truth,
            order,
        )

    # shipping

    def form(self, form: str = "longhand", spelling: str = "plain") -> Backward:
        """The backward program in one of its forms, in one of the two spellings."""
        if form not in FORMS:
            raise InputError(f"there is no form {form!r}: the forms are {', '.join(FORMS)}")
        return self.derived(spelling)

    def saving(
        self, save: str | Sequence[str] = "fast", form: str = "longhand", spelling: str = "exact"
    ) -> Plan:
        """What is saved for the backward pass, with its bytes, and what is computed again.

        ``save`` is ``"fast"``, ``"least"`` (the fewest bytes without doing a contraction again) or
        the names of exactly what is to be saved.
        """
        derived = self.form(form, spelling)
        forward = self._forward_program(derived)
        return plan_saving(forward, derived, save, self._namer.forward)

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
        """
        spelling = spelling or ("exact" if backend == "function" else "plain")
        if save is None and backend == "function":
            save = "fast"
        derived = self.form(form, spelling)
        plan = self.saving(save, form, spelling) if save is not None else None
        forward = self._forward_program(derived)
        passes = assemble(self.captured, forward, derived, self.gradient_names, plan)
        return module_text(backend, passes)

    def function(
        self,
        form: str = "longhand",
        save: str | Sequence[str] = "fast",
        operator: str | None = None,
    ) -> Operator:
        """The forward pass as one differentiable operator: call it like any torch function.

        Its arguments are the inputs in order (a module's parameters after the others). It works
        under ``torch.compile``, ``torch.func``, autocast and in ``DistributedDataParallel``.
        ``operator="mylib::name"`` registers it with ``torch.library`` as well and calls that, which
        a compiler keeps whole.
        """
        return Operator(self, form, save, operator)

    def __repr__(self) -> str:
        return f"<backhand.Backprop of {self.name}: {len(self.gradient_names)} gradients>"


def _copies(arguments: Any) -> Any:
    return pytree.tree_map(
        lambda a: a.detach().clone() if isinstance(a, torch.Tensor) else a, arguments
    )


def _described(leaf: Leaf) -> str:
    """An input in a message: its name, shape and dtype, or its value."""
    if isinstance(leaf.value, torch.Tensor):
        return f"{leaf.name} {list(leaf.value.shape)} {dtype_name(leaf.value.dtype)}"
    return f"{leaf.name} = {leaf.value!r:.40}"


def _differentiable(captured: Captured) -> list[str]:
    """The inputs whose gradients are wanted by default: floating arguments and parameters."""
    return [
        leaf.name
        for leaf in captured.arguments.dynamic()
        if isinstance(leaf.value, torch.Tensor)
        and leaf.value.is_floating_point()
        and leaf.kind != "buffer"
    ]


def _tuple_text(names: Sequence[str]) -> str:
    return f"({', '.join(names)},)" if names else "()"


def _nothing_to_do(captured: Captured, wrt: Sequence[str] | None) -> str:
    if wrt is not None:
        return "wrt names no input: name those whose gradients are wanted"
    given = ", ".join(map(_described, captured.arguments.dynamic()))
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


def _call_key(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What a derivation depends on: shapes and dtypes of tensors, values of everything else."""
    if not kwargs and all(type(a) is torch.Tensor for a in args):
        return tuple((a.shape, a.dtype) for a in args)
    leaves, spec = pytree.tree_flatten((args, dict(kwargs)))
    parts = tuple(
        (leaf.shape, leaf.dtype) if isinstance(leaf, torch.Tensor) else repr(leaf)
        for leaf in leaves
    )
    return parts, str(spec)


__all__ = ["Backprop", "Value", "derive"]
