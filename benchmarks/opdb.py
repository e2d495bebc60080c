"""Every operator of torch's own test database, against autograd.

    .venv/bin/python benchmarks/opdb.py [--entries NAME ...] [--limit-samples N] [--jobs 2]

`torch.testing` ships a database of operators with sample inputs. For every sample whose output can
be differentiated, the backward pass is derived (float64, sizes fixed), run with a random upstream,
and its outputs and gradients are held against torch's: shape and dtype strictly, then bit for bit,
then to 1e-9 relative. A sample ends as

    exact        every gradient is autograd's bit for bit
    close        they differ by rounding
    MISMATCH     they differ: a bug, and the exit status is 1
    unsupported  backhand refused, with a reason
    CRASH        it failed in any other way: a bug too, and the exit status is 1

An entry matches completely if all its samples are exact or close. Samples are not counted when
autograd itself has nothing to compare: an output without a gradient, complex numbers, sparse
tensors, results that differ from one run to the next.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.utils._pytree as pytree

from backhand import derive
from backhand.checking.compare import EXACT, WRONG, Comparison, compare
from backhand.errors import BackhandError, InternalError, ProgramError

# What backhand raises when the fault is its own, in whatever words.
OURS = (InternalError, ProgramError)
MATCHING = ("exact", "close")
COUNTED = ("exact", "close", "MISMATCH", "unsupported", "CRASH")
# Refusals that come from an error nobody foresaw: to the user a refusal, here a fault.
STUMBLES = ("this line cannot be captured", " was captured as ", "torch cannot tell the shape of")


@dataclass
class Entry:
    """One entry's outcome: how many samples ended how, and what there is to say about them."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def counted(self) -> int:
        return sum(self.counts[kind] for kind in COUNTED)

    @property
    def matching(self) -> int:
        return sum(self.counts[kind] for kind in MATCHING)


def entries() -> dict[str, Any]:
    """The database's entries that claim a float64 gradient, by name (`add`, `sum.variant`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal import common_methods_invocations as database

    # Random entries set the seed inside the function under test. Here the seed is set outside, and
    # the same one for both sides.
    database.wrapper_set_seed = lambda op, *args, **kwargs: op(*args, **kwargs)
    found: dict[str, Any] = {}
    for info in database.op_db:
        if info.supports_autograd and torch.float64 in info.supported_backward_dtypes("cpu"):
            variant = info.variant_test_name
            found[f"{info.name}.{variant}" if variant else info.name] = info
    return found


def judge(name: str, info: Any, limit: int | None = None) -> Entry:
    """Go over the samples of one entry; the same samples and upstreams every time."""
    entry = Entry(name)
    with warnings.catch_warnings(), closing(_samples(name, info)) as samples:
        warnings.simplefilter("ignore")
        for i, sample in enumerate(samples):
            if limit is not None and entry.counted >= limit:
                break
            _judge_sample(entry, info, sample, i)
    return entry


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _samples(name: str, info: Any) -> Generator[Any]:
    """The samples one at a time; what happens between two of them does not change the next."""
    _seed(zlib.crc32(name.encode()))
    made = iter(info.sample_inputs("cpu", torch.float64, requires_grad=True))
    # a generator that is left in the middle, inside no_grad say, must not end at just any time
    with closing(made) if hasattr(made, "close") else nullcontext():
        while True:
            sample = next(made, None)
            if sample is None:
                return
            state = torch.get_rng_state(), np.random.get_state(), random.getstate()
            yield sample
            torch.set_rng_state(state[0])
            np.random.set_state(state[1])
            random.setstate(state[2])


@dataclass
class Case:
    """A sample as a function of its tensors, and what autograd says about it."""

    info: Any
    sample: Any
    leaves: list[Any]
    spec: Any
    seed: int

    @property
    def places(self) -> list[int]:
        return [i for i, leaf in enumerate(self.leaves) if isinstance(leaf, torch.Tensor)]

    def forward(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        first, args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        result = self.sample.output_process_fn_grad(self.info(first, *args, **kwargs))
        return tuple(t for t in pytree.tree_leaves(result) if isinstance(t, torch.Tensor))

    def tensors(self, grad: bool) -> list[torch.Tensor]:
        return [
            self.leaves[i].detach().requires_grad_(grad and self.leaves[i].requires_grad)
            for i in self.places
        ]

    def truth(self) -> tuple[tuple[torch.Tensor, ...], dict[int, torch.Tensor], list[Any]] | None:
        """Outputs, upstreams by output, gradients by tensor; nothing if there is no gradient."""
        torch.manual_seed(self.seed)
        tensors = self.tensors(grad=True)
        with torch.enable_grad():
            outs = self.forward(tensors)
        roots = [i for i, out in enumerate(outs) if out.requires_grad]
        wanted = [t for t in tensors if t.requires_grad]
        if not roots or not wanted:
            return None
        generator = torch.Generator().manual_seed(self.seed)
        ups = {i: _noise(outs[i], generator) for i in roots}
        found = torch.autograd.grad(
            [outs[i] for i in roots], wanted, [ups[i] for i in roots], allow_unused=True
        )
        return outs, ups, list(found)


def _noise(out: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if out.is_complex():
        return torch.zeros_like(out)
    return torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype)


def _judge_sample(entry: Entry, info: Any, sample: Any, number: int) -> None:
    leaves, spec = pytree.tree_flatten((sample.input, tuple(sample.args), dict(sample.kwargs)))
    case = Case(info, sample, leaves, spec, zlib.crc32(entry.name.encode()) + number)
    try:
        truth, again = case.truth(), case.truth()
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError):
        entry.counts["autograd refuses"] += 1
        return
    if truth is None or again is None:
        entry.counts["no gradient"] += 1
        return
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    met = [t for t in (*tensors, *truth[0], *truth[2]) if t is not None]
    if any(t.is_complex() for t in met):
        entry.counts["complex"] += 1
        return
    if any(t.layout is not torch.strided for t in met):
        entry.counts["sparse"] += 1
        return
    if any(compare(a, b).verdict != EXACT for a, b in zip(truth[2], again[2], strict=True)):
        entry.counts["not repeatable"] += 1
        return
    label = f"{entry.name} sample {number} {_describe(sample)}"
    try:
        result, fault = _compare(case, truth)
    except Exception as raised:
        if isinstance(raised, BackhandError) and not isinstance(raised, OURS):
            reason = str(getattr(raised, "message", raised)).splitlines()[0]
            if any(words in reason for words in STUMBLES):
                entry.counts["CRASH"] += 1
                entry.faults.append(f"CRASH {label}: {reason}")
            else:
                entry.counts["unsupported"] += 1
                entry.reasons[reason] += 1
            return
        error = raised.__cause__ if isinstance(raised, OURS) and raised.__cause__ else raised
        entry.counts["CRASH"] += 1
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
        text = (str(error).strip().splitlines() or [""])[0]
        entry.faults.append(f"CRASH {label}: {type(error).__name__} at {where}: {text[:200]}")
        return
    entry.counts[result] += 1
    if fault:
        entry.faults.append(f"MISMATCH {label}: {fault}")


def _compare(case: Case, truth: Any) -> tuple[str, str]:
    """The sample's verdict, and what is wrong with it."""
    outs, ups, wanted = truth
    names = [f"tensors_{i}" for i, p in enumerate(case.places) if case.leaves[p].requires_grad]
    values = case.tensors(grad=False)

    # A scalar loss has the upstream 1; a weight lets it have another.
    roots = list(ups)
    loss = roots[0] if len(roots) == 1 and not outs[roots[0]].shape else None

    def forward(tensors: list[torch.Tensor], weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = list(case.forward(tensors))
        if loss is not None:
            made[loss] = made[loss] * weight
        return tuple(made)

    weight = torch.ones((), dtype=torch.float64) if loss is None else ups[loss]
    bp = derive(forward, values, weight, wrt=names, symbolic=False)
    derived = bp.derived("exact")
    made = [v.name for v in bp.program.outputs]
    upstream = []
    for name in derived.upstream_of:
        # an output that is returned twice gets what both are given
        parts = [ups[i] for i, other in enumerate(made) if other == name and i in ups]
        upstream.append(
            sum(parts[1:], parts[0]) if parts else torch.zeros_like(outs[made.index(name)])
        )
    torch.manual_seed(case.seed)
    got, gradients = bp(values, weight, upstream=None if bp.scalar else tuple(upstream))
    comparisons: list[tuple[str, Comparison]] = []
    for i, (mine, theirs) in enumerate(zip(got, outs, strict=True)):
        theirs = theirs.detach() * weight if i == loss else theirs.detach()
        comparisons.append((f"output {i}", compare(mine, theirs)))
    for name, true in zip(names, wanted, strict=True):
        comparisons.append((f"d{name}", compare(gradients.get(name), true)))
    faults = [f"{n}: {_told(c)}" for n, c in comparisons if c.verdict == WRONG]
    if faults:
        return "MISMATCH", "; ".join(faults)
    gradients_only = comparisons[len(outs) :]
    return ("exact" if all(c.verdict == EXACT for _, c in gradients_only) else "close"), ""


def _told(c: Comparison) -> str:
    return c.why or f"off by {c.maxdiff:.2g} ({c.ulp} ulp)"


def _describe(sample: Any) -> str:
    def told(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        return value

    parts = pytree.tree_map(told, (sample.input, *sample.args))
    words = [str(p) for p in parts]
    words += [f"{k}={pytree.tree_map(told, v)}" for k, v in sample.kwargs.items()]
    return f"({', '.join(words)})"[:200]


_ENTRIES: dict[str, Any] = {}


def _task(job: tuple[str, int | None]) -> Entry:
    torch.set_num_threads(1)
    name, limit = job
    return judge(name, _ENTRIES[name], limit)


def run(names: Sequence[str], limit: int | None, jobs: int) -> list[Entry]:
    """Judge these entries, in ``jobs`` processes."""
    _ENTRIES.update(entries())
    tasks = [(name, limit) for name in names]
    if jobs == 1:
        return [_task(task) for task in tasks]
    # Forked processes share the loaded database; spawned ones would each import it again.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        return list(pool.map(_task, tasks))


def report(results: Sequence[Entry], seconds: float, details: bool) -> int:
    """Print the summary; the exit status."""
    judged = [e for e in results if e.counted]
    full = [e for e in judged if e.matching == e.counted]
    partly = [e for e in judged if 0 < e.matching < e.counted]
    total: Counter[str] = sum((e.counts for e in results), Counter())
    counted = sum(total[kind] for kind in COUNTED)
    faults = [fault for e in results for fault in e.faults]
    if details:
        for e in results:
            print(
                f"{e.name:44} " + ", ".join(f"{n} {kind}" for kind, n in sorted(e.counts.items()))
            )
    reasons: dict[str, list[tuple[str, int]]] = {}
    for e in results:
        for reason, n in e.reasons.items():
            reasons.setdefault(reason, []).append((e.name, n))
    if reasons:
        print("unsupported, by the number of entries it keeps from matching:")
    for reason, where in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        shown = ", ".join(name for name, _ in where[:4]) + (", …" if len(where) > 4 else "")
        print(f"  {len(where):3} entries, {sum(n for _, n in where):4} samples: {reason} ({shown})")
    for fault in faults:
        print(fault)
    kinds = ", ".join(f"{total[k]} {k}" for k in COUNTED)
    skipped = ", ".join(f"{n} {k}" for k, n in sorted(total.items()) if k not in COUNTED)
    share = 100 * total["exact"] / max(counted, 1)
    rest = len(judged) - len(full) - len(partly)
    print(f"entries: {len(results)} with a float64 gradient, {len(judged)} of them on dense reals;")
    print(f"         {len(full)} match completely, {len(partly)} partly, {rest} not at all")
    print(f"samples: {counted}: {kinds}; {share:.1f} % bit for bit")
    print(f"         not counted: {skipped or 'none'}")
    print(f"{seconds:.0f} s")
    return 1 if faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entries", nargs="+", metavar="NAME", help="these entries only")
    parser.add_argument("--limit-samples", type=int, metavar="N", help="at most N samples each")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default 2)")
    parser.add_argument("--details", action="store_true", help="one line per entry as well")
    options = parser.parse_args()
    known = entries()
    names = options.entries or list(known)
    missing = [name for name in names if name not in known]
    if missing:
        print(f"no such entry with a float64 gradient: {', '.join(missing)}", file=sys.stderr)
        return 2
    start = time.perf_counter()
    results = run(names, options.limit_samples, options.jobs)
    return report(results, time.perf_counter() - start, options.details or bool(options.entries))


if __name__ == "__main__":
    raise SystemExit(main())
