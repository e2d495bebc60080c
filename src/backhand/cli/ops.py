"""``backhand ops``: the support matrix, generated from the rule table."""

from __future__ import annotations

import difflib
import json

import click

from ..errors import InputError


@click.command("ops")
@click.option("--json", "as_json", is_flag=True, help="Print the matrix as JSON.")
@click.argument("names", nargs=-1)
def ops(names: tuple[str, ...], as_json: bool) -> None:
    """List the supported operators: all, or those whose name contains one of NAMES.

    rule: its gradient is known. no gradient: it has none, for the reason given. formula: an
    operator that backward passes use, written out in the plain spelling. kernel: one that is
    printed as it is.
    """
    from ..rules.matrix import support_matrix

    rows = [r for r in support_matrix() if not names or any(n in r.op for n in names)]
    if not rows:
        close = difflib.get_close_matches(names[0], [r.op for r in support_matrix()], 3, 0.5)
        hint = f"did you mean {', '.join(close)}?" if close else "`backhand ops` lists all of them"
        raise InputError(f"no operator has {' or '.join(names)} in its name: {hint}")
    if as_json:
        click.echo(json.dumps([r.as_dict() for r in rows], indent=2))
        return
    from .tables import Terminal, plain_table

    table = plain_table("operator", "kind", "support", "at kinks and edges")
    table.columns[0].overflow = "fold"
    names_shown = ("operator", *(row.op for row in rows))
    table.columns[0].width = min(28, max(map(len, names_shown)))
    for row in rows:
        table.add_row(row.op, row.kind, row.support, row.note)
    Terminal().print(table)
    ruled = sum(r.support == "rule" for r in rows)
    click.echo(f"{len(rows)} operators, {ruled} with a rule")
