"""The catalogue of forms: forward passes whose backward passes people write by hand.

Used by the tests and by the benchmarks. Every formula is a fact with its source named; the code is
our own.
"""

from __future__ import annotations

from . import cross_entropies, gates, lengths, norms, products, softmaxes
from .record import Form, Random, Reference, differentiable

FORMS: tuple[Form, ...] = (
    *cross_entropies.FORMS,
    *softmaxes.FORMS,
    *norms.FORMS,
    *lengths.FORMS,
    *gates.FORMS,
    *products.FORMS,
)


def form(name: str) -> Form:
    """The form of that name."""
    return next(f for f in FORMS if f.name == name)


__all__ = ["FORMS", "Form", "Random", "Reference", "differentiable", "form"]
