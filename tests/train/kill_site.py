"""Kills training runs and goes on with them; run as a script, it prints what it saw as JSON.

The runs are forked from this process, which has loaded torch and has one thread: that makes a
kill cost milliseconds. `kill_site.py kills DIR 20 SEED` kills at random instants of time,
`kill_site.py calls DIR` at every single call that touches the disk.
"""

from __future__ import annotations

import builtins
import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from backhand.train import checkpoint, loop
from backhand.train.config import Config

EVERY = 20
SMALL = Config(
    grad="autograd", hidden=16, steps=300, batch=8, checkpoint_every=EVERY, samples=2, seed=5
)
TINY = Config(grad="autograd", hidden=4, steps=6, batch=4, checkpoint_every=2, samples=0, seed=5)
CRASHED = 9
OPEN = open


def forked(work: Callable[[], None]) -> int:
    """Run `work` in a child; the child's process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def go(config: Config, out: Path, watch: Callable[[int, torch.Tensor], None] | None) -> None:
    """Start the run in `out`, or go on with it."""
    settings = {name: getattr(config, name) for name in config.__slots__} | {"out": str(out)}
    loop.train(Config(**settings), resume=bool(checkpoint.steps_in(out)), watch=watch)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def final(out: Path, config: Config) -> list[bytes]:
    stem = out / checkpoint.stem(config.steps)
    return [Path(f"{stem}.{suffix}").read_bytes() for suffix in ("json", "safetensors")]


def kills(root: Path, wanted: int, seed: int) -> dict[str, object]:
    chance = random.Random(seed)
    began = time.monotonic()
    assert ended(forked(lambda: go(SMALL, root / "whole", None))) == 0
    whole = time.monotonic() - began
    step = mmap.mmap(-1, 8)  # shared with the children: the steps that the running one has done

    def watch(done: int, losses: torch.Tensor) -> None:
        step[:] = struct.pack("q", done)

    count = midway = lost = damaged = chains = 0
    while count < wanted or chains == 0:
        out = root / f"chain{chains}"
        while True:
            step[:] = struct.pack("q", -1)
            child = forked(lambda out=out: go(SMALL, out, watch))
            if count < wanted:
                time.sleep(chance.uniform(0, whole))
                os.kill(child, signal.SIGKILL)
            status = ended(child)
            if status == 0:
                break
            assert status == -signal.SIGKILL, status
            count += 1
            (done,) = struct.unpack("q", step[:])
            midway += 0 < done < SMALL.steps
            kept = checkpoint.steps_in(out)
            if kept:
                damaged += bool(checkpoint.load(out)[1])
                lost = max(lost, done - kept[0])
            elif done >= 0:
                lost = SMALL.steps
        assert final(out, SMALL) == final(root / "whole", SMALL), out
        chains += 1
    return dict(kills=count, midway=midway, lost=lost, damaged=damaged, chains=chains)


def calls(root: Path) -> dict[str, object]:
    assert ended(forked(lambda: go(TINY, root / "whole", None))) == 0

    def until(limit: int, out: Path) -> None:
        """Die at the call number `limit` of those that change what is on the disk.

        A file that is opened for writing is emptied first: a write may stop anywhere.
        """
        left = [limit]

        def dying(function: Callable[..., object]) -> Callable[..., object]:
            def called(*arguments: object, **options: object) -> object:
                opened = OPEN(*arguments, **options) if function is OPEN else None
                if opened is None or arguments[1:] == ("wb",):
                    left[0] -= 1
                if left[0] < 0:
                    os._exit(CRASHED)
                return opened or function(*arguments, **options)

            return called

        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, dying(getattr(os, name)))
        builtins.open = dying(OPEN)  # type: ignore[assignment]
        go(TINY, out, None)

    count = 0
    while True:
        out = root / f"call{count}"
        status = ended(forked(lambda out=out, count=count: until(count, out)))
        if status == 0:
            break
        assert status == CRASHED, status
        for step in checkpoint.steps_in(out):
            checkpoint.read(out, step)
        assert ended(forked(lambda out=out: go(TINY, out, None))) == 0
        assert final(out, TINY) == final(root / "whole", TINY), out
        assert not list(out.glob(".*.tmp")), out
        count += 1
    return {"calls": count}


def main() -> None:
    torch.set_num_threads(1)
    # Drawing takes longer than all the rest, and writes nothing that a run goes on from.
    loop.draw_curve = lambda *arguments: None
    what, root, *rest = sys.argv[1:]
    go(TINY, Path(root) / "warm", None)  # what is loaded late is loaded here, for all children
    does = {"kills": kills, "calls": calls}[what]
    print(json.dumps(does(Path(root), *map(int, rest))))


if __name__ == "__main__":
    main()
