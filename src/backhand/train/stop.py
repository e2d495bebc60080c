"""Ctrl-C and SIGTERM as a request to stop at a good moment."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """The run was asked to stop; what was done is saved, and the message says how to go on."""

    def __init__(self, step: int, steps: int, out: str) -> None:
        self.step, self.steps, self.out = step, steps, out
        super().__init__(f"stopped at step {step:,} of {steps:,}; go on with:\n  {go_on(out)}")


def program() -> str:
    """What to type for ``backhand``: as it was called, if the shell does not find it by name."""
    called = sys.argv[0]
    if Path(called).parts[-2:] == ("backhand", "__main__.py"):
        return f"{shlex.quote(sys.executable)} -m backhand"
    if Path(called).name != "backhand" or shutil.which("backhand"):
        return "backhand"
    return shlex.quote(called)


def go_on(out: str) -> str:
    """The command that goes on with the run in a directory."""
    return f"{program()} train --resume --out {shlex.quote(out)}"


class Stop:
    """While open, a signal sets `asked` if `deferred`, and raises KeyboardInterrupt if not.

    A signal that the process ignores (a job in the background) stays ignored. Outside the main
    thread, where Python takes no signals, this does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self.deferred = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if not self.deferred:
            raise KeyboardInterrupt

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
