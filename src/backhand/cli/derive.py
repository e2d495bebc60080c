"""``backhand derive``: write the backward pass of a forward pass."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import click

from ..errors import InputError
from .common import FORMS, derive_target, target_options
from .text import check_output, clean, write_file

if TYPE_CHECKING:
    from ..api import Backprop


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
@click.option(
    "--cost", is_flag=True, help="Print what each form costs instead: passes, bytes, operations."
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
    cost: bool,
    output: str | None,
    force: bool,
) -> None:
    """Write the backward pass of TARGET, one d{x} per named step.

    TARGET is path/file.py:function, package.module:function, or the same with an nn.Module. The
    file is imported, so its code runs.
    """
    if cost and (emit is not None or output is not None):
        raise InputError("--cost prints a table and writes nothing: leave out --emit and -o")
    if output is not None:
        check_output(output, force)  # before the work is done
    bp, _ = derive_target(target, inputs, at, wrt)
    if cost:
        click.echo(clean(_costs(bp)))
        return
    text = bp.emit(emit, spelling) if emit else bp.listing(spelling).source
    text = clean(text)  # it quotes the user's source
    ast.parse(text)
    if output is not None:
        write_file(output, text, force)
        click.echo(clean(f"wrote {output}"), err=True)
    else:
        click.echo(text, nl=False)


def _costs(bp: Backprop) -> str:
    """The table of what the forms cost, and at which sizes."""
    from ..program.cost import comparison
    from .tables import rows_to_text

    table = rows_to_text(comparison({form: bp.cost(form) for form in FORMS}))
    sizes = ", ".join(f"{s.name if s.named else s.accessor} = {s.hint}" for s in bp.symbols)
    return f"{table}\n\nat {sizes}" if sizes else table
