"""``backhand check --watch``: files saved as editors save them, while it runs."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Run
from .test_check import MODULE, WRONG

WAITING = re.compile(r"── \d\d:\d\d:\d\d, (\d+\.\d) s; waiting for mine\.py to be saved ──")


class Watching:
    """A running ``backhand check mine.py --watch``: its lines as they come."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "backhand", "check", "mine.py", "--watch", *options]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)

    def until_waiting(self) -> tuple[str, float]:
        """What is printed until the next turn ends, and the seconds that the turn took."""
        said = ""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                line = self.lines.get(timeout=1)
            except queue.Empty:
                if self.process.poll() is not None:
                    break
                continue
            done = WAITING.search(line)
            if done:
                return said, float(done[1])
            said += line
        raise AssertionError(f"it does not wait: {said}")

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def start(*options: str) -> Watching:
        started.append(Watching(tmp_path, *options))
        return started[-1]

    yield start
    for watching in started:
        watching.process.kill()
        watching.process.wait()
        watching.reader.join(timeout=10)
        assert watching.process.stdout is not None
        watching.process.stdout.close()


def save(folder: Path, text: str) -> None:
    (folder / "mine.py").write_text(text, encoding="utf-8")


def save_by_renaming(folder: Path, text: str) -> None:
    (folder / ".mine.py.swp").write_text(text, encoding="utf-8")
    os.replace(folder / ".mine.py.swp", folder / "mine.py")


def test_it_reviews_after_every_kind_of_save(
    watch: Callable[..., Watching], tmp_path: Path
) -> None:
    save(tmp_path, WRONG)
    watching = watch()
    said, _ = watching.until_waiting()
    assert "1 wrong: dw" in said

    save(tmp_path, MODULE)
    said, _ = watching.until_waiting()
    assert "3 exact" in said and "wrong" not in said

    save_by_renaming(tmp_path, WRONG)
    assert "1 wrong: dw" in watching.until_waiting()[0]

    # half a line is no reason to stop
    save(tmp_path, MODULE.replace("dw = x.T @ dy", "dw = x.T @ ("))
    said, _ = watching.until_waiting()
    assert said.startswith("backhand: mine.py, line 13") and said.count("\n") <= 2

    (tmp_path / "mine.py").unlink()
    assert "there is no file mine.py" in watching.until_waiting()[0]
    save(tmp_path, MODULE)
    assert "3 exact" in watching.until_waiting()[0]

    # with everything loaded a review is a matter of less than a second
    times = []
    for i in range(4):
        save(tmp_path, f"# {i}\n{MODULE}")
        times.append(watching.until_waiting()[1])
    assert min(times) < 1.0, times
    assert watching.interrupt() == 0


def test_a_loop_is_given_up_when_the_file_is_mended(
    watch: Callable[..., Watching], tmp_path: Path
) -> None:
    save(tmp_path, MODULE + "open('started', 'w').close()\nwhile True: pass\n")
    watching = watch("--timeout", "600")
    for _ in range(1200):
        if (tmp_path / "started").exists():
            break
        time.sleep(0.05)
    save(tmp_path, WRONG)
    said, _ = watching.until_waiting()
    assert "1 wrong: dw" in said
    assert watching.interrupt() == 1


def test_what_is_no_file_is_refused_at_once(backhand: Run) -> None:
    for name, said in (("absent.py", "there is no file"), (".", "is a directory")):
        ended = backhand("check", name, "--watch")
        assert ended.status == 2 and said in ended.err and "Traceback" not in ended.err
