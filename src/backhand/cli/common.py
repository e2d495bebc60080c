"""What commands share: a group that knows what was meant, options, and deriving a target."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import InputError
from .text import check_encoding, clean, write_file

if TYPE_CHECKING:
    from ..api import Backprop
    from ..capture.target import Target

F = TypeVar("F", bound=Callable[..., Any])

FORMS = ("longhand", "shorthand")

_warned: set[str] = set()


class Suggesting(click.Group):
    """Lists its commands in their own order, and knows what was meant by a near miss."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(known)}."
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def timeout_option(what: str) -> Callable[[F], F]:
    """``--timeout``; without it the review's own limit holds."""
    return click.option(
        "--timeout", type=float, metavar="S", help=f"Seconds that one {what} has.  [default: 60]"
    )


def input_options(command: F) -> F:
    """The target, and the options that say which example inputs it has."""
    for decorate in (
        click.option(
            "--wrt", metavar="NAMES", help="Inputs whose gradients are wanted, comma-separated."
        ),
        click.option("--at", metavar="n=32,d=64", help="Fix sizes of the example inputs."),
        click.option(
            "--inputs",
            metavar="FILE:FUNCTION",
            help="A function that returns example inputs.  [default: example_inputs() beside the "
            "target, else its jaxtyping annotations]",
        ),
        click.argument("target"),
    ):
        command = decorate(command)
    return command


def target_options(command: F) -> F:
    """The target, its example inputs, and the form of its backward pass."""
    form = click.option(
        "--form",
        type=click.Choice(FORMS),
        default="longhand",
        show_default=True,
        help="The form of the backward pass.",
    )
    return input_options(form(command))


@contextmanager
def users_code(target: str) -> Iterator[None]:
    """While the user's code runs: what it prints goes to stderr, and it cannot end the program.

    Standard output is for the result alone, so that it can be piped or parsed. The code runs more
    than once: each warning is shown once.
    """

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        said = f"{category.__name__}: {message}".partition(" (Triggered internally at")[0]
        if said not in _warned:
            _warned.add(said)
            click.echo(clean(f"warning: {said}"), err=True)

    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.showwarning = show
            yield
    except SystemExit as error:
        raise InputError(f"{target} ended the program (exit {error.code})") from None


def derive_target(
    target: str, inputs: str | None, at: str | None, wrt: str | None
) -> tuple[Backprop, Target]:
    """Load a target and derive its backward pass."""
    from ..api import derive
    from ..capture.target import load_target
    from .text import parse_sizes

    sizes = parse_sizes(at)
    names = [n.strip() for n in wrt.split(",") if n.strip()] if wrt is not None else None
    _warned.clear()
    if names == []:
        raise InputError("--wrt names no input: write --wrt x,w")
    with users_code(target):
        loaded = load_target(target, inputs, sizes)
        bp = derive(
            loaded.forward, *loaded.args, wrt=names, size_names=loaded.size_names, **loaded.kwargs
        )
    return bp, loaded


def output_options(command: F) -> F:
    """Where the result goes."""
    for decorate in (
        click.option("--force", is_flag=True, help="Overwrite the output file."),
        click.option(
            "-o", "--output", metavar="FILE", help="Write to a file instead of the terminal."
        ),
    ):
        command = decorate(command)
    return command


def deliver(text: str, output: str | None, force: bool) -> None:
    """Write a result, cleaned, to the file or to standard output."""
    if output is not None:
        write_file(output, text, force)
        click.echo(clean(f"wrote {output}"), err=True)
    else:
        check_encoding(text)
        click.echo(text, nl=False)
