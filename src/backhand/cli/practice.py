"""``backhand practice``: exercises in writing backward passes."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError, short_path
from .common import Suggesting, timeout_option
from .text import check_output, clean, write_file

if TYPE_CHECKING:
    from ..practice.check import Result
    from ..practice.exercise import Exercise
    from ..practice.progress import Progress


@click.group("practice", cls=Suggesting, invoke_without_command=True)
@click.pass_context
def practice(ctx: click.Context) -> None:
    """Exercises in writing backward passes by hand.

    NAME is an exercise's name, the beginning of it, or its number in the list. What you have passed
    is kept in a small file ($BACKHAND_STATE_HOME, else the usual folder for such files).
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_exercises)


@practice.command("list")
def list_exercises() -> None:
    """List the exercises and what is passed."""
    from ..practice import curriculum
    from ..practice.progress import load

    progress, problem = load()
    width = max(map(len, curriculum.ORDER))
    for i, name in enumerate(curriculum.ORDER, 1):
        record = progress.record(name)
        state = "passed" if record.passed else "started" if record.file else ""
        title = curriculum.exercise(name).title
        click.echo(f"{i:>2}  {name:<{width}}  {title:<40}  {state}".rstrip())
    passed = sum(progress.record(name).passed for name in curriculum.ORDER)
    click.echo(f"\n{passed} of {len(curriculum.ORDER)} passed.")
    click.echo(_next_step(progress))
    _note(problem)


@practice.command("start")
@click.argument("name", required=False)
@click.argument("directory", required=False, metavar="[DIR]")
def start(name: str | None, directory: str | None) -> None:
    """Write the worksheet of an exercise: by default of the next one.

    It is written into DIR (the current folder by default), and never over a file.
    """
    from ..practice import curriculum
    from ..practice.progress import load

    exercise = curriculum.find(name) if name is not None else _first_open(load()[0])
    path = Path(directory or ".") / f"{exercise.name}.py"
    if os.path.lexists(path):
        raise InputError(
            f"{path} exists and is left as it is: backhand practice check {path} checks it, "
            f"backhand practice reset {exercise.name} puts it aside and starts anew"
        )
    _write(exercise, path)
    click.echo(clean(f"wrote {path}: {exercise.title}\n"))
    _paragraph(exercise.idea)
    click.echo(f"\nFill in {_blanks(exercise)}, then: backhand practice check {exercise.name}")
    click.echo("Stuck? backhand practice hint")


@practice.command("check")
@click.argument("name", required=False, metavar="[NAME|FILE]")
@click.option("--watch", is_flag=True, help="Check it again whenever it is saved, until Ctrl-C.")
@timeout_option("check")
def check(name: str | None, watch: bool, timeout: float | None) -> None:
    """Check a worksheet: by default the one worked on last.

    Exit status 0 if every gradient is there and right, 1 if not, 2 if it could not be checked.
    """
    path, exercise = _worksheet(name)

    def turn(abandoned: Callable[[], bool] | None = None) -> int:
        return 0 if _checked(path, exercise, timeout, abandoned) else 1

    if watch:
        from .watch import on_save

        status = on_save(str(path), turn)
    else:
        status = turn()
    click.get_current_context().exit(status)


@practice.command("hint")
@click.argument("name", required=False, metavar="[NAME|FILE]")
def hint(name: str | None) -> None:
    """Give the next hint on the first gradient that is not right.

    There are four for each: where to look, which idea, a small example, the line.
    """
    from ..practice.hints import LEVELS
    from ..practice.hints import hint as text_of
    from ..practice.progress import update

    path, exercise = _worksheet(name)
    result = _result(path, exercise)
    gradient = result.next()
    if gradient is None:
        click.echo(f"Nothing is wrong in {path}.")
        click.echo(f"Check it: backhand practice check {exercise.name}")
        return
    level = 0

    def count(progress: Any) -> Any:
        nonlocal level
        record = progress.record(exercise.name)
        level = min(record.level(gradient.name) + 1, len(LEVELS))
        return progress.put(exercise.name, record.hinted(gradient.name, level))

    _, problem = update(count)
    click.echo(f"Hint {level} of {len(LEVELS)} on {gradient.name} ({LEVELS[level - 1]})")
    click.echo()
    _paragraph(clean(text_of(result, gradient, level)))
    click.echo()
    more = "The next one: backhand practice hint. " if level < len(LEVELS) else ""
    click.echo(f"{more}When it is written: backhand practice check {exercise.name}")
    _note(problem)


@practice.command("solution")
@click.argument("name")
@click.option("--anyway", is_flag=True, help="Show it before the exercise is passed.")
def solution(name: str, anyway: bool) -> None:
    """Show an exercise's solution, once it is passed."""
    from dataclasses import replace

    from ..practice import curriculum
    from ..practice.progress import load, update
    from ..practice.worksheet import backward_text

    exercise = curriculum.find(name)
    progress, problem = load()
    if not progress.record(exercise.name).passed and not anyway:
        unknown = " (your progress cannot be read)" if problem else ""
        raise InputError(
            f"{exercise.name} is not passed yet{unknown}: backhand practice hint {exercise.name} "
            "helps with the next line, --anyway shows the solution"
        )
    text = backward_text(exercise.derivation, exercise.code, exercise.solution)
    click.echo(clean(text), nl=False)
    if not progress.record(exercise.name).passed:
        _, problem = update(
            lambda p: p.put(
                exercise.name, replace(p.record(exercise.name), shown=True), current=False
            )
        )
    _note(problem)


@practice.command("reset")
@click.argument("name")
def reset(name: str) -> None:
    """Begin an exercise anew: a fresh worksheet, and no hints given yet.

    The worksheet that is there is put aside under another name.
    """
    from ..practice import curriculum
    from ..practice.progress import load

    exercise = curriculum.find(name)
    progress, _ = load()
    known = progress.record(exercise.name).file
    path = Path(known) if known else Path(f"{exercise.name}.py")
    if os.path.lexists(path):
        aside = _free_name(path)
        try:
            # a link fails where a file is, a rename would replace it
            os.link(path, aside)
            path.unlink()
        except OSError as error:
            raise InputError(f"{path} cannot be put aside: {error.strerror or error}") from None
        click.echo(clean(f"what was in {short_path(path)} is now in {short_path(aside)}"))
    _write(exercise, path, anew=True)
    click.echo(clean(f"wrote {short_path(path)}: {_blanks(exercise)} to fill in"))
    click.echo(f"Then: backhand practice check {exercise.name}")


@practice.command("new")
@click.argument("target")
@click.option("-o", "--output", metavar="FILE", help="The worksheet.  [default: worksheet_NAME.py]")
@click.option("--force", is_flag=True, help="Overwrite the worksheet, with what was filled in.")
@click.option("--inputs", metavar="FILE:FUNCTION", help="A function that returns example inputs.")
@click.option("--at", metavar="n=32,d=64", help="Fix sizes of the example inputs.")
def new(
    target: str, output: str | None, force: bool, inputs: str | None, at: str | None
) -> None:
    """Write a worksheet for any forward pass.

    TARGET is path/file.py:function or package.module:function, or the same with an nn.Module. The
    blanks come in the order in which the longhand finds the gradients.
    """
    from ..practice.own import own_worksheet
    from .common import derive_target, users_code

    if output is not None:
        check_output(output, force)
        if not output.endswith(".py"):
            raise InputError(f"{output} could not be checked: give it a name that ends in .py")
    bp, loaded = derive_target(target, inputs, at, None)
    path = f"worksheet_{bp.name}.py" if output is None else output
    check_output(path, force)
    with users_code(target):
        text, count = own_worksheet(loaded, bp, path)
    write_file(path, text, force)
    click.echo(clean(f"wrote {path}: {_count(count)} to fill in"))
    click.echo(clean(f"Then: backhand check {path}"))


# what the commands share


def _worksheet(asked: str | None) -> tuple[Path, Exercise]:
    """The worksheet that is meant, and the exercise that it is of."""
    from ..practice import curriculum
    from ..practice.check import exercise_of
    from ..practice.progress import load

    progress, problem = load()
    if asked is None:
        if progress.current not in curriculum.ORDER:
            _note(problem)
            raise InputError(
                "no exercise is under way: backhand practice start begins the next one"
            )
        asked = progress.current
    if asked.endswith(".py") or os.sep in asked or os.path.exists(asked):
        return Path(asked), exercise_of(Path(asked))
    exercise = curriculum.find(asked)
    for place in (progress.record(exercise.name).file, f"{exercise.name}.py"):
        if place and os.path.exists(place):
            path = Path(place)
            found = exercise_of(path)
            if found.name != exercise.name:
                raise InputError(f"{short_path(path)} is a worksheet of {found.name} by now")
            return path, exercise
    known = progress.record(exercise.name).file
    gone = f"{short_path(known)} is not there any more" if known else "it has no worksheet yet"
    raise InputError(
        f"{exercise.name}: {gone}: backhand practice start {exercise.name} [DIR] writes one"
    )


def _result(
    path: Path,
    exercise: Exercise,
    timeout: float | None = None,
    abandoned: Callable[[], bool] | None = None,
) -> Result:
    from ..practice.check import check as judge

    result = judge(path, exercise, timeout, abandoned)
    if result.printed:
        click.echo(clean(result.printed), err=True, nl=not result.printed.endswith("\n"))
    return result


def _checked(
    path: Path,
    exercise: Exercise,
    timeout: float | None,
    abandoned: Callable[[], bool] | None,
) -> bool:
    """Judge a worksheet, show what was found and what to do next, and keep it."""
    from dataclasses import replace

    from ..practice.progress import update

    result = _result(path, exercise, timeout, abandoned)
    for note in result.notes:
        click.echo(clean(f"note: {note}"), err=True)
    wrong, missing = result.wrong(), result.missing()
    if wrong:
        click.echo(clean(str(result.without_blanks())).rstrip())
        click.echo()
    total = len(result.wanted)
    parts = [f"{len([g for g in result.right() if g.name in result.wanted])} of {total} right"]
    parts += [f"{len(wrong)} not right"] if wrong else []
    parts += [f"{len(missing)} still to be written"] if missing else []
    click.echo(f"{exercise.name}: {', '.join(parts)}.")
    was = str(path.resolve())
    progress, problem = update(
        lambda p: p.put(
            exercise.name,
            replace(
                p.record(exercise.name),
                file=was,
                passed=p.record(exercise.name).passed or result.passed,
            ),
        )
    )
    if result.passed:
        click.echo(f"Compare: backhand practice solution {exercise.name}")
        click.echo(_next_step(progress, exercise.name))
    else:
        gradient = result.next()
        what = f"Next: {gradient.name}, line {gradient.line}. " if gradient is not None else ""
        click.echo(f"{what}Stuck? backhand practice hint {exercise.name}")
    _note(problem)
    return result.passed


def _write(exercise: Exercise, path: Path, anew: bool = False) -> None:
    """Write an exercise's worksheet and note that it is under way."""
    from dataclasses import replace

    from ..practice.progress import Record, update
    from ..practice.sheet import exercise_worksheet

    write_file(str(path), exercise_worksheet(exercise), False)
    place = str(path.resolve())
    _, problem = update(
        lambda p: p.put(
            exercise.name,
            Record(file=place) if anew else replace(p.record(exercise.name), file=place),
        )
    )
    _note(problem)


def _blanks(exercise: Exercise) -> str:
    return _count(len(exercise.wanted))


def _count(n: int) -> str:
    return f"{n} blank{'s' if n != 1 else ''}"


def _first_open(progress: Progress, after: str = "") -> Exercise:
    """The first exercise that is not passed, from the one after ``after`` on."""
    from ..practice import curriculum

    order = curriculum.ORDER
    begin = order.index(after) + 1 if after in order else 0
    for name in (*order[begin:], *order[:begin]):
        if not progress.record(name).passed and name != after:
            return curriculum.exercise(name)
    raise InputError(
        "every exercise is passed: backhand practice new FILE.py:forward makes a worksheet of a "
        "forward pass of yours"
    )


def _next_step(progress: Progress, after: str = "") -> str:
    try:
        exercise = _first_open(progress, after)
    except InputError as error:
        return f"Next: {error}"
    command = "check" if progress.record(exercise.name).file else "start"
    return f"Next: backhand practice {command} {exercise.name}"


def _free_name(path: Path) -> Path:
    """A name beside a file that nothing has yet."""
    i = 1
    while os.path.lexists(path.with_stem(f"{path.stem}_{i}")):
        i += 1
    return path.with_stem(f"{path.stem}_{i}")


def _paragraph(text: str) -> None:
    """Text set in; what is code keeps its lines."""
    for line in text.splitlines():
        spaces = " " * (2 + len(line) - len(line.lstrip()))
        for part in textwrap.wrap(line.strip(), 88, break_long_words=False) or [""]:
            click.echo(f"{spaces}{part}".rstrip())


def _note(problem: str) -> None:
    """Something to know that stops nothing."""
    if problem:
        click.echo(clean(f"backhand: {problem}"), err=True)
        sys.stderr.flush()
