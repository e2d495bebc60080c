"""``backhand derive``: write the backward pass of a forward pass."""

from __future__ import annotations

import ast
import sys

import click

from ..errors import InputError
from .common import derive_target, target_options
from .text import check_output, clean, write_file


@click.command("derive")
@target_options
@click.option(
    "--emit", type=click.Choice(["torch"]), help="Write a complete, importable module instead."
)
@click.option(
    "--spelling",
    type=click.Choice(["plain", "exact"]),
    default="plain",
    show_default=True,
    help="plain: the formulas as people write them. exact: bit for bit what autograd computes.",
)
@click.option("-o", "--output", metavar="FILE", help="Write to a file instead of the terminal.")
@click.option("--force", is_flag=True, help="Overwrite the output file.")
def derive(
    target: str,
    inputs: str | None,
    at: str | None,
    form: str,
    wrt: str | None,
    emit: str | None,
    spelling: str,
    output: str | None,
    force: bool,
) -> None:
    """Write the backward pass of TARGET, one d{x} per named step.

    TARGET is path/file.py:function, package.module:function, or the same with an nn.Module. The
    file is imported, so its code runs.
    """
    if output is not None:
        check_output(output, force)  # before the work is done
    bp, _ = derive_target(target, inputs, at, wrt)
    text = bp.emit(emit, spelling) if emit else bp.listing(spelling, form=form).source
    text = clean(text)  # it quotes the user's source
    ast.parse(text)
    if output is not None:
        write_file(output, text, force)
        click.echo(clean(f"wrote {output}"), err=True)
    else:
        _check_encoding(text)
        click.echo(text, nl=False)


def _check_encoding(text: str) -> None:
    """Source is written as it is or not at all: no letter of a name may be replaced."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        raise InputError(
            f"the output's encoding ({encoding}) has no {text[error.start]!r}: write to a file "
            "with -o FILE, or set PYTHONIOENCODING=utf-8"
        ) from None
