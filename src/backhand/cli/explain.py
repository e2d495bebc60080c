"""``backhand explain``: why a gradient is what it is."""

from __future__ import annotations

import click

from .common import derive_target, input_options
from .text import check_encoding, check_output, clean, write_file

FORMATS = ("text", "markdown", "latex", "html", "notebook")


@click.command("explain")
@input_options
@click.argument("name", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="text for the terminal, a LaTeX document, a self-contained page, a Jupyter notebook.",
)
@click.option("--numbers", is_flag=True, help="Add numbers to what is written out in letters.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file instead of the terminal.")
@click.option("--force", is_flag=True, help="Overwrite the output file.")
def explain(
    target: str,
    name: str | None,
    form: str,
    numbers: bool,
    inputs: str | None,
    at: str | None,
    wrt: str | None,
    output: str | None,
    force: bool,
) -> None:
    """Explain the gradient NAME of TARGET, or every gradient.

    For each: its uses and their sum, shapes, broadcasts, local gradients, a tiny case written out
    in letters, the line of code, and a closed form with its proof where there is one. NAME is a
    gradient's or its value's: dcounts or counts. The file of TARGET is imported, so its code runs.
    """
    if output is not None:
        check_output(output, force)  # before the work is done
    bp, _ = derive_target(target, inputs, at, wrt)
    found = bp.explain(name, numbers)
    if output is not None:
        write_file(output, clean(found.to(form)), force)
        click.echo(clean(f"wrote {output}"), err=True)
    elif form == "text":
        _show(clean(found.to("text", _width())))
    else:
        click.echo(clean(found.to(form)), nl=False)


def _width() -> int:
    """The terminal's width, between what can be read and what is comfortable."""
    from .tables import Terminal

    return max(40, min(Terminal().width, 100))


def _show(text: str) -> None:
    """Text in the terminal: headings stand out, everything else is as it is."""
    from rich.text import Text

    from .tables import Terminal

    terminal = Terminal()
    if not terminal.is_terminal:
        check_encoding(text)
        click.echo(text, nl=False)
        return
    lines = text.split("\n")
    shown = Text()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        rule = below.strip()
        heading = bool(rule) and len(set(rule)) == 1 and rule[0] in "═─·" and line.strip() != ""
        rest = bool(line.strip()) and set(line.strip()) <= set("═─· ")
        style = "bold" if heading and not line.startswith("  ") else "dim" if rest else ""
        shown.append(f"{line}\n", style=style)
    terminal.print(shown, end="", soft_wrap=True, highlight=False)


__all__ = ["explain"]
