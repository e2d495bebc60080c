"""A training run with its words: what the command line calls."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from backhand.train import checkpoint
from backhand.train.config import Config
from backhand.train.data import load_names, shown
from backhand.train.loop import Trained, refuse_to_replace, stored_config, train
from backhand.train.progress import Report
from backhand.train.stop import Interrupted, go_on

INTERRUPTED = 130


def configure(given: dict[str, Any], resume: bool) -> Config:
    """The configuration of a command: the options given, over the saved ones or the defaults."""
    if resume:
        return stored_config(given.get("out", Config().out), given)
    return Config(**given)


def claim(out: str, force: bool) -> None:
    """Raise now what a run in this directory would raise: nothing may be written there, or lost."""
    with checkpoint.opened(Path(out)):
        if not force:
            refuse_to_replace(Path(out))


def run(
    given: dict[str, Any], console: Console, *, resume: bool = False, force: bool = False
) -> int:
    """Train and say what happened; the exit status: 0, or 130 if a signal stopped it.

    `given` holds the fields of Config that the user named. Raises BackhandError for whatever
    cannot be carried out.
    """
    config = configure(given, resume)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    names = load_names(config.data)
    say(f"data: {len(names.names):,} names ({shown(names.source)})")
    say(
        f"network: {len(names.letters)} letters, context {config.block_size}, "
        f"hidden {config.hidden}; gradients by {config.grad}"
    )
    say(f"run: {config.steps:,} steps of {config.batch}; checkpoints in {shown(config.out)}")
    report = Report(console, config.steps)
    try:
        trained = train(config, resume=resume, force=force, watch=report, notify=say)
    except Interrupted as stopped:
        report.close()
        say(str(stopped))
        return INTERRUPTED
    except KeyboardInterrupt:
        report.close()
        if checkpoint.steps_in(Path(config.out)):
            say(f"stopped; go on with:\n  {go_on(config.out)}")
        else:
            say("stopped before the first step; nothing was saved")
        return INTERRUPTED
    finally:
        report.close()
    show(trained, len(names.letters), console)
    say(f"loss curve: {shown(str(trained.curve))}")
    return 0


def show(trained: Trained, letters: int, console: Console) -> None:
    """The losses, and the sampled names."""
    console.print(
        "\nMean loss, with batch norm on running statistics; guessing among all "
        f"{letters} letters would be {math.log(letters):.4f}:",
        highlight=False,
    )
    table = Table("names", "loss", box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title, loss in (
        ("train", trained.train_loss),
        ("dev", trained.dev_loss),
        ("test", trained.test_loss),
    ):
        table.add_row(title, f"{loss:.4f}")
    console.print(table)
    if trained.samples:
        names = ", ".join(trained.samples)
        console.print(f"New names: {names}\n", markup=False, highlight=False)
