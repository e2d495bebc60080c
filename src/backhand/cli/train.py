"""`backhand train`: options for a training run of the article's network."""

from __future__ import annotations

import sys
from typing import Any

import click
from click.core import ParameterSource

from backhand.train.config import GRADIENTS, Config

DEFAULTS = Config()


@click.command("train")
@click.option(
    "--data", metavar="FILE", help="Names, one a line.  [default: 1,546 that ship with backhand]"
)
@click.option(
    "--out",
    metavar="DIR",
    default=DEFAULTS.out,
    show_default=True,
    help="Directory for the checkpoints and the loss curve.",
)
@click.option(
    "--hidden", type=int, default=DEFAULTS.hidden, show_default=True, help="Hidden units."
)
@click.option(
    "--n-embd", type=int, default=DEFAULTS.n_embd, show_default=True, help="Numbers per letter."
)
@click.option(
    "--block-size",
    type=int,
    default=DEFAULTS.block_size,
    show_default=True,
    help="Letters of context.",
)
@click.option("--steps", type=int, default=DEFAULTS.steps, show_default=True, help="Steps to take.")
@click.option(
    "--batch", type=int, default=DEFAULTS.batch, show_default=True, help="Examples in a step."
)
@click.option(
    "--rate", type=float, default=DEFAULTS.rate, show_default=True, help="Learning rate at first."
)
@click.option(
    "--rate-late",
    type=float,
    default=DEFAULTS.rate_late,
    show_default=True,
    help="Learning rate after the switch.",
)
@click.option(
    "--switch",
    type=float,
    default=DEFAULTS.switch,
    show_default=True,
    help="Share of the steps taken at the first rate.",
)
@click.option(
    "--seed",
    type=int,
    default=DEFAULTS.seed,
    show_default=True,
    help="Seed of the parameters, the batches and the samples.",
)
@click.option(
    "--grad",
    type=click.Choice(GRADIENTS),
    default=DEFAULTS.grad,
    show_default=True,
    help="Where gradients come from. Longhand and autograd give the same losses bit for bit, "
    "shorthand the same but for rounding.",
)
@click.option(
    "--device", default=DEFAULTS.device, show_default=True, help="Device, as torch names it."
)
@click.option(
    "--threads",
    type=int,
    default=DEFAULTS.threads,
    show_default=True,
    help="CPU threads; one is fastest for matrices this small.",
)
@click.option(
    "--checkpoint-every",
    metavar="STEPS",
    type=int,
    default=DEFAULTS.checkpoint_every,
    show_default=True,
    help="Steps between checkpoints.",
)
@click.option(
    "--samples",
    type=int,
    default=DEFAULTS.samples,
    show_default=True,
    help="New names to draw at the end.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with its own options.")
@click.option("--force", is_flag=True, help="Start over what is in --out.")
@click.pass_context
def train(context: click.Context, /, resume: bool, force: bool, **options: Any) -> None:
    """Train the article's network on names, with gradients that backhand derived.

    Ctrl-C saves and says how to go on; so does a kill, from the last checkpoint.
    """
    if resume and force:
        raise click.UsageError("--resume goes on and --force starts over: give one of them")
    # Options that were left out are not part of the request: a resumed run has its own.
    given = {
        name: value
        for name, value in options.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    from backhand.train.run import run

    from .tables import Terminal

    sys.exit(run(given, Terminal(), resume=resume, force=force))
