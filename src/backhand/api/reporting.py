"""``report``: everything that is known of a derivation, handed to the layer that makes the page."""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ..checking import Report as Checked
from ..emit.layout import broken
from ..errors import BackhandError
from ..explain import explained
from ..explain.gradient import proof
from ..report import Closed, Page, ReportData, render
from .closed import ClosedForm, refusals_text
from .explaining import WIDTH, closed_in_shorthand
from .text import FORMS

if TYPE_CHECKING:
    from .running import Backprop


def page_of(bp: Backprop, target: str) -> Page:
    """The report of a derivation; ``target`` is what the person called the forward pass."""
    source = replace(bp._source, closed=lambda value: None)  # closed forms have a part of their own
    named = source.explained()
    found = {v.name: closed_in_shorthand(bp, v.name) for v in named}
    checked, problem, numbers = _checked(bp, target)
    values, gradients, truth = numbers
    data = ReportData(
        name=bp.name,
        target=target,
        about=_about(bp.forward),
        sizes={s.name: s.hint for s in bp.symbols if s.named},
        source=source,
        longhand=bp.longhand,
        shorthand=bp.shorthand,
        explanations=[explained(source, v) for v in named],
        closed=[_closed(form) for form in found.values() if form is not None],
        refusals=refusals_text(bp),
        forms={form: (bp.forward_of(form), bp.form(form).program) for form in FORMS},
        checked=checked,
        problem=problem,
        values=values,
        gradients=gradients,
        truth=truth,
    )
    return render(data)


def _about(forward: Any) -> str:
    """The first paragraph of what the author says of it."""
    while isinstance(forward, functools.partial):
        forward = forward.func
    return inspect.cleandoc(forward.__doc__ or "").split("\n\n")[0]


Tensors = dict[str, torch.Tensor]


def _checked(bp: Backprop, target: str) -> tuple[Checked | None, str, tuple[Tensors, ...]]:
    """The verdicts, or why there are none; and every number that the page shows."""
    values = [leaf.value for leaf in bp.leaves]
    try:
        checked, truth = bp._judged(values, target, "longhand", 0)
    except BackhandError as error:  # the page comes all the same, and says so
        return None, str(error), ({}, {}, {})
    inputs = [v.detach() if isinstance(v, torch.Tensor) else v for v in values]
    ups = [truth.upstream[of] for of in bp.derived("exact").upstream_of]
    made, gradients = bp._numbers("longhand", inputs, ups, 0)
    wrong = {g.of for g in checked.gradients if g.verdict == "wrong"}
    true = {of: t for of, t in truth.gradients.items() if of in wrong and t is not None}
    return checked, "", (_tensors(made), _tensors(gradients), true)


def _tensors(found: dict[str, Any]) -> Tensors:
    return {name: t.detach() for name, t in found.items() if isinstance(t, torch.Tensor)}


def _closed(form: ClosedForm) -> Closed:
    before, after = form.longhand_cost, form.cost
    statement = "\n".join(broken(form.proof.statement, WIDTH))
    return Closed(
        form.of,
        form.given,
        form.listing,
        form.replaces,
        form.latex,
        proof(form.proof, statement),
        [
            ("", "longhand", "closed form"),
            ("passes over large tensors", str(before.passes), str(after.passes)),
            ("bytes of the forward pass read", f"{before.saved:,}", f"{after.saved:,}"),
        ],
    )


__all__ = ["page_of"]
