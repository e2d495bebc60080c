"""Reviewing one file again and again, each time in a child process that has prepared itself.

Most of a review's time goes into what saving a backward pass does not change: importing, deriving
the forward pass, its values and true gradients. So a child is started while nobody asks. It reads
the file as it stands, derives, and waits; when the file is saved it reads it once more, and uses
what it has if the forward pass and its inputs are still the same. It is used once: what the file's
code does to its process never reaches another review.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .alike import alike
from .handwritten import Handwritten
from .intact import Intact
from .isolated import TIMEOUT, Child, Outdated, can_fork, in_child
from .judge import review
from .outcome import Outcome, insist_on_time, outcome_from, work_of
from .settings import settings_for
from .sources.functions import from_function
from .sources.load import load

Stamp = tuple[int, int, int]


def stamp(file: str | os.PathLike[str]) -> Stamp | None:
    """What changes when a file is saved; ``None`` while there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Reviews:
    """Reviews of one file; the options are those of ``review_file``."""

    def __init__(
        self,
        file: str,
        *,
        forward: str | None = None,
        inputs: str | None = None,
        sizes: Mapping[str, int] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        insist_on_time(timeout)
        self.file = file
        self.timeout = timeout
        self._target = forward, inputs, sizes
        self._work = work_of(lambda: (self._now(), None), file)
        self._before: _Before | None = None  # in a child alone
        self._child: Child | None = None

    def review(self, abandoned: Callable[[], bool] | None = None) -> Outcome:
        """Review the file as it is now."""
        child, self._child = self._child, None
        return outcome_from(in_child(self._work, self.file, self.timeout, abandoned, child))

    def get_ready(self) -> None:
        """Start the child of the next review."""
        self.close()
        if can_fork():
            self._child = Child(self._work, self._prepare, self.timeout)

    def close(self) -> None:
        """End the child that nobody has asked for."""
        if self._child is not None:
            self._child.end()
            self._child = None

    # in the child

    def _read(self) -> Handwritten:
        return load(self.file, *self._target)

    def _prepare(self, intact: Intact) -> None:
        loaded = set(sys.modules)
        with _as_before():
            handwritten = self._read()
            intact.restore()  # before any number is made that is to be trusted
            settings = settings_for(handwritten.forward, handwritten.inputs)
            for seed, resize in itertools.product((1, 2), (True, False)):
                settings.fresh(seed, resize)  # as the judge will ask for them
        files = [getattr(sys.modules[n], "__file__", None) for n in sys.modules.keys() - loaded]
        # the file itself is read again anyhow
        stamps = {f: stamp(f) for f in files if f and not os.path.samefile(f, self.file)}
        self._before = _Before(handwritten, stamps)

    def _now(self) -> Handwritten:
        before = self._before
        if before is not None and any(stamp(f) != s for f, s in before.stamps.items()):
            raise Outdated("a module that the file imports has changed")
        handwritten = self._read()
        if before is not None and alike(before.handwritten.forward, handwritten.forward):
            return replace(handwritten, forward=before.handwritten.forward)
        return handwritten


@dataclass(frozen=True)
class _Before:
    """The file as it was when the child prepared itself, and the state of what it imports."""

    handwritten: Handwritten
    stamps: Mapping[str, Stamp | None]


@contextmanager
def _as_before() -> Iterator[None]:
    """Leave random numbers and the process as they were: what is read next is read as if first."""
    state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    dtype, folder, environment = torch.get_default_dtype(), os.getcwd(), dict(os.environ)
    try:
        yield
    finally:
        torch.set_rng_state(state[0])
        np.random.set_state(state[1])
        random.setstate(state[2])
        torch.set_default_dtype(dtype)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)


def warm_up() -> None:
    """Load everything that a review needs, so that the next child process finds it loaded.

    What torch keeps about an operator it finds out at the operator's first trace.
    """
    torch.set_num_threads(1)
    table, places = torch.eye(4, 3), torch.tensor([[0, 1], [2, 1], [3, 0]])
    weight = torch.linspace(-1, 1, 24).view(6, 4)
    review(from_function(_forward, _backward, (table, places, weight), ""))


def _forward(table: Any, places: Any, weight: Any) -> Any:
    """A bit of every kind that handwritten networks are made of."""
    rows = table[places].view(places.shape[0], -1)
    h = rows @ weight + weight[0]
    mean = h.sum(0, keepdim=True) / h.shape[0]
    diff = h - mean
    scaled = diff * ((diff**2).mean(0, keepdim=True) + 1e-5) ** -0.5
    z = scaled.tanh().relu() - scaled.max(1, keepdim=True).values
    e = z.exp()
    p = (e / e.sum(1, keepdim=True)).log()
    return -p[range(p.shape[0]), places[:, 0]].mean()


def _backward(p: Any, places: Any) -> Any:
    dp = torch.zeros_like(p)
    dp[range(p.shape[0]), places[:, 0]] = -1 / p.shape[0]
    return {"p": dp}
