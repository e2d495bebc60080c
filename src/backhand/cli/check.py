"""``backhand check``: reviews a backward pass that somebody wrote by hand."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from .common import timeout_option
from .text import clean, parse_sizes, silence_stdout

if TYPE_CHECKING:
    from ..review.outcome import Outcome


@click.command("check")
@click.argument("file")
@click.option("--watch", is_flag=True, help="Review it again whenever it is saved, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--hint",
    type=click.IntRange(1, 4),
    help="Add a hint for what is wrong: 1 where, 2 which idea, 3 the idea with numbers, "
    "4 the line.",
)
@timeout_option("review")
@click.option(
    "--forward",
    metavar="FILE:FUNCTION",
    help="The forward pass.  [default: forward in FILE, or its lines up to the loss]",
)
@click.option(
    "--inputs",
    metavar="FILE:FUNCTION",
    help="A function that returns example inputs.  [default: example_inputs() beside the forward "
    "pass, else its jaxtyping annotations, else what FILE builds]",
)
@click.option("--at", metavar="n=32,d=64", help="Fix sizes of the example inputs.")
def check(
    file: str,
    watch: bool,
    as_json: bool,
    hint: int | None,
    timeout: float | None,
    forward: str | None,
    inputs: str | None,
    at: str | None,
) -> None:
    """Review the handwritten backward pass in FILE, line by line.

    FILE is a module with two functions forward and backward, one with a torch.autograd.Function, or
    a script or notebook with a forward pass up to loss and lines d… = … below it. Its code runs, in
    a child process.

    Exit status 0 if nothing is wrong, 1 if a gradient is, 2 if it could not be reviewed.
    """
    options: dict[str, Any] = {
        "forward": forward,
        "inputs": inputs,
        "sizes": parse_sizes(at),
        **({} if timeout is None else {"timeout": timeout}),
    }
    if watch:
        from .watch import watch_file

        status = watch_file(file, options, lambda outcome: show(outcome, as_json, hint))
        click.get_current_context().exit(status)
    from ..review.outcome import review_file

    outcome = review_file(file, **options)
    show(outcome, as_json, hint)
    click.get_current_context().exit(0 if outcome.review.ok else 1)


def show(outcome: Outcome, as_json: bool, hint: int | None) -> None:
    """Print a review, with a hint for each gradient that is wrong by itself.

    What the reviewed code printed goes to standard error, cleaned.
    """
    review = outcome.review
    if outcome.printed:
        click.echo(clean(outcome.printed), err=True, nl=not outcome.printed.endswith("\n"))
    try:
        if as_json:
            click.echo(json.dumps(review.as_json(), indent=2, allow_nan=False))
            return
        click.echo(clean(str(review)))
        if hint is not None:
            for gradient in review.gradients:
                said = "" if gradient.ok or not gradient.causes else gradient.hint(hint)
                if said:
                    click.echo(clean(f"\n{gradient.name}: {said}"))
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()  # whoever reads our output stopped: the verdict stands
