"""From saving a file to its review: `backhand check --watch` on the article's 26 gradients.

    .venv/bin/python benchmarks/watch.py --saves 10

Saves a copy of examples/article.py, its backward pass by turns as it is and with one line broken,
and prints the seconds of wall time from each save until the last line of its review. A person needs
a moment between two saves; ``--pause`` is that moment.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ARTICLE = Path(__file__).resolve().parents[1] / "examples" / "article.py"
RIGHT, BROKEN = "dh = dlogits @ W2.T", "dh = dlogits @ W2"


def waiting(process: subprocess.Popen[str]) -> None:
    """Read on until the review is printed."""
    assert process.stdout is not None
    for line in process.stdout:
        if "waiting for" in line:
            return
    raise SystemExit("the watch ended")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saves", type=int, default=10)
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two saves")
    asked = parser.parse_args()
    text = ARTICLE.read_text(encoding="utf-8").replace("def backward_by_hand(", "def backward(")
    assert RIGHT in text
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "article.py"
        file.write_text(text, encoding="utf-8")
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "backhand", "check", str(file), "--watch"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            waiting(process)
            first = time.perf_counter() - started
            print(f"first review, from the start of the program: {first:.2f} s")
            took: dict[str, list[float]] = {"right": [], "broken": []}
            for i in range(asked.saves):
                time.sleep(asked.pause)
                kind = "right" if i % 2 else "broken"
                saved = text if kind == "right" else text.replace(RIGHT, BROKEN)
                started = time.perf_counter()
                file.write_text(saved, encoding="utf-8")
                waiting(process)
                took[kind].append(time.perf_counter() - started)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    for kind, times in took.items():
        if times:
            print(
                f"saved with the line {kind}: median {statistics.median(times):.2f} s, "
                f"longest {max(times):.2f} s"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
