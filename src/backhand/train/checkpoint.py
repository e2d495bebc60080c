"""Checkpoints that survive a kill at any instant and notice any flipped bit.

A checkpoint is two files: `checkpoint-N.safetensors`, and `checkpoint-N.json`, which holds the
SHA-256 of the former and of itself. Each is written to a temporary file in the same directory,
synced and renamed, the JSON last: a checkpoint exists once its JSON does. The last two are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from backhand.errors import BackhandError, InputError
from backhand.files import replace_file
from backhand.train.data import shown

FORMAT = 1
KEPT = 2
LOCK = ".backhand.lock"
NAMED = re.compile(r"checkpoint-(\d{10})\.(?:json|safetensors)")


class DamagedError(BackhandError):
    """One checkpoint that does not hold what was written."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a run needs to go on: `facts` is plain JSON, `tensors` are on the CPU."""

    step: int
    facts: dict[str, Any]
    tensors: dict[str, Tensor]


def stem(step: int) -> str:
    return f"checkpoint-{step:010d}"


def canonical(facts: dict[str, Any]) -> bytes:
    """The one spelling of some facts, their own hash included."""
    body = json.dumps(facts, sort_keys=True, indent=1)
    sealed = {"facts": facts, "sha256": hashlib.sha256(body.encode()).hexdigest()}
    return (json.dumps(sealed, sort_keys=True, indent=1) + "\n").encode()


def write(path: Path, content: bytes) -> None:
    """Write a file of a run, whole or not at all."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise BackhandError(
            f"cannot write {shown(str(path))}: {error.strerror or error}; "
            "make room or choose another directory with --out"
        ) from error


def steps_in(directory: Path, suffix: str = "json") -> list[int]:
    """The steps of which there is a file, newest first."""
    found = set()
    with suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(directory):
            match = NAMED.fullmatch(name)
            if match and name.endswith(suffix):
                found.add(int(match[1]))
    return sorted(found, reverse=True)


def save(directory: Path, snapshot: Snapshot) -> None:
    """Write a checkpoint, then remove all but it and the newest one before it."""
    blob = safetensors.torch.save(snapshot.tensors)
    facts = {
        **snapshot.facts,
        "format": FORMAT,
        "step": snapshot.step,
        "tensors": hashlib.sha256(blob).hexdigest(),
    }
    name = stem(snapshot.step)
    write(directory / f"{name}.safetensors", blob)
    write(directory / f"{name}.json", canonical(facts))
    # Later steps are left over from a checkpoint that could not be read: they would be misread.
    earlier = [step for step in steps_in(directory) if step < snapshot.step]
    remove(directory, keep={snapshot.step, *earlier[: KEPT - 1]})


def remove(directory: Path, keep: set[int]) -> None:
    """Remove the checkpoints whose step is not in `keep`, the JSON of each first."""
    for suffix in ("json", "safetensors"):
        for step in steps_in(directory, suffix):
            if step not in keep:
                with suppress(OSError):
                    (directory / f"{stem(step)}.{suffix}").unlink()


def read(directory: Path, step: int) -> Snapshot:
    """Read one checkpoint; raises DamagedError if it is not, bit for bit, what was written."""
    name = stem(step)
    try:
        sealed = (directory / f"{name}.json").read_bytes()
        blob = (directory / f"{name}.safetensors").read_bytes()
    except OSError as error:
        raise DamagedError(f"{name}: {error.strerror or error}") from error
    try:
        facts = json.loads(sealed)["facts"]
        intact = canonical(facts) == sealed
    except (ValueError, KeyError, TypeError, RecursionError):
        intact = False
    if not intact or not isinstance(facts, dict):
        raise DamagedError(f"{name}.json is damaged: its SHA-256 does not match")
    if facts.get("format") != FORMAT:
        raise InputError(f"{name} was written by another version of backhand (format differs)")
    if hashlib.sha256(blob).hexdigest() != facts["tensors"] or facts["step"] != step:
        raise DamagedError(f"{name}.safetensors is damaged: its SHA-256 does not match")
    return Snapshot(step, facts, safetensors.torch.load(blob))


def load(directory: Path) -> tuple[Snapshot, list[str]]:
    """The newest checkpoint that is whole, and a notice for each newer one that is not."""
    steps = steps_in(directory)
    if not steps:
        raise InputError(f"there is no checkpoint in {shown(str(directory))} to go on from")
    damages: list[str] = []
    for step in steps:
        try:
            snapshot = read(directory, step)
        except DamagedError as error:
            damages.append(str(error))
        else:
            return snapshot, [f"{damage}; going on from step {step}" for damage in damages]
    raise BackhandError(
        f"no checkpoint in {shown(str(directory))} can be used: {'; '.join(damages)}; "
        "start over with --force"
    )


def open_lock(directory: Path) -> int:
    """Make the directory if need be, and open the file in it that stands for the lock."""
    where = shown(str(directory))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except FileExistsError:
        raise InputError(f"{where} is a file; --out wants a directory") from None
    except NotADirectoryError:
        raise InputError(f"a part of the path {where} is a file, not a directory") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"cannot write in {where}: {reason}; choose another directory with --out"
        ) from None


@contextmanager
def opened(directory: Path) -> Iterator[None]:
    """Hold a directory, so that two runs cannot share it, and clear what a kill left in it."""
    handle = open_lock(directory)
    try:
        try:
            import fcntl
        except ImportError:  # no such lock outside POSIX: two runs at once are the user's care
            pass
        else:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                where = shown(str(directory))
                raise InputError(f"another training run is using {where}") from None
            except OSError:  # a file system without locks
                pass
        for leftover in directory.glob(".*.tmp"):
            if NAMED.match(leftover.name[1:]):
                with suppress(OSError):
                    leftover.unlink()
        yield
    finally:
        os.close(handle)
