"""How long a report takes and what it weighs: the article's network, and a block of a GPT.

    .venv/bin/python benchmarks/report.py

Each page is made in a fresh process, from the derivation to the written file; the clock starts
after the import. Processor time stands beside the clock's: on a machine that does other things too,
only that says what a page costs. The large block has the shapes of GPT-2 (width 768, 12 heads).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The limits that the pages have to keep: processor seconds and megabytes.
LIMITS = {"article": (15, 3), "gpt block": (60, 8), "gpt block, width 768": (60, 8)}


def measured(name: str) -> None:
    """Make one page and print its figures."""
    sys.path.insert(0, str(ROOT / "examples"))
    import article
    import gpt_block

    from backhand.api import derive

    examples = {
        "article": (article.forward, article.example_inputs()),
        "gpt block": (gpt_block.Block(), gpt_block.example_inputs()),
        "gpt block, width 768": (gpt_block.Block(768, 12), gpt_block.example_inputs(2, 128, 768)),
    }
    forward, inputs = examples[name]
    start, busy = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        page = derive(forward, *inputs).report(path)
        took, worked = time.perf_counter() - start, time.process_time() - busy
        size = path.stat().st_size / 1e6
    seconds, megabytes = LIMITS[name]
    print(f"{name:22}{took:8.1f}{worked:8.1f}{seconds:8}{size:8.2f}{megabytes:6}  {page.summary}")
    if worked > seconds or size > megabytes:
        sys.exit(f"{name}: more than it may take")


def main() -> None:
    print(f"{'page':22}{'clock s':>8}{'CPU s':>8}{'limit':>8}{'MB':>8}{'limit':>6}")
    sys.stdout.flush()
    status = 0
    for name in LIMITS:
        status |= subprocess.run([sys.executable, __file__, name]).returncode
    sys.exit(status)


if __name__ == "__main__":
    measured(sys.argv[1]) if len(sys.argv) > 1 else main()
