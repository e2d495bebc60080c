"""Deriving, running and checking: ``derive`` and the ``Backprop`` that it returns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.utils._pytree as pytree

from ..capture import Captured, capture, fits
from ..capture.annotations import annotated_inputs
from ..capture.inputs import Leaf, flatten
from ..capture.source import definition_of, location_of_error
from ..checking import Report, verify
from ..checking.compare import coarsest_of
from ..checking.rounding import Noise, Run, doubled, excused, nearby
from ..checking.verify import Truth, autograd_truth, run_lines
from ..emit.listing import (
    print_forward,
    printed_name,
)
from ..errors import BackhandError, CaptureError, InputError, InternalError, first_line, own_faults
from ..operator import Operator
from ..output import check_output
from ..program.invoke import dtype_name
from .text import Derivation, described

if TYPE_CHECKING:
    from ..report import Page


class Backprop(Derivation):
    """A forward pass and its backward pass.

    Call it to run both: ``loss, grads = bp(*inputs)``. ``grads`` maps the name of every
    differentiable input to its gradient. No autograd tape is recorded anywhere.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        captured: Captured,
        wrt: Sequence[str] | None = None,
        runs: str = "longhand",
    ) -> None:
        super().__init__(forward, captured, wrt, runs)
        self._variants: dict[Any, Backprop] = {}
        self._fitting: set[Any] = set()

    # running

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
        for known in (self, *dict.fromkeys(self._variants.values())):
            if known._holds(args, kwargs):
                known._fitting.add(call)
                if known is not self:
                    self._variants[key] = known
                return known
        return self._variant(key, args, kwargs)

    def _holds(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether this derivation is right for these inputs and for what lies around them now."""
        if self.captured.state.changed():
            return False
        theirs = self._statics(flatten(self.forward, args, kwargs).leaves)
        return theirs == self._statics(self.captured.arguments.leaves) and fits(
            self.captured, self._values(args, kwargs)
        )

    def _variant(self, key: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Backprop:
        """The derivation for a call, or a state of its surroundings, that this one does not fit."""
        try:
            variant = derive(self.forward, *args, wrt=self._wrt, runs=self.runs, **kwargs)
        except CaptureError as error:
            raise self._misfit(args, kwargs) or error from None
        self._variants[key] = variant
        variant._fitting.add(key[0])
        return variant

    def __call__(
        self, *args: Any, upstream: Any = None, **kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Run forward and backward: ``(outputs, {input name: gradient})``.

        ``outputs`` is what the forward pass returns; each gradient has its input's shape and dtype.
        ``upstream`` is the gradient of the output, in its shape and dtype (a tuple, one per
        differentiable output); it is needed unless the output is a scalar loss. Inputs may have
        other sizes than the examples; where the derivation does not hold for them (a batch of one,
        another dtype) it is made anew. Raises ``InputError`` for inputs that the forward pass does
        not take, with its line, and for an upstream that does not fit.
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
            fault = self._misfit(args, kwargs)
            if fault is not None:
                raise fault from None
            raise InternalError(
                "running the derived passes, on inputs that the forward pass itself takes,",
                error,
                definition_of(self.forward),
            ) from error

    def _misfit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> InputError | None:
        """What is wrong with the inputs, if the forward pass itself fails on them."""
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                self.forward(*_copies(args), **_copies(kwargs))
        except Exception as error:
            return self._failure(error, flatten(self.forward, args, kwargs).leaves)
        return None

    def _failure(self, error: Exception, given: Sequence[Leaf]) -> InputError:
        """The forward pass itself fails on some inputs: with its line, and the inputs."""
        where = location_of_error(error)
        ours = ", ".join(map(described, self.captured.arguments.leaves))
        theirs = ", ".join(map(described, given))
        return InputError(
            f"the forward pass fails on these inputs: {type(error).__name__}: {first_line(error)}"
            + (f"\n  {where}: {where.text}" if where else "")
            + f"\n  given: {theirs}"
            + ("" if ours == theirs else f"\n  derived with: {ours}")
        )

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

    def namespace(self, values: Sequence[Any], seed: int, form: str = "longhand") -> dict[str, Any]:
        """A namespace in which the forward pass has run: every named value by its printed name."""
        import math

        program = self.forward_of(form)
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
        form: str = "longhand",
        **kwargs: Any,
    ) -> Report:
        """Check every named gradient against autograd on the user's own function.

        Without inputs the example inputs are used. Returns a report: ``.ok``, ``.gradients``, and a
        table as ``str``. Outputs that are not a scalar loss get a random upstream, drawn with
        ``seed``, unless ``upstream`` gives one. ``form`` is ``longhand`` or ``shorthand``;
        ``target`` is what the table calls it. Raises ``InputError`` where the forward pass itself
        fails on the inputs.
        """
        how: dict[str, Any] = {"upstream": upstream, "target": target, "seed": seed, "form": form}
        if args or kwargs:
            bp = self.specialised(args, kwargs)
            if bp is not self:
                return bp.verify(*args, **how, **kwargs)
            values = self._values(args, kwargs)
        elif self.captured.state.changed():
            example = self.captured.arguments
            bp = self.specialised(example.args, example.kwargs)
            return bp.verify(**how)
        else:
            values = [leaf.value for leaf in self.leaves]
        return self._judged(values, target or self.name, form, seed, upstream)[0]

    def _judged(
        self, values: Sequence[Any], target: str, form: str, seed: int, upstream: Any = None
    ) -> tuple[Report, Truth]:
        """The verdicts on one form, and autograd's gradients that they rest on."""
        detached = [v.detach() if isinstance(v, torch.Tensor) else v for v in values]
        for leaf, value in zip(self.leaves, detached, strict=True):
            if isinstance(value, torch.Tensor) and value.is_meta:
                raise InputError(
                    f"{leaf.name} is on the meta device and has no numbers to check with: give "
                    "inputs with data (deriving needs none)"
                )
        if form == "shorthand":
            self._refuse_from_end(dict(zip((v.name for v in self.leaves), detached, strict=True)))
        derived = self.form(form, "exact")
        named = self.captured.program.values()  # not those that only the backward pass reads
        names = [v.name for v in named if v.var is not None and v.floating]
        wrt = set(self._names)
        ups = self._upstreams(upstream, detached) if upstream is not None else None
        try:
            truth = autograd_truth(
                self.captured, detached, derived.upstream_of, wrt, set(names), ups, seed
            )
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise self._failure(error, self.captured.arguments.leaves) from error

        # torch picks its kernels by whether a tensor asks for a gradient, too
        asking = [
            v.detach().requires_grad_(leaf.name in wrt) if isinstance(v, torch.Tensor) else v
            for leaf, v in zip(self.leaves, detached, strict=True)
        ]

        def forward() -> dict[str, Any]:
            space = self.namespace(asking, seed, form)
            for value, of in zip(derived.upstream, derived.upstream_of, strict=True):
                space[printed_name(value)] = truth.upstream[of]
            return space

        order = [n for n in reversed(names) if n in derived.gradients]
        with own_faults("running the derived passes", definition_of(self.forward)):
            report = verify(
                target,
                self.captured,
                derived,
                self.listing("exact", shapes=False, form=form),
                self.listing("plain", shapes=False, form=form),
                forward,
                truth,
                order,
                form,
            )
            ups = [truth.upstream[of] for of in derived.upstream_of]
            if not report.ok:
                report = self._without_noise(report, detached, ups, seed)
            if report.ok or form == "longhand":
                return report, truth
            wide, up = doubled(detached), doubled(ups)
            ours, theirs = (self._numbers(f, wide, up, seed)[1] for f in (form, "longhand"))
            return excused(report, ours, theirs), truth

    def _without_noise(
        self, report: Report, values: Sequence[Any], ups: Sequence[Any], seed: int
    ) -> Report:
        """The report with what differs no more than numbers move by a nudge of the inputs."""
        named = {row.of for row in report.gradients}
        asked = self.form(report.form, "exact").upstream_of
        runs = []
        try:
            for near in (values, *nearby(values)):
                truth = autograd_truth(
                    self.captured, near, asked, set(self._names), named, ups, seed
                )
                ours = self._numbers(report.form, near, ups, seed)[1]
                runs.append(Run(ours, truth.gradients))
        except (BackhandError, RuntimeError, IndexError, TypeError, ValueError):
            return report  # the forward pass cannot be run there: nothing is excused
        through = coarsest_of(v.dtype for v in self.captured.program.values())
        return Noise(runs, [*values, *ups], through).excused(report)

    def _numbers(
        self, form: str, values: Sequence[Any], ups: Sequence[Any], seed: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Every named value, and every named gradient, by the forward value's name."""
        derived = self.form(form, "exact")
        space = self.namespace(values, seed, form)
        for value, up in zip(derived.upstream, ups, strict=True):
            space[printed_name(value)] = up
        listing = self.listing("exact", shapes=False, form=form)
        with torch.no_grad():
            run_lines([*listing.preamble, *listing.lines], space)
        printed = {v.name: printed_name(v) for v in derived.program.values()}
        names = {of: printed.get(name) for of, name in derived.gradients.items()}
        gradients = {of: space[label] for of, label in names.items() if label in space}
        named = (v for v in self.forward_of(form).values() if printed_name(v) in space)
        return {v.name: space[printed_name(v)] for v in named}, gradients

    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        force: bool = False,
        target: str | None = None,
    ) -> Page:
        """One self-contained HTML page about this derivation, written to ``path`` if given.

        It has both passes side by side, every gradient with its derivation, its picture and
        autograd's verdict, the closed forms with their proofs, and what all of it costs, on the
        example inputs. ``target`` is what the page calls the forward pass. Raises ``InputError``
        where ``path`` cannot be written, or is there and ``force`` does not say to replace it.
        """
        from .reporting import page_of  # what draws pictures takes half a second to import

        if path is not None:
            check_output(os.fspath(path), force)  # before the work is done
        bp = self
        if self.captured.state.changed():
            example = self.captured.arguments
            bp = self.specialised(example.args, example.kwargs)
        with own_faults("making the report", definition_of(self.forward)):
            page = page_of(bp, target or self.name)
        if path is not None:
            page.write(os.fspath(path), force)
        return page

    def function(
        self,
        form: str = "longhand",
        save: str | Sequence[str] = "fast",
        operator: str | None = None,
    ) -> Operator:
        """The forward pass as one differentiable operator: call it like any torch function.

        Its arguments are the inputs in order (a module's parameters after the others). It works
        under ``torch.compile``, ``torch.func``, autocast and in ``DistributedDataParallel``.
        ``form`` and ``save`` are those of ``emit``. ``operator="mylib::name"`` registers it with
        ``torch.library`` as well and calls that, which a compiler keeps whole. Raises
        ``InputError`` for a name that is taken or is none.
        """
        return Operator(self, form, save, operator)

    def __repr__(self) -> str:
        return f"<backhand.Backprop of {self.name}: {len(self.gradient_names)} gradients>"


def _copies(arguments: Any) -> Any:
    return pytree.tree_map(
        lambda a: a.detach().clone() if isinstance(a, torch.Tensor) else a, arguments
    )


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


def derive(
    forward: Callable[..., Any],
    *example_inputs: Any,
    wrt: Sequence[str] | None = None,
    symbolic: bool = True,
    size_names: Mapping[str, tuple[str | None, ...]] | None = None,
    runs: str = "longhand",
    **example_kwargs: Any,
) -> Backprop:
    """Derive the backward pass of ``forward``.

    ``example_inputs`` are one call's arguments: tensors, numbers, and tuples, lists or dicts of
    them. Only their shapes and dtypes matter; sizes stay symbolic, so that what is derived at one
    batch size runs at another. Without example inputs they are made from jaxtyping annotations
    (``x: Float[Tensor, "n d"]``), whose names become the sizes' names. A module's parameters become
    inputs: ``fc1.weight`` is ``fc1_weight``.

    ``wrt`` names the inputs whose gradients are wanted (default: every floating one, a module's
    parameters with ``requires_grad=False`` aside).
    ``symbolic=False`` fixes every size to the example's. ``runs`` says which form a call of the
    result runs: ``longhand``, bit for bit autograd's, or ``shorthand``.

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
    return Backprop(forward, captured, wrt, runs)


__all__ = ["Backprop", "derive"]
