"""Writes docs/check-causes.md: every cause a review can name, with one example message each.

    .venv/bin/python -m docs.build_causes

The messages are those of the review itself, on mistakes that its tests plant.
"""

from __future__ import annotations

from pathlib import Path

from backhand.review import Cause, Gradient, Review, review
from backhand.review.catalogue import ENTRIES
from tests.review.cases import CASES, OTHERS, Case
from tests.review.handmade import handmade
from tests.review.networks import NETWORKS

PAGE = Path(__file__).with_name("check-causes.md")
HEAD = """# What a review can say

A review of a handwritten backward pass names a cause only if it explains the numbers without
residue: in double precision, on the given inputs and on fresh ones of other sizes, with a random
upstream. Where nothing does, it says `no-known-pattern`, with the largest difference, where it is,
and both values. The codes below are the `code` of `backhand check --json`.

Written by `python -m docs.build_causes`; the messages are the review's own.
"""


def found(case: Case) -> Review:
    """The review of a network with the case's mistake in it."""
    network = NETWORKS[case.network]
    assert network.text.count(case.old) == 1, f"{case.old!r} is not one place of {case.network}"
    text = network.text.replace(case.old, case.new)
    return review(handmade(network.forward, text, network.inputs))


def blamed(outcome: Review) -> list[Gradient]:
    """What is wrong itself, and does not inherit it."""
    return [g for g in outcome.gradients if g.causes and g.last]


def examples() -> dict[str, Case]:
    """The first case of every code."""
    out: dict[str, Case] = {}
    for case in (*CASES, *OTHERS):
        out.setdefault(case.code, case)
    return out


def example_text(case: Case, cause: Cause) -> str:
    """An example as the page shows it."""
    return "\n".join(["```", case.new.strip() or "(nothing)", "```", "", f"> {cause.message}"])


def page() -> str:
    parts = [HEAD]
    cases = examples()
    for entry in ENTRIES:
        parts.append(f"## `{entry.code}`: {entry.title}\n\n{entry.idea} {entry.example}\n")
        if entry.code in cases:
            case = cases[entry.code]
            cause = next(g.causes[0] for g in blamed(found(case)))
            parts.append(example_text(case, cause) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
