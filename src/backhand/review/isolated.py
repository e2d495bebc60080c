"""Running a review where the reviewed code can harm nothing but itself: in a child process.

The child is a fork of this process, with torch loaded. It sends what backhand found over a pipe;
what the reviewed code prints goes another way, and if it exits, loops or crashes, this process
lives on to say so. It is no sandbox: the code runs with the user's rights.

A child may be started before it is needed, and prepare itself until then.
"""

from __future__ import annotations

import faulthandler
import fcntl
import io
import json
import os
import re
import secrets
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from ..errors import BackhandError, InputError, InternalError, ProgramError, out_of_memory
from .intact import Intact

TIMEOUT = 60.0
# What the reviewed code prints is shown up to here; a flood of it says no more.
SHOWN = 4_000
_POLL = 0.05
_KILLED_GRACE = 0.5
_READY = b'"ready"'
_UNSENT = 117  # the child's exit status where it could send no result


class Abandoned(BackhandError):
    """The review was given up: its file has changed meanwhile."""


class Outdated(BackhandError):
    """What a child has prepared is of no use for the work, as it stands now."""


@dataclass(frozen=True)
class Answer:
    """What came back: the work's result, and what the reviewed code printed."""

    result: Mapping[str, Any]
    printed: str


def in_child(
    work: Callable[[Intact], Mapping[str, Any]],
    shown: str,
    timeout: float = TIMEOUT,
    abandoned: Callable[[], bool] | None = None,
    prepared: Child | None = None,
) -> Answer:
    """Do ``work`` in a child process and bring its result (plain data) back.

    ``shown`` names the reviewed code in messages. ``prepared`` is a child for the same work that
    was started before; if it is not ready, or raises ``Outdated``, another takes its place. Raises
    ``InputError`` if the code exits, crashes or takes longer than ``timeout`` seconds,
    ``Abandoned`` if ``abandoned()`` becomes true, and whatever ``BackhandError`` the work raised.
    """
    if prepared is not None:
        try:
            if prepared.begin():
                return prepared.answer(shown, timeout, abandoned)
        except Outdated:
            pass
        finally:
            prepared.end()
    if not can_fork():
        return Answer(work(Intact()), "")  # without a time limit, then
    child = Child(work)
    try:
        return child.answer(shown, timeout, abandoned)
    finally:
        child.end()


def can_fork() -> bool:
    """Whether there can be a child: a fork cannot use a device that its parent has opened."""
    return hasattr(os, "fork") and not _device_is_open()


def _device_is_open() -> bool:
    started: Callable[[], bool] = torch.cuda.is_initialized
    return started()


class Child:
    """A process that does ``work`` at once, or ``prepare`` at once and the work on ``begin()``.

    What goes wrong in ``prepare`` is nothing to tell: the work will meet it again. What it prints
    is lost, and it has ``patience`` seconds.
    """

    def __init__(
        self,
        work: Callable[[Intact], Mapping[str, Any]],
        prepare: Callable[[Intact], None] | None = None,
        patience: float = TIMEOUT,
    ) -> None:
        # the result is marked with something that only the two of us know
        self.token = secrets.token_bytes(16)
        self.result, result = os.pipe()
        self.output, output = os.pipe()
        self.traces, traces = os.pipe()
        going, self.go = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        with warnings.catch_warnings(), _uninterrupted():
            # Python and JAX warn of forks where there are threads, as in notebooks: the child uses
            # none of theirs, and if the reviewed code does, there is the time limit
            for warning in (DeprecationWarning, RuntimeWarning):
                warnings.simplefilter("ignore", warning)
            self.pid = os.fork()
        if self.pid == 0:
            for end in (self.result, self.output, self.traces, self.go):
                os.close(end)
            ahead = None if prepare is None else _Ahead(prepare, going, patience)
            _live(work, self.token, result, output, traces, ahead)
        for end in (result, output, traces, going):
            os.close(end)
        self.status: int | None = None
        self.received = bytearray()
        self.printed = bytearray()

    def begin(self) -> bool:
        """Let a child that prepares itself begin its work; ``False`` if it is not ready."""
        ready, _, _ = select.select([self.result], [], [], 0)
        if ready:
            self.received += os.read(self.result, 1 << 16)
        if self._message() != _READY or self._ended():
            return False
        self.received.clear()
        try:
            os.write(self.go, b"!")
        except BrokenPipeError:
            return False
        return True

    def answer(self, shown: str, timeout: float, abandoned: Callable[[], bool] | None) -> Answer:
        deadline = time.monotonic() + timeout
        open_ends = {self.result, self.output}
        while True:
            ready, _, _ = select.select(list(open_ends), [], [], _POLL)
            for end in ready:
                data = os.read(end, 1 << 16)
                if not data:
                    open_ends.discard(end)
                elif end == self.result:
                    self.received += data
                elif len(self.printed) <= SHOWN:
                    self.printed += data
            found = self._message()
            if found is not None:
                return Answer(_result(found), self._shown())
            if abandoned is not None and abandoned():
                raise Abandoned("the file has changed")
            if self._ended() and not ready:
                raise InputError(f"{shown} {_how(self.status)}{self._last_words(shown)}")
            if time.monotonic() > deadline:
                raise InputError(_too_long(shown, timeout, self._where(shown)))

    def _message(self) -> bytes | None:
        head = len(self.token) + 8
        start = self.received.find(self.token)
        if start < 0 or len(self.received) < start + head:
            return None
        size = int.from_bytes(self.received[start + head - 8 : start + head], "big")
        body = self.received[start + head : start + head + size]
        return bytes(body) if len(body) == size else None

    def _ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status is not None

    def _shown(self) -> str:
        text = bytes(self.printed[:SHOWN]).decode("utf-8", "replace")
        if len(self.printed) > SHOWN:
            text += "\n… (the rest of what it prints is left out)\n"
        return text

    def _last_words(self, shown: str) -> str:
        lines = [line for line in self._shown().splitlines() if line.strip()]
        said = f"\n  it printed last: {lines[-1][:200]}" if lines else ""
        where = self._where(shown) if os.WIFSIGNALED(self.status or 0) else ""
        return said + (f"\n  it was at {where}" if where else "")

    def _where(self, shown: str) -> str:
        """The reviewed code's line that is running: the child tells before it is stopped."""
        if self.status is None:
            os.kill(self.pid, signal.SIGUSR1)
        text, deadline = "", time.monotonic() + _KILLED_GRACE
        while time.monotonic() < deadline and "\n\n" not in text:
            ready, _, _ = select.select([self.traces], [], [], _POLL)
            if ready:
                data = os.read(self.traces, 1 << 16)
                if not data:
                    break
                text += data.decode("utf-8", "replace")
            elif text:
                break
        name = os.path.basename(shown)
        for file, line in re.findall(r'File "(.*?)", line (\d+)', text):
            head, _, cell = os.path.basename(file).partition(", ")
            if head == name:
                return f"{shown}{', ' + cell if cell else ''}:{line}"
        return ""

    def end(self) -> None:
        """Stop the child and whatever it started, and close the pipes."""
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)
        if self.status is None:
            with suppress(ChildProcessError):
                _, self.status = os.waitpid(self.pid, 0)
        for end in (self.result, self.output, self.traces, self.go):
            os.close(end)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off: Python swallows what is raised in the functions that it calls at a fork."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class _Ahead:
    """What a child does before it is told, over the descriptor ``going``, to begin."""

    prepare: Callable[[Intact], None]
    going: int
    patience: float


def _live(
    work: Callable[[Intact], Mapping[str, Any]],
    token: bytes,
    result: int,
    output: int,
    traces: int,
    ahead: _Ahead | None,
) -> NoReturn:
    """The child's whole life; whatever happens, it never returns to the parent's code."""
    # the reviewed code may replace these
    leave, write, read = os._exit, os.write, os.read

    def send(body: bytes) -> None:
        message = memoryview(token + len(body).to_bytes(8, "big") + body)
        while message:
            message = message[write(high, message) :]

    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # out of the way of code that closes or writes to descriptors by number
        high = fcntl.fcntl(result, fcntl.F_DUPFD, 200 + secrets.randbelow(500))
        os.close(result)
        keep = fcntl.fcntl(output, fcntl.F_DUPFD, 200 + secrets.randbelow(500))
        os.close(output)
        _redirect(None if ahead else keep)
        faulthandler.enable(file=traces, all_threads=False)
        faulthandler.register(signal.SIGUSR1, file=traces, all_threads=False)
        # other threads did not come along: kernels that would wait for them must not
        torch.set_num_threads(1)
        intact = Intact()
        encode = json.JSONEncoder().encode
        if ahead is not None:
            signal.setitimer(signal.ITIMER_REAL, ahead.patience)
            with suppress(BaseException):
                ahead.prepare(intact)
            intact.restore()
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(_READY)
            if not read(ahead.going, 1):
                leave(0)  # nobody is there any more
            _redirect(keep)
        try:
            found: dict[str, Any] = {"done": dict(work(intact))}
        except BaseException as error:
            intact.restore()
            found = _failure(error)
        else:
            intact.restore()
        send(encode(found).encode())
        leave(0)
    finally:
        leave(_UNSENT)


def _redirect(output: int | None) -> None:
    """Standard input is empty, and what is printed goes to ``output``, or nowhere."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    for number in (1, 2):
        os.dup2(nothing if output is None else output, number)
    os.close(nothing)
    # the parent's streams may belong to a notebook: they would speak in its name
    sys.stdin = _text(0, "r")
    sys.stdout, sys.stderr = _text(1, "w"), _text(2, "w")
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)


def _text(number: int, mode: str) -> io.TextIOWrapper:
    raw = io.FileIO(number, mode, closefd=False)
    buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="replace", line_buffering=True)


def _failure(error: BaseException) -> dict[str, Any]:
    said = "".join(traceback.format_exception(error))
    if isinstance(error, Outdated):
        return {"outdated": str(error)}
    if isinstance(error, BackhandError):
        kind = "program" if isinstance(error, ProgramError) else "refused"
        return {kind: str(error), "traceback": said}
    if isinstance(error, SystemExit):
        return {"refused": f"the reviewed code ended the program (exit {error.code})"}
    if isinstance(error, Exception) and out_of_memory(error):
        return {"refused": "there is not enough memory: try smaller sizes", "traceback": said}
    if isinstance(error, RecursionError):
        return {"refused": "the reviewed code calls itself without end", "traceback": said}
    return {"refused": str(InternalError("the review", error)), "traceback": said}


def _result(body: bytes) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(body)
    if "done" in found:
        done: dict[str, Any] = found["done"]
        return done
    if "outdated" in found:
        raise Outdated(str(found["outdated"]))
    kind = ProgramError if "program" in found else InputError
    error = kind(str(found.get("program", found.get("refused"))))
    if "traceback" in found:
        error.add_note(str(found["traceback"]))  # what --debug shows
    raise error


def _how(status: int | None) -> str:
    """How a process ended that sent no result."""
    status = status or 0
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.strsignal(number) or str(number)
        why = ": perhaps it took more memory than there is" if number == signal.SIGKILL else ""
        return f"was stopped by a signal before the review was done ({name}){why}"
    code = os.WEXITSTATUS(status)
    if code == _UNSENT:
        return "closed or replaced what the review works with: no result came back"
    return f"ended the whole process before the review was done (exit status {code})"


def _too_long(shown: str, timeout: float, where: str) -> str:
    at = f"\n  it was at {where}" if where else ""
    return (
        f"{shown} was not done after {timeout:g} seconds: a loop that does not end, or more work "
        f"than that{at}\n  give it more time with --timeout, or smaller inputs"
    )
