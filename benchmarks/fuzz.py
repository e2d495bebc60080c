"""Random programs against autograd, as many as asked for.

    .venv/bin/python benchmarks/fuzz.py --programs 100000 --seed 0 --jobs 2 [--form shorthand]

A fault is printed when it is found, made small and with its seed; a line on the progress says with
which ``--seed`` to go on. The end, or Ctrl-C, prints the rate, how programs ended and why some were
refused or skipped (autograd itself has no gradient for them; they do not count). Exit status 1 if
there is a fault.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backhand.api import FORMS
from tests.fuzz.check import OUTCOMES, SKIPPED
from tests.fuzz.many import STRETCH, Tally, run_seeds

PROGRESS = 60  # seconds between two lines on the progress


def stretches(
    first: int, length: int, jobs: int, show_close: bool, form: str
) -> Iterator[tuple[int, Tally]]:
    """Stretches of seeds in order, each with the seed after it, without end."""
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        starts = count(first, length)
        waiting = [
            (seed, pool.submit(run_seeds, seed, length, show_close, form))
            for seed, _ in zip(starts, range(2 * jobs), strict=False)
        ]
        for seed in starts:
            start, future = waiting.pop(0)
            yield start + length, future.result()
            waiting.append((seed, pool.submit(run_seeds, seed, length, show_close, form)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def summary(total: Tally, first: int, after: int, seconds: float) -> Iterator[str]:
    """How the programs ended, for people."""
    rate = total.counted / seconds
    yield f"seeds {first} to {after - 1}: {total.counted} programs, {rate:.1f} per second"
    for verdict in OUTCOMES:
        share = "" if verdict == SKIPPED else f"  {total.share(verdict):7.2%}"
        yield f"  {verdict:9} {total.verdicts[verdict]:7}{share}"
    yield f"  telling   {total.telling:7}  {total.telling / max(total.counted, 1):7.2%}"
    for reason, times in total.reasons.most_common(25):
        yield f"  {times:6}  {reason}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="The first seed.")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--show-close", action="store_true", help="Roundings too")
    parser.add_argument("--form", choices=FORMS, default="longhand", help="The form that is run.")
    options = parser.parse_args()
    total, after = Tally(), options.seed
    start = said = time.perf_counter()
    try:
        length = min(STRETCH, options.programs)
        how = options.jobs, options.show_close, options.form
        for after, tally in stretches(options.seed, length, *how):
            total.add(tally)
            for text in (*tally.faults, *tally.rounded):
                print(text, flush=True)
            if total.counted >= options.programs:
                break
            if time.perf_counter() - said > PROGRESS:
                said = time.perf_counter()
                verdicts = ", ".join(f"{n} {v}" for v, n in total.verdicts.most_common())
                print(f"{verdicts}; go on with --seed {after}", flush=True)
    except KeyboardInterrupt:
        print("stopped")
    print("\n".join(summary(total, options.seed, after, time.perf_counter() - start)))
    return 1 if total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
