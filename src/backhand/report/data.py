"""What a page is made from: one derivation, checked, with its numbers; plain data throughout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..checking import Report as Checked
from ..emit.listing import Listing
from ..explain import Explanation, Source
from ..explain.blocks import Proof
from ..program.ir import Program


@dataclass(frozen=True)
class Closed:
    """A closed form: whose gradient, and given which.

    ``replaces`` names what the longhand lines assign that it stands for, ``tex`` states it,
    ``rows`` is the table of what both cost, its head first.
    """

    name: str
    given: str
    listing: Listing
    replaces: frozenset[str]
    tex: str
    proof: Proof
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows of one derivation.

    ``target`` is what the person asked for, ``about`` their docstring. ``values`` and ``gradients``
    are tensors by the forward value's name, ``truth`` has autograd's gradients where ours are
    wrong; all three are empty where nothing could be run, and ``problem`` says why then. ``forms``
    has the forward and the backward program of each form. All text is in the plain spelling.
    """

    name: str
    target: str
    about: str
    sizes: Mapping[str, int]
    source: Source
    longhand: Listing
    shorthand: Listing
    explanations: Sequence[Explanation]
    closed: Sequence[Closed]
    refusals: str
    forms: Mapping[str, tuple[Program, Program]]
    checked: Checked | None
    problem: str = ""
    values: Mapping[str, torch.Tensor] = field(default_factory=dict)
    gradients: Mapping[str, torch.Tensor] = field(default_factory=dict)
    truth: Mapping[str, torch.Tensor] = field(default_factory=dict)


__all__ = ["Closed", "ReportData"]
