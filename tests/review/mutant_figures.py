"""Mutants of a network's backward pass put before the review, and how it does on them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from backhand.review import review

from .handmade import SCOPE, handmade, statements_of
from .mutations import Mutant, mutants
from .networks import Network

UNNAMED = frozenset({"no-known-pattern", "cannot-run"})


@dataclass
class Figures:
    """How many mutants there were, were noticed, were blamed on their line, had their cause."""

    total: int = 0
    detected: int = 0
    line: int = 0
    cause: int = 0
    wrong_cause: int = 0
    faults: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        def share(n: int) -> str:
            return f"{n} ({100 * n / max(self.total, 1):.1f} %)"

        return (
            f"{self.total} mutants: detected {share(self.detected)}, "
            f"right line {share(self.line)}, right cause {share(self.cause)}, "
            f"wrong cause {share(self.wrong_cause)}"
        )


def in_double(inputs: tuple[Any, ...]) -> dict[int, Any]:
    return {
        i: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v
        for i, v in enumerate(inputs)
    }


def forward_space(network: Network) -> dict[str, Any]:
    """Every local of the forward pass, in double precision."""
    import sys

    found: dict[str, Any] = {}

    def watch(frame: Any, event: str, arg: Any) -> None:
        if event == "return" and frame.f_code is network.forward.__code__:
            found.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        network.forward(*in_double(network.inputs).values())
    finally:
        sys.setprofile(before)
    return found


def results(texts: list[str], space: dict[str, Any]) -> dict[str, Any] | None:
    """The gradients that statements give; ``None`` if one fails."""
    space = {
        k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in {**SCOPE, **space}.items()
    }
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        exec(compile("\n".join(texts), "<mutant>", "exec"), space)
    except Exception:
        return None
    finally:
        torch.set_default_dtype(before)
    return {k: v for k, v in space.items() if k.startswith("d")}


def differs(a: dict[str, Any] | None, b: dict[str, Any]) -> bool:
    """Whether a gradient changed by more than rounding, measured against the largest there is."""
    if a is None:
        return True
    scale = max(float(v.abs().max()) for v in b.values() if isinstance(v, torch.Tensor))
    for name, right in b.items():
        got = a.get(name)
        if not isinstance(right, torch.Tensor):
            continue
        if not isinstance(got, torch.Tensor) or got.shape != right.shape:
            return True
        limit = 1e-9 * max(float(right.abs().max()), 1e-3 * scale)
        if not float((got - right).abs().max()) <= limit:
            return True
    return False


def changing(network: Network) -> Iterator[tuple[int, Mutant]]:
    """Every mutant of the network that changes a value, with the statement it is of.

    A gradient that is zero in the whole network is looked at with a random upstream.
    """
    statements = statements_of(network.text)
    texts = [s.text for s in statements]
    space = forward_space(network)
    right = results(texts, space)
    assert right is not None
    scale = max(float(v.abs().max()) for v in right.values() if isinstance(v, torch.Tensor))
    zero = {
        k for k, v in right.items() if isinstance(v, torch.Tensor) and v.abs().max() < 1e-12 * scale
    }
    generator = torch.Generator().manual_seed(7)
    noise = {
        k: torch.randn(v.shape, generator=generator, dtype=torch.float64)
        for k, v in right.items()
        if isinstance(v, torch.Tensor)
    }
    shapes = {k: tuple(v.shape) for k, v in {**space, **right}.items() if torch.is_tensor(v)}

    def alike(name: str) -> list[str]:
        return sorted(k for k, s in shapes.items() if name in shapes and s == shapes[name])

    for i, statement in enumerate(statements):
        if not isinstance(statement.node, ast.Assign):
            continue
        names = [s for s in statement.writes if s.startswith("d")]
        written = {w for s in statements[i:] for w in s.writes}

        def possible(name: str, written: set[str] = written) -> list[str]:
            return [k for k in alike(name) if k not in written]

        for mutant in mutants(statement.text, possible, lambda n: n in right):
            changed = results([*texts[:i], mutant.text, *texts[i + 1 :]], space)
            if differs(changed, right):
                yield i, mutant
            elif zero & set(names):
                alone = {**space, **noise}
                a, b = results([mutant.text], alone), results([statement.text], alone)
                if b is not None and differs(a, {n: b[n] for n in names}):
                    yield i, mutant


def judged(network: Network, chosen: list[tuple[int, Mutant]], figures: Figures) -> Figures:
    """Review every mutant and count."""
    statements = statements_of(network.text)
    lines = network.text.splitlines()
    for i, mutant in chosen:
        line = statements[i].line
        text = "\n".join([*lines[: line - 1], mutant.text, *lines[line:]])
        found = review(handmade(network.forward, text, network.inputs))
        blamed = [
            g
            for g in found.gradients
            if g.verdict not in ("exact", "close") and not g.verdict.startswith("inherits")
        ]
        codes = {c.code for g in blamed if g.line == line for c in g.causes}
        figures.total += 1
        figures.detected += not found.ok
        figures.line += [g.line for g in blamed] == [line]
        named = codes - UNNAMED
        right = bool(named) and named <= mutant.right
        figures.cause += right
        figures.wrong_cause += bool(named) and not right
        if found.ok or [g.line for g in blamed] != [line] or not right:
            others = [(g.name, g.verdict, g.line) for g in blamed if g.line != line]
            messages = "; ".join(c.message for g in blamed if g.line == line for c in g.causes)
            figures.faults.append(
                f"{mutant.text}   [{mutant.what}] expected {sorted(mutant.right)}, "
                f"got {sorted(codes)} {'UNDETECTED' if found.ok else ''} {others or ''} {messages}"
            )
        figures.kinds[",".join(sorted(codes))] += 1
    return figures
