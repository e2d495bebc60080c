"""How well a review names mistakes: every mutant of the article's 26 lines.

    python -m benchmarks.mutants [--network article] [--every 1] [--faults]

Prints how many mutants that change a value are detected, blamed on the right line, given the right
cause, and given a wrong one.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch

from tests.review.mutant_figures import Figures, changing, judged
from tests.review.networks import NETWORKS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="article", choices=sorted(NETWORKS))
    parser.add_argument("--every", type=int, default=1, help="take every so many-th mutant")
    parser.add_argument("--offset", type=int, default=0, help="beginning with this one")
    parser.add_argument("--faults", action="store_true", help="list what was not named rightly")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    network = NETWORKS[chosen.network]
    start = time.perf_counter()
    found = list(changing(network))[chosen.offset :: chosen.every]
    figures = judged(network, found, Figures())
    if chosen.faults:
        print("\n".join(figures.faults))
    print(figures)
    print(f"{time.perf_counter() - start:.0f} s")
    reached = figures.detected == figures.total and figures.wrong_cause <= 0.02 * figures.total
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
