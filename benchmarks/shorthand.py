"""Hand-written backward passes against autograd, the compiler and the library, form by form.

    .venv/bin/python benchmarks/shorthand.py [--form-of FORM] [--save PLAN] [--only NAME]

For each form of the catalogue, one forward and one backward pass on the CPU in float32, on tensors
of tens of MiB: the source that a person writes, eager and compiled; the library's operator, where
there is one, eager and compiled; and the drop-in function, eager and compiled. `--form-of` says
which form of the backward pass that has; `reference` puts the catalogue's own hand-written ones in
its place: what is reachable at all.

All of a form's contestants run in this one process with one thread, in turn, round by round; a
ratio is the median over rounds of the ratio within a round, so that drifting speed does not matter.
Time is this process's time on the processor: with one thread that is what the work takes, and other
programs disturb it less than the clock on the wall.
Saved bytes are those of all storages that autograd is asked to keep, inputs included, each once.
What a compiled drop-in keeps is the choice of the compiler, which sees both passes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch  # noqa: E402 - the compiler reads its number of processes when torch is imported
from torch import Tensor  # noqa: E402

import backhand.api  # noqa: E402
from benchmarks.forms import FORMS, Form, differentiable  # noqa: E402

FORMS_OF = (*backhand.api.FORMS, "reference")
# How many times as fast the compiled drop-in shall be as ...
ASKED_OF_SOURCE, ASKED_OF_ONE, ASKED_OF_LIBRARY = 1.5, 0.95, 1.0
CLOSE = 1e-3  # how far float32 gradients may be apart, relative to the largest

Operator = Callable[..., Tensor]


def drop_in(form: Form, kind: str, save: str) -> Operator:
    if kind == "reference":
        return differentiable(form.reference.forward, form.reference.backward, form.names, form.of)
    # at the sizes of the measurement, for which the choice of what is saved is made
    bp = backhand.derive(form.spellings[0], *form.inputs(form.large), wrt=form.of)
    return bp.function(form=kind, save=save)


@dataclass
class Contestant:
    """One way to compute a form, what it saves, and how long it took, round by round."""

    name: str
    operator: Operator
    leaves: Sequence[Tensor]
    of: Sequence[Tensor]
    upstream: Tensor
    saved: int = 0
    seconds: list[float] = field(default_factory=list)

    def gradients(self) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self.operator(*self.leaves), self.of, self.upstream)

    def measure(self) -> None:
        start = time.process_time()
        kept = self.gradients()
        self.seconds.append(time.process_time() - start)
        del kept

    def count_saved(self) -> None:
        storages: dict[int, int] = {}

        def pack(t: Tensor) -> Tensor:
            storage = t.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            kept = self.operator(*self.leaves)
        self.saved = sum(storages.values())
        del kept


def contestants(form: Form, kind: str, save: str, compiled: bool) -> dict[str, Contestant]:
    """Everybody who takes part, warmed up, their gradients compared with the source's."""
    leaves, of = form.leaves(form.inputs(form.large))
    operators = {"source": form.spellings[0], "drop-in": drop_in(form, kind, save)}
    if form.library is not None:
        operators["library"] = form.library
    if compiled:
        torch._dynamo.reset()
        for name, operator in list(operators.items()):
            # torch.cov looks at its data, so that a compiler runs it in pieces
            whole = name != "library"
            operators[f"{name}*"] = torch.compile(operator, fullgraph=whole, dynamic=False)
    with torch.no_grad():
        shape = form.spellings[0](*leaves).shape
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = {n: Contestant(n, o, leaves, of, upstream) for n, o in operators.items()}
    truth = found["source"].gradients()
    for c in found.values():
        for name, a, b in zip(form.of, c.gradients(), truth, strict=True):
            apart = float((a - b).abs().max() / b.abs().max())
            if not apart < CLOSE:
                raise SystemExit(f"{form.name}: d{name} of {c.name} is {apart:.1e} off")
        c.count_saved()
    return found


@dataclass(frozen=True)
class Outcome:
    """What one form comes to: ratios of time, more is better, and of bytes, less is better.

    ``saved`` is relative to whoever else saves least.
    """

    source: float
    library: float | None
    saved: float
    noise: float


def ratio(others: Contestant, mine: Contestant) -> float:
    return statistics.median(a / b for a, b in zip(others.seconds, mine.seconds, strict=True))


def compete(form: Form, kind: str, save: str, rounds: int, compiled: bool) -> Outcome:
    found = contestants(form, kind, save, compiled)
    order = list(found.values())
    for i in range(rounds):
        for c in order[i % len(order) :] + order[: i % len(order)]:
            c.measure()
    star = "*" if compiled else ""
    mine, source = found[f"drop-in{star}"], found[f"source{star}"]
    libraries = [c for name, c in found.items() if name.startswith("library")]
    best = min(libraries, key=lambda c: statistics.median(c.seconds), default=None)
    others = [c for c in order if not c.name.startswith("drop-in")]
    low, high = min(source.seconds), statistics.median(source.seconds)
    outcome = Outcome(
        ratio(source, mine),
        None if best is None else ratio(best, mine),
        mine.saved / min(c.saved for c in others),
        high / low - 1,
    )
    _print_row(form.name, found, outcome)
    return outcome


COLUMNS = ("source", "library", "drop-in", "source*", "library*", "drop-in*")


def _print_header() -> None:
    print(
        "CPU milliseconds, both passes; * is compiled; MB saved, of the drop-in and the least else"
    )
    names = "".join(f"{name:>10}" for name in COLUMNS)
    print(f"{'':38}{names}   /source  /library      MB   least")


def _print_row(name: str, found: dict[str, Contestant], outcome: Outcome) -> None:
    cells = "".join(
        f"{statistics.median(found[c].seconds) * 1e3:10.1f}" if c in found else f"{'':10}"
        for c in COLUMNS
    )
    library = f"{outcome.library:10.2f}" if outcome.library is not None else f"{'':10}"
    mine = found.get("drop-in*", found["drop-in"])
    least = min(c.saved for n, c in found.items() if not n.startswith("drop-in"))
    print(
        f"{name:38}{cells}{outcome.source:10.2f}{library}"
        f"{mine.saved / 1e6:8.2f}{least / 1e6:8.2f}{'  more' if outcome.saved > 1 else ''}",
        flush=True,
    )


def _geometric_mean(ratios: Sequence[float]) -> float:
    return statistics.geometric_mean(ratios) if ratios else float("nan")


def summary(outcomes: dict[str, Outcome]) -> bool:
    """Print what it all comes to; whether every target is met."""
    sources = {name: o.source for name, o in outcomes.items()}
    libraries = {n: o.library for n, o in outcomes.items() if o.library is not None}
    worst = min(sources, key=sources.__getitem__)
    more = [f"{name} ({o.saved - 1:.1%})" for name, o in outcomes.items() if o.saved > 1]
    of_source, of_library = (_geometric_mean(list(r.values())) for r in (sources, libraries))
    print(f"\n{len(outcomes)} forms; as fast as the source, geometric mean: {of_source:.2f} times")
    print(f"  (asked {ASKED_OF_SOURCE}); worst: {sources[worst]:.2f}, {worst}", end="")
    print(f" (asked {ASKED_OF_ONE})")
    if libraries:
        slowest = min(libraries, key=libraries.__getitem__)
        print(f"as fast as the library's best, geometric mean: {of_library:.2f} times", end="")
        print(f" (asked {ASKED_OF_LIBRARY}); worst: {libraries[slowest]:.2f}, {slowest}")
    print(f"saves more than the one who saves least: {', '.join(more) or 'never'}")
    noise = statistics.median(o.noise for o in outcomes.values())
    print(f"noise: the source's median round is {noise:.0%} over its fastest")
    return (
        of_source >= ASKED_OF_SOURCE
        and sources[worst] >= ASKED_OF_ONE
        and (not libraries or of_library >= ASKED_OF_LIBRARY)
        and not more
    )


def compiler() -> str | None:
    return next(
        filter(None, map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++"))), None
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--form-of", choices=FORMS_OF, default="longhand")
    parser.add_argument("--save", choices=("fast", "least"), default="fast")
    parser.add_argument("--only", default="", help="forms whose name contains this")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [f for f in FORMS if options.only in f.name]
    if not chosen:
        print(f"no form has {options.only!r} in its name", file=sys.stderr)
        return 2
    compiled = compiler() is not None
    print(f"torch {torch.__version__}, one thread, {options.rounds} interleaved rounds, ", end="")
    print(f"drop-in: {options.form_of}, save={options.save}")
    if not compiled:
        print("there is no C++ compiler: everything runs eagerly, and is compared eagerly")
    _print_header()
    how = options.form_of, options.save, options.rounds, compiled
    outcomes = {f.name: compete(f, *how) for f in chosen}
    return 0 if summary(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
