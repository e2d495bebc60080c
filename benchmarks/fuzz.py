"""Random programs against autograd, as many as asked for.

    .venv/bin/python benchmarks/fuzz.py --programs 100000 --seed 0 --jobs 2

Prints the rate, how programs ended, why some were refused, and every fault made small. Exit status
1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fuzz.check import judge, judge_seed
from tests.fuzz.shrink import shrink


def one(seed: int) -> tuple[int, str, str, str]:
    """How the program of a seed ended: seed, verdict, reason, and for a fault the small program."""
    import torch

    torch.set_num_threads(1)
    program, outcome = judge_seed(seed)
    if not outcome.fault:
        return seed, outcome.verdict, outcome.key, ""
    small = shrink(program, lambda p: judge(p).fault)
    return seed, outcome.verdict, outcome.key, f"{judge(small).detail}\n{small.source()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="The first seed.")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    start = time.perf_counter()
    seeds = range(options.seed, options.seed + options.programs)
    faults = 0
    with get_context("spawn").Pool(options.jobs) as pool:
        for seed, verdict, reason, small in pool.imap_unordered(one, seeds, chunksize=20):
            verdicts[verdict] += 1
            if verdict == "refused":
                reasons[reason] += 1
            if small:
                faults += 1
                print(f"seed {seed}: {verdict} {reason}\n{small}\n", flush=True)
    spent = time.perf_counter() - start
    print(f"{options.programs} programs from seed {options.seed}: {options.programs / spent:.1f}/s")
    for verdict, number in verdicts.most_common():
        print(f"  {verdict:9} {number}")
    for reason, number in reasons.most_common(12):
        print(f"    refused {number:5}  {reason}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
