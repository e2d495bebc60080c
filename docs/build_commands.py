"""The page of the command line, made of what the commands say of themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from html import escape

import click

from backhand.cli.main import cli

HEAD = """# Commands

What `backhand COMMAND --help` prints. Exit statuses: 0 when all is well, 1 when a gradient is
wrong, 2 when the request could not be carried out, 130 after Ctrl-C. Results go to standard output,
everything else to standard error; `--debug` adds Python's traceback to a message.
"""


def page() -> str:
    # with its settings: click keeps a command's help option as it was asked for first
    ctx = click.Context(cli, info_name="backhand", **cli.context_settings)
    return "\n".join([HEAD, *_commands(cli, ctx, 2)])


def _commands(group: click.Group, ctx: click.Context, level: int) -> Iterator[str]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        inner = click.Context(command, parent=ctx, info_name=name)
        yield _shown(command, inner, level)
        if isinstance(command, click.Group):
            yield from _commands(command, inner, level + 1)


def _shown(command: click.Command, ctx: click.Context, level: int) -> str:
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    parts = [
        f"{'#' * level} {ctx.command_path}",
        f"```text\n{usage}\n```",
        inspect.cleandoc(command.help or ""),
    ]
    options = [p for p in command.params if isinstance(p, click.Option)]
    rows = [f"| {_code(of)} | {_cell(text)} |" for of, text in map(_record, options)]
    if rows:
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _record(option: click.Option) -> tuple[str, str]:
    record = option.get_help_record(click.Context(click.Command("")))
    assert record is not None
    return record


def _code(text: str) -> str:
    """As code that may be broken at its bars, which would end the cell if they were written so."""
    return f"<code>{escape(text).replace('|', '&#124;<wbr>')}</code>"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
