"""The catalogue of forms is right by itself: its forward passes agree, its formulas are gradients.

Everything is in float64, against autograd on each of the spellings.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import backhand
from backhand.capture import capture
from backhand.program.cost import cost
from benchmarks.forms import FORMS, Form, differentiable

RELATIVE = 1e-10
FORM = pytest.mark.parametrize("form", FORMS, ids=[f.name for f in FORMS])
SPELLED = [(f, spelling) for f in FORMS for spelling in f.spellings]
SPELLING = pytest.mark.parametrize(
    ("form", "spelling"), SPELLED, ids=[f"{f.name}-{s.__name__}" for f, s in SPELLED]
)


def distance(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    return float((a - b).abs().max() / b.abs().max())


def gradients(form: Form, operator, upstream: Tensor) -> tuple[Tensor, ...]:
    leaves, of = form.leaves(form.inputs(form.small, torch.float64))
    return torch.autograd.grad(operator(*leaves), of, upstream)


class Shapes:
    """Draws inputs that have no data."""

    def normal(self, *shape: int) -> Tensor:
        return torch.empty(shape, device="meta")

    uniform = normal

    def integers(self, below: int, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.int64, device="meta")


def operator_of(form: Form):
    return differentiable(form.reference.forward, form.reference.backward, form.names, form.of)


@FORM
def test_all_spellings_compute_the_same(form: Form) -> None:
    inputs = form.inputs(form.small, torch.float64)
    first = form.spellings[0](*inputs)
    others = [*form.spellings[1:], lambda *args: form.reference.forward(*args)[0]]
    for other in (*others, form.library) if form.library else others:
        assert distance(other(*inputs), first) < RELATIVE


@SPELLING
def test_the_reference_is_the_gradient(form: Form, spelling) -> None:
    out = spelling(*form.inputs(form.small, torch.float64))
    generator = torch.Generator().manual_seed(1)
    upstream = torch.randn(out.shape, generator=generator, dtype=out.dtype)
    truth = gradients(form, spelling, upstream)
    found = gradients(form, operator_of(form), upstream)
    assert len(found) == len(form.of)
    for of, a, b in zip(form.of, found, truth, strict=True):
        assert b.abs().max() > 1e-6, f"d{of} is zero and tells nothing"
        assert distance(a, b) < RELATIVE, f"d{of}"


@FORM
def test_a_slightly_wrong_reference_would_be_noticed(form: Form) -> None:
    exact = form.reference.backward

    def wrong(*args):
        first, *rest = exact(*args)
        return first * (1 + 1e-8), *rest

    broken = replace(form, reference=replace(form.reference, backward=wrong))
    with pytest.raises(AssertionError):
        test_the_reference_is_the_gradient(broken, form.spellings[0])


@FORM
def test_what_the_reference_saves_is_what_it_says(form: Form) -> None:
    saved: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return t

    leaves, _ = form.leaves(form.inputs(form.small, torch.float64))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = operator_of(form)(*leaves)
    assert out.requires_grad
    assert sum(saved.values()) == form.reference.saved(b=8, **form.small)


@FORM
def test_the_passes_counted_by_hand_are_those_of_the_model(form: Form) -> None:
    with torch.device("meta"):
        made = form.reference.forward(*form.draw(Shapes(), **form.large))
    # only their shapes are read, and memory that nobody touches costs nothing
    upstream, *saved = (torch.empty(t.shape, dtype=t.dtype) for t in made)
    program = capture(form.reference.backward, (upstream, *saved)).program
    assert cost(program, program).passes == form.reference.passes


@SPELLING
def test_every_spelling_can_be_derived(form: Form, spelling) -> None:
    bp = backhand.derive(spelling, *form.inputs(form.small), wrt=form.of)
    assert bp.gradient_names == tuple(n for n in form.names if n in form.of)
    assert bp.verify().ok


def test_the_catalogue_is_whole() -> None:
    assert len({f.name for f in FORMS}) == len(FORMS) >= 35
    assert sum(not f.worth for f in FORMS) >= 2
    for f in FORMS:
        code = [s.__code__ for s in (*f.spellings, f.reference.forward)]
        assert {c.co_varnames[: c.co_argcount] for c in code} == {f.names}
        assert set(f.of) <= set(f.names)
        assert f.reference.source
