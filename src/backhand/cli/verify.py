"""``backhand verify``: the exact/close/wrong table."""

from __future__ import annotations

import json
import sys

import click

from .common import derive_target, target_options


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
    report = bp.verify(target=target, seed=seed)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2, allow_nan=False))
    else:
        from .tables import print_report

        print_report(report)
    sys.exit(0 if report.ok else 1)
