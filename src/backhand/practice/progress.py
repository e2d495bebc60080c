"""What a person has done so far, kept in one small file.

A file that cannot be read is left exactly as it is, and one that cannot be written stops nothing:
the work goes on, and one sentence says that progress is not kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..files import replace_file

VERSION = 1
# Names a folder to keep progress in, instead of the usual one.
VARIABLE = "BACKHAND_STATE_HOME"
FILE = "practice.json"


@dataclass(frozen=True)
class Record:
    """One exercise: its worksheet, whether it passed, and how many hints were given to whom."""

    file: str = ""
    passed: bool = False
    hints: tuple[tuple[str, int], ...] = ()
    shown: bool = False  # the solution was looked at before passing

    def level(self, gradient: str) -> int:
        return dict(self.hints).get(gradient, 0)

    def hinted(self, gradient: str, level: int) -> Record:
        return replace(self, hints=tuple({**dict(self.hints), gradient: level}.items()))


@dataclass(frozen=True)
class Progress:
    """All records, and the exercise worked on last. ``rest`` is what a newer version put there."""

    current: str = ""
    records: tuple[tuple[str, Record], ...] = ()
    rest: tuple[tuple[str, Any], ...] = field(default=(), compare=False)

    def record(self, name: str) -> Record:
        return dict(self.records).get(name, Record())

    def put(self, name: str, record: Record, current: bool = True) -> Progress:
        records = tuple({**dict(self.records), name: record}.items())
        return replace(self, records=records, current=name if current else self.current)


class Unreadable(Exception):
    """The file is there and holds no progress."""


def state_file() -> Path:
    """Where progress is kept: ``$BACKHAND_STATE_HOME``, else the user's folder for such files."""
    own = os.environ.get(VARIABLE)
    if own:
        return Path(own) / FILE
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: relative paths are to be ignored
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base) / "backhand" / FILE


def load() -> tuple[Progress, str]:
    """The progress so far, and what is wrong with the file (nothing: an empty text)."""
    path = state_file()
    try:
        return _read(path), ""
    except Unreadable as error:
        return Progress(), (
            f"{path} holds no progress that can be read ({error}): it is left as it is, and "
            "nothing new is kept until you mend it or move it away"
        )
    except OSError as error:
        return Progress(), f"{path} cannot be read ({_said(error)}): progress is not kept"


def update(change: Callable[[Progress], Progress]) -> tuple[Progress, str]:
    """Change the progress on disk; gives the new one, and what went wrong, as ``load`` does.

    It is read anew under a lock, so that two commands at a time lose nothing.
    """
    path = state_file()
    before, problem = load()
    if problem:
        return change(before), problem
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            before = _read(path)
            after = change(before)
            if after != before:
                _write(path, _as_json(after))
            return after, ""
    except Unreadable:
        return change(before), load()[1]
    except OSError as error:
        return change(before), f"{path} cannot be written ({_said(error)}): progress is not kept"


def _said(error: OSError) -> str:
    return error.strerror or str(error)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # no such locks on this system: the last of two writers wins
        yield
        return
    with open(path.with_suffix(".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, text: str) -> None:
    path = path.resolve()  # through a link, what it points to is written
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(13, "it is read-only")
    replace_file(path, text.encode())


def _read(path: Path) -> Progress:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Progress()
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None
    if not isinstance(data, dict) or type(data.get("version")) is not int:
        raise Unreadable("it is something else")
    if data["version"] > VERSION:
        raise Unreadable("a newer version of backhand wrote it")
    exercises, current = data.get("exercises", {}), data.get("current", "")
    if not isinstance(exercises, dict) or not isinstance(current, str):
        raise Unreadable("it is damaged")
    rest = {k: v for k, v in data.items() if k not in ("version", "exercises", "current")}
    records = tuple((name, _record(entry)) for name, entry in exercises.items())
    return Progress(current, records, tuple(rest.items()))


def _record(entry: Any) -> Record:
    if not isinstance(entry, dict):
        raise Unreadable("it is damaged")
    hints = entry.get("hints", {})
    made = Record(
        entry.get("file", ""),
        entry.get("passed", False),
        tuple(hints.items()) if isinstance(hints, dict) else (),
        entry.get("shown", False),
    )
    right = (
        isinstance(made.file, str)
        and isinstance(made.passed, bool)
        and isinstance(made.shown, bool)
        and isinstance(hints, dict)
        and all(type(level) is int and 0 <= level <= 4 for level in hints.values())
    )
    if not right:
        raise Unreadable("it is damaged")
    return made


def _as_json(progress: Progress) -> str:
    exercises = {
        name: {
            "file": record.file,
            "passed": record.passed,
            "hints": dict(record.hints),
            "shown": record.shown,
        }
        for name, record in progress.records
    }
    data = {
        **dict(progress.rest),
        "version": VERSION,
        "current": progress.current,
        "exercises": exercises,
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
