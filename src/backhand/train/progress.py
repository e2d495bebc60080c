"""How far a run has come: a bar in a terminal, a line every tenth of the way anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor

# Called after every step with the number of steps done and the losses so far.
Watch = Callable[[int, Tensor], None]
WINDOW = 1000


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


class Report:
    """A `Watch` that shows the loss (a mean of the last steps), steps a second, time left."""

    def __init__(self, console: Console, steps: int, interval: float = 0.2) -> None:
        self.console = console
        self.steps = steps
        self.interval = interval
        self.first: int | None = None
        self.began = self.shown_at = time.monotonic()
        self.tenth = 0
        self.bar: Progress | None = None
        if console.is_terminal:
            self.bar = Progress(
                TextColumn("step {task.completed:,} of {task.total:,}"),
                BarColumn(),
                TextColumn("{task.fields[words]}"),
                console=console,
                auto_refresh=False,
                transient=False,
            )
            self.task = self.bar.add_task("training", total=steps, words="")

    def __call__(self, step: int, losses: Tensor) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first, self.began, self.shown_at = step, now, now
            self.tenth = (step - 1) * 10 // self.steps
            if self.bar is not None:
                self.bar.start()
        if self.bar is None:
            tenth = step * 10 // self.steps
            if tenth > self.tenth:
                self.tenth = tenth
                line = f"step {step:,} of {self.steps:,}  {self.words(step, losses, now)}"
                self.console.print(line, markup=False, highlight=False)
        elif step == self.steps or now - self.shown_at >= self.interval:
            self.shown_at = now
            self.bar.update(
                self.task, completed=step, words=self.words(step, losses, now), refresh=True
            )

    def words(self, step: int, losses: Tensor, now: float) -> str:
        assert self.first is not None
        loss = losses[max(0, step - WINDOW) : step].mean().item()
        if step == self.first:
            return f"loss {loss:.4f}"
        speed = (step - self.first) / max(now - self.began, 1e-9)
        left = clock((self.steps - step) / speed)
        return f"loss {loss:.4f}  {speed:,.0f} steps/s  {left} left"

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
