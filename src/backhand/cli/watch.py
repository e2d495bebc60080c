"""Reviewing a file whenever it is saved."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BackhandError, InputError
from .text import clean

if TYPE_CHECKING:
    from ..review.result import Review

# Editors write a file in several steps: what happens within this time is one save.
_SETTLE_MS = 50

Stamp = tuple[int, int, int]


def watch_file(file: str, options: Mapping[str, Any], show: Callable[[Review], None]) -> int:
    """Review ``file`` now and after each save, until interrupted; the last review's exit status.

    It may be gone for a while (editors that save by renaming), or be no Python for the moment:
    that is said, and the watch goes on.
    """
    from watchfiles import watch

    from ..review.isolated import Abandoned
    from ..review.outcome import warm_up
    from .check import reviewed

    path = Path(file)
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(
            f"{file} is a directory: name a file" if path.is_dir() else f"there is no file {file}"
        )
    if not path.exists():
        raise InputError(f"there is no file {file}")
    watched = _watched(path, options)
    status = 2
    seen: list[Stamp | None] = []
    warm = False

    def changed() -> bool:
        return [_stamp(p) for p in watched] != seen

    try:
        # the notifier starts with the first turn: what is saved during a review is not missed
        turns: Iterator[object] = watch(
            *{p.parent for p in watched},
            watch_filter=lambda _, changed: Path(changed).name in {p.name for p in watched},
            step=_SETTLE_MS,
            debounce=400,
            rust_timeout=500,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=True,
        )
        for _ in turns:
            while changed():
                seen = [_stamp(p) for p in watched]
                started = time.monotonic()
                try:
                    review = reviewed(file, {**options, "abandoned": changed})
                    show(review)
                    status = 0 if review.ok else 1
                except Abandoned:
                    pass
                except BackhandError as error:
                    status = 2
                    click.echo(f"backhand: {clean(str(error))}", err=True)
                took = time.monotonic() - started
                click.echo(_sign(file, took), err=True)
                if not warm:
                    warm = True
                    warm_up()
    except KeyboardInterrupt:
        click.echo(err=True)
    return status


def _watched(path: Path, options: Mapping[str, Any]) -> list[Path]:
    """The file, and those that its forward pass and its inputs come from."""
    others = [str(options.get(name) or "").rpartition(":")[0] for name in ("forward", "inputs")]
    files = [path.absolute()]
    files += [Path(o).absolute() for o in others if o and Path(o).is_file()]
    return list(dict.fromkeys(files))


def _stamp(path: Path) -> Stamp | None:
    """What changes when a file is saved; ``None`` while there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _sign(file: str, took: float) -> str:
    return f"── {time.strftime('%H:%M:%S')}, {took:.1f} s; waiting for {file} to be saved ──"
