"""The ``backhand`` command: its subcommands, and what happens when one of them fails.

Exit statuses: 0 fine, 1 something is wrong with the gradients, 2 the request could not be carried
out, 130 interrupted.
"""

from __future__ import annotations

import io
import sys
import traceback
from importlib import import_module
from typing import Any

import click

from .. import __version__
from ..errors import OWN_FAULT, BackhandError, ProgramError, first_line, out_of_memory
from .common import Suggesting
from .text import clean, silence_stdout

# Each command lives in a module of its own, imported when it is asked for.
COMMANDS = {
    "tour": "The article from end to end: every gradient checked, then training.",
    "derive": "Write the backward pass of a forward pass.",
    "explain": "Explain a gradient: uses, shapes, local gradients, a tiny case, proofs.",
    "report": "Write one page: code, gradients, derivations, pictures, proofs, cost.",
    "verify": "Check every gradient against autograd: exact, close or wrong.",
    "check": "Review a backward pass written by hand.",
    "practice": "Exercises in writing backward passes by hand.",
    "train": "Train the article's network on the derived backward pass.",
    "ops": "List the supported operators.",
}


class LazyGroup(Suggesting):
    """Knows its commands by name and loads each only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f".{cmd_name}", __package__)
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # the reader of our output went away (| head): not an error, whatever click makes of it
            silence_stdout()
            return None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backhand")
@click.option("--debug", is_flag=True, help="Show Python's traceback when something fails.")
def cli(debug: bool) -> None:
    """Backpropagation by hand, with a machine that checks the hand.

    backhand takes a forward pass written in ordinary PyTorch and writes its backward pass as source
    that people read, in the author's own variable names. It runs the file you name: do not point it
    at code that you would not run.

    Start with: backhand tour
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # understood before and after the command's name
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # a name that the terminal's encoding lacks is spelled out (as Python does on stderr)
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(args=arguments, prog_name="backhand", standalone_mode=False)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(clean(shown.getvalue()), err=True, nl=False)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BackhandError as error:
        if debug:
            traceback.print_exc()
        own = f"\n  {OWN_FAULT}" if isinstance(error, ProgramError) else ""
        click.echo(f"backhand: {clean(str(error))}{own}", err=True)
        sys.exit(2)
    except OSError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"backhand: {clean(_os_problem(error))}", err=True)
        sys.exit(2)
    except Exception as error:
        if debug:
            traceback.print_exc()
        said = f"{type(error).__name__}: {clean(first_line(error))}"
        if out_of_memory(error):
            click.echo(
                f"backhand: there is not enough memory: {said}\n  try smaller sizes", err=True
            )
        else:
            click.echo(f"backhand: something unforeseen happened: {said}\n  {OWN_FAULT}", err=True)
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)


def _os_problem(error: OSError) -> str:
    said = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {said}"
    return f"the output cannot be written: {said}"
