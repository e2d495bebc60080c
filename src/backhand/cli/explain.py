"""``backhand explain``: why a gradient is what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .common import deliver, derive_target, input_options, output_options
from .text import check_output, clean

if TYPE_CHECKING:
    from .tables import Terminal

# explain.FORMATS, which this module must not import: it would load torch for --help
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
@output_options
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
    if output is not None or form != "text":
        deliver(clean(found.to(form)), output, force)
        return
    from .tables import Terminal

    terminal = Terminal()
    # between what can be read and what is comfortable
    text = clean(found.text(max(40, min(terminal.width, 100))))
    if terminal.is_terminal:
        _show(text, terminal)
    else:
        deliver(text, None, force)


def _show(text: str, terminal: Terminal) -> None:
    """Text in the terminal: headings stand out, everything else is as it is."""
    from rich.text import Text

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
