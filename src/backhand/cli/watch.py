"""Reviewing a file whenever it is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BackhandError, InputError
from .text import clean

if TYPE_CHECKING:
    from ..review.again import Stamp
    from ..review.outcome import Outcome

# Editors write a file in several steps: what happens within this time is one save.
_SETTLE_MS = 50


def watch_file(file: str, options: Mapping[str, Any], show: Callable[[Outcome], None]) -> int:
    """Review ``file`` now and after each save, until interrupted; the last review's exit status."""
    from ..review.again import Reviews

    reviews = Reviews(file, **options)

    def turn(abandoned: Callable[[], bool]) -> int:
        outcome = reviews.review(abandoned)
        show(outcome)
        return 0 if outcome.review.ok else 1

    try:
        others = [options.get("forward"), options.get("inputs")]
        return on_save(file, turn, others, reviews.get_ready)
    finally:
        reviews.close()


def on_save(
    file: str,
    turn: Callable[[Callable[[], bool]], int],
    others: Sequence[str | None] = (),
    get_ready: Callable[[], None] = lambda: None,
) -> int:
    """Do ``turn`` now and after each save of ``file``, until interrupted; its last exit status.

    The file may be gone for a while (editors that save by renaming), or be no Python for the
    moment: that is said, and the watch goes on. ``turn`` is given a function that says whether the
    file has changed again. ``others`` are ``FILE:FUNCTION``s whose files are watched too.
    ``get_ready`` is called after each turn that had a result.
    """
    from watchfiles import watch

    from ..review.again import stamp, warm_up
    from ..review.isolated import Abandoned

    path = Path(file)
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(
            f"{file} is a directory: name a file" if path.is_dir() else f"there is no file {file}"
        )
    if not path.exists():
        raise InputError(f"there is no file {file}")
    watched = _watched(path, others)
    status = 2
    seen: list[Stamp | None] = []
    warm = False

    def changed() -> bool:
        return [stamp(p) for p in watched] != seen

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
                seen = _settled(watched)
                started = time.monotonic()
                done = False
                try:
                    status = turn(changed)
                    done = True
                except Abandoned:
                    continue  # saved again meanwhile: that text counts
                except BackhandError as error:
                    status = 2
                    click.echo(f"backhand: {clean(str(error))}", err=True)
                took = time.monotonic() - started
                click.echo(_sign(file, took), err=True)
                if not warm:
                    warm = True
                    warm_up()
                if done:
                    get_ready()
    except KeyboardInterrupt:
        click.echo(err=True)
    return status


def _watched(path: Path, others: Sequence[str | None]) -> list[Path]:
    """The file, and those that its forward pass and its inputs come from."""
    places = [(other or "").rpartition(":")[0] for other in others]
    files = [path.absolute()]
    files += [Path(p).absolute() for p in places if p and Path(p).is_file()]
    return list(dict.fromkeys(files))


def _settled(paths: Sequence[Path]) -> list[Stamp | None]:
    """The stamps once they no longer change: a file is emptied before it is written."""
    from ..review.again import stamp

    stamps = [stamp(p) for p in paths]
    while True:
        time.sleep(_SETTLE_MS / 1000)
        before, stamps = stamps, [stamp(p) for p in paths]
        if before == stamps:
            return stamps


def _sign(file: str, took: float) -> str:
    return f"── {time.strftime('%H:%M:%S')}, {took:.1f} s; waiting for {file} to be saved ──"
