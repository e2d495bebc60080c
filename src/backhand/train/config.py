"""What a training run is asked to do; free of torch, so that `--help` can show the defaults."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from backhand.errors import InputError

GRADIENTS = ("longhand", "shorthand", "autograd")

# Fields that change what is printed or how often it is saved, never what is learnt.
FREE_ON_RESUME = frozenset({"data", "out", "checkpoint_every", "samples"})


@dataclass(frozen=True, slots=True)
class Config:
    """One training run; the defaults are those of the article's notebook.

    `data` is the path of a file of names (None: the names that ship with backhand). The rate is
    `rate` for the first `switch` of the steps and `rate_late` from there on. `threads` is the
    number of CPU threads: matrices this small run fastest on one.
    """

    data: str | None = None
    out: str = "backhand-run"
    hidden: int = 200
    n_embd: int = 10
    block_size: int = 3
    steps: int = 200_000
    batch: int = 32
    rate: float = 0.1
    rate_late: float = 0.01
    switch: float = 0.5
    seed: int = 2147483647
    grad: str = "longhand"
    device: str = "cpu"
    threads: int = 1
    checkpoint_every: int = 5_000
    samples: int = 20

    def __post_init__(self) -> None:
        least = {
            "hidden": 1,
            "n_embd": 1,
            "block_size": 1,
            "steps": 1,
            "threads": 1,
            "checkpoint_every": 1,
            "samples": 0,
            "seed": 0,
        }
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise InputError(f"{name} must be at least {lowest}, not {getattr(self, name)}")
        if self.batch < 2:
            raise InputError(
                f"batch must be at least 2, not {self.batch}: "
                "batch norm divides by n - 1 to get the variance of a batch"
            )
        if self.block_size > 100:
            raise InputError(f"block_size must be at most 100, not {self.block_size}")
        if self.seed >= 2**63:
            raise InputError(f"seed must be below 2**63, not {self.seed}")
        for name in ("rate", "rate_late"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be a positive number, not {value}")
        if not 0 <= self.switch <= 1:
            raise InputError(
                f"switch must be between 0 and 1, not {self.switch}: "
                "it is the share of the steps that use the first rate"
            )
        if self.grad not in GRADIENTS:
            raise InputError(f"grad must be one of {', '.join(GRADIENTS)}, not {self.grad!r}")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step (counted from 0)."""
        return self.rate if step < self.switch * self.steps else self.rate_late

    def fixed(self) -> dict[str, Any]:
        """The fields that a resumed run must share with the run it goes on with."""
        return {name: value for name, value in asdict(self).items() if name not in FREE_ON_RESUME}
