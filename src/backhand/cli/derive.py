"""``backhand derive``: write the backward pass of a forward pass."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import click

from ..errors import InputError
from .common import FORMS, deliver, derive_target, output_options, target_options
from .text import check_output, clean

if TYPE_CHECKING:
    from ..api import Backprop


@click.command("derive")
@target_options
@click.option(
    "--emit",
    type=click.Choice(["torch", "function", "numpy", "jax"]),
    help="Write a complete, importable module instead: both passes for a library, or one "
    "differentiable operator (function).",
)
@click.option(
    "--save",
    metavar="fast|least|NAMES",
    help="What an emitted module keeps for its backward pass: what it reads, the fewest bytes, or "
    "exactly these values, comma-separated.",
)
@click.option(
    "--spelling",
    type=click.Choice(["plain", "exact"]),
    help="plain: the formulas as people write them. exact: bit for bit what autograd computes.  "
    "[default: plain; exact for --emit function]",
)
@click.option(
    "--cost", is_flag=True, help="Print what each form costs instead: passes, bytes, operations."
)
@click.option(
    "--explain-refusals",
    is_flag=True,
    help="Print the closed forms that were found and rejected instead, and why.",
)
@output_options
def derive(
    target: str,
    inputs: str | None,
    at: str | None,
    form: str,
    wrt: str | None,
    emit: str | None,
    save: str | None,
    spelling: str | None,
    cost: bool,
    explain_refusals: bool,
    output: str | None,
    force: bool,
) -> None:
    """Write the backward pass of TARGET, one d{x} per named step.

    TARGET is path/file.py:function, package.module:function, or the same with an nn.Module. The
    file is imported, so its code runs.
    """
    table = "--cost" if cost else "--explain-refusals" if explain_refusals else ""
    if table and (emit is not None or output is not None):
        raise InputError(f"{table} prints a table and writes nothing: leave out --emit and -o")
    if output is not None:
        check_output(output, force)  # before the work is done
    if save is not None and not emit:
        raise InputError("--save says what an emitted module keeps: give --emit as well")
    bp, _ = derive_target(target, inputs, at, wrt)
    if table:
        click.echo(clean(_costs(bp) if cost else bp.explain_refusals()))
        return
    if emit:
        text = bp.emit(emit, spelling, form, _kept(save))
    else:
        text = bp.listing(spelling or "plain", form=form).source
    text = clean(text)  # it quotes the user's source
    ast.parse(text)
    deliver(text, output, force)


def _kept(save: str | None) -> str | list[str] | None:
    """``--save``: a policy, or the names of what is kept."""
    if save is None or save in ("fast", "least"):
        return save
    return [name.strip() for name in save.split(",") if name.strip()]


def _costs(bp: Backprop) -> str:
    """The table of what the forms cost, and at which sizes."""
    from ..program.cost import comparison
    from .tables import rows_to_text

    table = rows_to_text(comparison({form: bp.cost(form) for form in FORMS}))
    sizes = ", ".join(f"{s.name if s.named else s.accessor} = {s.hint}" for s in bp.symbols)
    return f"{table}\n\nat {sizes}" if sizes else table
