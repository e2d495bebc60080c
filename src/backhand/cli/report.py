"""``backhand report``: everything about a backward pass on one page."""

from __future__ import annotations

import click

from .common import derive_target, input_options, users_code
from .text import check_output, clean


@click.command("report")
@input_options
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="report.html",
    show_default=True,
    help="The file to write.",
)
@click.option("--force", is_flag=True, help="Overwrite the output file.")
def report(
    target: str, inputs: str | None, at: str | None, wrt: str | None, output: str, force: bool
) -> None:
    """Write a page about the backward pass of TARGET: one HTML file, to be opened offline.

    Both passes side by side; for each gradient its derivation, its picture and autograd's verdict;
    closed forms with their proofs; what is saved and what it costs. Exit status 1 if a gradient is
    wrong; the page shows which.
    """
    check_output(output, force)  # before the work is done
    bp, loaded = derive_target(target, inputs, at, wrt)
    with users_code(target):
        page = bp.report(target=loaded.name)
    page.write(output, force)
    click.echo(clean(f"wrote {output}: {page.summary}"), err=True)
    click.get_current_context().exit(0 if page.ok else 1)


__all__ = ["report"]
