"""A forward and a backward pass: autograd, the derived operator, and both under torch.compile.

    .venv/bin/python benchmarks/shipping.py [--rows 4096] [--threads 1]

Times are the median of several runs, given as a ratio to autograd in the same process; bytes are
what is held between the two passes. `kept whole` is the operator registered with torch.library,
which a compiler does not look into.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import backhand


def layer(x: Any, weight: Any, bias: Any, gain: Any) -> Any:
    hidden = torch.tanh(x @ weight + bias)
    gate = torch.sigmoid(hidden) * hidden
    normed = gate * torch.rsqrt((gate**2).mean(-1, keepdim=True) + 1e-5)
    return (normed * gain).exp().log1p()


def median(run: Callable[[], Any], times: int = 15) -> float:
    for _ in range(3):
        run()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def held(function: Callable[..., Any], values: list[torch.Tensor]) -> int:
    found: dict[int, int] = {}

    def pack(t: torch.Tensor) -> torch.Tensor:
        found[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        function(*values)
    return sum(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shapes = [(options.rows, 64), (64, 256), (256,), (256,)]
    values = [torch.randn(s).requires_grad_() for s in shapes]
    bp = backhand.derive(layer, *(v.detach() for v in values))
    fast, least = bp.function(save="fast"), bp.function(save="least")
    whole = bp.function(operator="benchmark::layer")
    rows = {
        "autograd": layer,
        "operator, fast": fast,
        "operator, least": least,
        "kept whole": whole,
        "autograd, compiled": torch.compile(layer, fullgraph=True),
        "operator, fast, compiled": torch.compile(fast, fullgraph=True),
        "operator, least, compiled": torch.compile(least, fullgraph=True),
        "kept whole, compiled": torch.compile(whole, fullgraph=True),
    }
    up = torch.randn(options.rows, 256)
    base = 0.0
    for name, function in rows.items():
        taken = median(lambda f=function: torch.autograd.grad(f(*values), values, up))
        base = base or taken
        bytes_held = "" if "compiled" in name else f"{held(function, values) / 2**20:8.1f} MiB"
        print(f"{name:28} {taken * 1e3:8.2f} ms {taken / base:6.2f} {bytes_held}")


if __name__ == "__main__":
    main()
