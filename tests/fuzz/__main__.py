"""Any number of random programs against autograd.

    .venv/bin/python -m tests.fuzz [--programs 100000] [--seed 0] [--jobs 2]

Prints how many ended how, the refusals by reason, and every fault made small, with its seed. The
exit status is 1 if there is a fault. Programs that autograd itself refuses are not counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import count

from .check import OUTCOMES
from .many import CHUNK, Tally, run_seeds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--programs", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0, help="the first program's")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    total, start, shown = Tally(), time.perf_counter(), 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
        seeds = count(arguments.seed, CHUNK)
        waiting = [pool.submit(run_seeds, next(seeds)) for _ in range(2 * arguments.jobs)]
        while waiting and total.counted < arguments.programs:
            total.add(waiting.pop(0).result())
            waiting.append(pool.submit(run_seeds, next(seeds)))
            for fault in total.faults[shown:]:
                print(fault, flush=True)
            shown = len(total.faults)
        for future in waiting:
            future.cancel()
    seconds = time.perf_counter() - start
    print(f"seeds from {arguments.seed}: {total.counted} programs in {seconds:.0f} s", end=" ")
    print(f"({total.counted / seconds:.1f} per second, {arguments.jobs} processes)")
    for verdict in OUTCOMES:
        share = total.verdicts[verdict] / max(total.counted, 1)
        print(f"  {verdict:9} {total.verdicts[verdict]:7}  {share:7.2%}")
    for reason, times in total.reasons.most_common(25):
        print(f"  {times:5}  {reason}")
    return 1 if total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
