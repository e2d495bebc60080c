"""How long deriving takes: the article's network, and GPTs of growing depth.

    .venv/bin/python benchmarks/derive.py [--blocks 1 2 4 8 12]

The article's first derivation runs in a fresh process, the clock starting after the import. The
GPTs have 124M-parameter shapes at twelve blocks (width 768, 12 heads, 1,024 positions) and live on
the meta device: deriving needs no data. Growth is shown as seconds per block. Processor time stands
beside the clock's: on a machine that does other things too, only that says what deriving costs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
FIRST = """
import sys, time
sys.path.insert(0, {examples!r})
import torch, article
from backhand.api import derive
torch.set_num_threads(1)
inputs = article.example_inputs()
for _ in range(2):
    start, busy = time.perf_counter(), time.process_time()
    derive(article.forward, *inputs).longhand
    print(time.perf_counter() - start, time.process_time() - busy)
"""


class Block(nn.Module):
    """A transformer block as GPT-2 has it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.ln2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, time_, width = x.shape
        a = self.ln1(x)
        q, k, v = self.qkv(a).split(width, dim=2)
        q = q.view(batch, time_, self.heads, -1).transpose(1, 2)
        k = k.view(batch, time_, self.heads, -1).transpose(1, 2)
        v = v.view(batch, time_, self.heads, -1).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        mask = torch.ones(time_, time_, dtype=torch.bool, device=x.device).tril()
        weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).reshape(batch, time_, width)
        x = x + self.proj(mixed)
        hidden = F.gelu(self.up(self.ln2(x)))
        return x + self.down(hidden)


class GPT(nn.Module):
    """A GPT with tied embeddings and a cross-entropy loss."""

    def __init__(
        self, blocks: int, width: int, heads: int, vocabulary: int, positions: int
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        logits = self.norm(x) @ self.tokens.weight.T
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def gpt_seconds(blocks: int) -> tuple[float, float, float, int]:
    """Seconds (clock, processor) to derive and print a GPT's backward pass, those of the clock that
    its shorthand takes after that, and the number of gradients.
    """
    import backhand

    with torch.device("meta"):
        model = GPT(blocks, 768, 12, 50257, 1024)
        ids = torch.zeros(4, 1024, dtype=torch.int64)
    start, busy = time.perf_counter(), time.process_time()
    bp = backhand.derive(model, ids, ids)
    source = bp.longhand.source
    assert source
    spent, busy = time.perf_counter() - start, time.process_time() - busy
    start = time.perf_counter()
    assert bp.shorthand.source
    return spent, busy, time.perf_counter() - start, len(bp.gradient_names)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 2, 4, 8, 12])
    options = parser.parse_args()
    torch.set_num_threads(1)
    script = FIRST.format(examples=str(ROOT / "examples"))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    first, first_busy, second, second_busy = map(float, done.stdout.split())
    print(
        f"article, first derivation after import: {first:.2f} s (asked: under 1; processor "
        f"{first_busy:.2f} s); again: {second:.2f} s (processor {second_busy:.2f} s)"
    )
    missed = first >= 1
    gpt_seconds(1)
    for blocks in options.blocks:
        spent, busy, short, gradients = gpt_seconds(blocks)
        print(
            f"GPT, {blocks:2} blocks: {spent:6.2f} s (processor {busy:.2f} s, "
            f"{busy / blocks:.2f} s per block), shorthand {short:.2f} s more, "
            f"{gradients} parameter gradients",
            flush=True,
        )
        missed |= blocks == 12 and spent >= 30
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
