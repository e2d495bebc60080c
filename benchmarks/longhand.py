"""Longhand against eager autograd on the article's network: time and peak memory.

    .venv/bin/python benchmarks/longhand.py [--rounds N]

Both run in this one process with one thread, in turn, round by round; the figure is the median over
rounds of the ratio of two neighbouring rounds, so that drifting speed does not matter.
The work is one forward and one backward pass, gradients of all seven parameters. Memory is the peak
of live tensor bytes above what was alive before, counted by torch's own allocator profiler.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

import article  # noqa: E402 - the examples are not a package

import backhand  # noqa: E402

# (examples, hidden units, what time ratio is asked for)
SIZES = ((32, 64, 0.75), (32, 200, 0.75), (4096, 1024, 1.0))
INTEGERS = ("Xb", "Yb")


def contestants(n: int, d: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """One step by longhand, one step by autograd, on the same inputs."""
    inputs = article.example_inputs(n, d)
    bp = backhand.derive(article.forward, *inputs)
    leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in inputs]

    def longhand() -> Any:
        return bp(*inputs)

    def autograd() -> Any:
        for leaf in leaves:
            leaf.grad = None
        loss = article.forward(*leaves)
        loss.backward()
        return loss

    return longhand, autograd


def seconds(step: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - start) / times


def peak_bytes(step: Callable[[], Any]) -> int:
    """The most bytes of tensors alive at once during one step, above what is alive before it."""
    from torch.profiler import ProfilerActivity, profile

    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        kept = step()
    del kept
    live = peak = 0
    events = [e for e in prof.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=41)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {options.rounds} interleaved rounds")
    print("    n  hidden   longhand   autograd   ratio  (asked)   memory ratio")
    missed = 0
    for n, d, asked in SIZES:
        longhand, autograd = contestants(n, d)
        times = 200 if n < 1000 else 1
        rounds = options.rounds if n < 1000 else max(7, options.rounds // 4)
        for step in (longhand, autograd):
            seconds(step, 20 if n < 1000 else 2)
        pairs = [(seconds(longhand, times), seconds(autograd, times)) for _ in range(rounds)]
        ratio = statistics.median(a / b for a, b in pairs)
        mine, theirs = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
        memory = peak_bytes(longhand) / peak_bytes(autograd)
        met = ratio <= asked and memory <= 1.0
        missed += not met
        print(
            f"{n:5}  {d:6}   {mine:6.3f} ms  {theirs:6.3f} ms   {ratio:5.2f}  ({asked:.2f})"
            f"   {memory:12.2f}{'' if met else '   missed'}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
