"""``backhand verify``: the exact/close/wrong table."""

from __future__ import annotations

import json

import click

from .common import derive_target, target_options, users_code
from .text import silence_stdout


@click.command("verify")
@target_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--seed", default=0, show_default=True, help="Seed of random numbers and upstreams.")
def verify(
    target: str,
    inputs: str | None,
    at: str | None,
    form: str,
    wrt: str | None,
    as_json: bool,
    seed: int,
) -> None:
    """Check every gradient of TARGET against autograd on the function itself.

    Exit status 0 if nothing is wrong, 1 if a gradient is, 2 if it could not be checked.
    """
    bp, _ = derive_target(target, inputs, at, wrt)
    from .tables import print_report

    with users_code(target):
        report = bp.verify(target=target, seed=seed, form=form)
    try:
        if as_json:
            click.echo(json.dumps(report.as_json(), indent=2, allow_nan=False))
        else:
            print_report(report)
    except BrokenPipeError:
        silence_stdout()  # whoever reads our output stopped: the verdict stands
    click.get_current_context().exit(0 if report.ok else 1)
