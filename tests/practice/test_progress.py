"""What is kept of a person's work: written whole or not at all, and never lost."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from backhand.practice import progress
from backhand.practice.progress import Progress, Record, load, state_file, update


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKHAND_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def passed(p: Progress) -> Progress:
    return p.put("softmax", Record("/x/softmax.py", True, (("dlogits", 2),)))


def test_where_it_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert state_file() == tmp_path / "state" / "practice.json"
    monkeypatch.delenv("BACKHAND_STATE_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_file() == tmp_path / "backhand" / "practice.json"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # to be ignored, the specification says
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_file() == tmp_path / ".local" / "state" / "backhand" / "practice.json"


def test_what_is_written_is_read_back() -> None:
    assert load() == (Progress(), "")
    after, problem = update(passed)
    assert not problem
    assert load() == (after, "")
    assert after.current == "softmax"
    assert after.record("softmax").level("dlogits") == 2
    assert after.record("softmax").level("dother") == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"version": "1"}',
        '{"version": true}',
        '{"version": 99, "exercises": {}}',
        '{"version": 1, "exercises": []}',
        '{"version": 1, "current": 3}',
        '{"version": 1, "exercises": {"softmax": 1}}',
        '{"version": 1, "exercises": {"softmax": {"passed": "yes"}}}',
        '{"version": 1, "exercises": {"softmax": {"hints": {"dx": 9}}}}',
        '{"version": 1, "exercises": {"softmax": {"hints": {"dx": true}}}}',
        '{"version": 1, "exercises": {"softmax": {"file": ["x"]}}}',
        "\xff\x00",
    ],
)
def test_a_file_that_cannot_be_read_stays_as_it_is(folder: Path, text: str) -> None:
    folder.mkdir()
    path = folder / "practice.json"
    path.write_bytes(text.encode("latin-1"))
    after, problem = update(passed)
    assert after.record("softmax").passed
    assert str(path) in problem and "left as it is" in problem and "\n" not in problem
    assert path.read_bytes() == text.encode("latin-1")
    assert load() == (Progress(), problem)


def test_a_folder_that_cannot_be_written_stops_nothing(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    after, problem = update(passed)
    assert after.record("softmax").passed
    assert "progress is not kept" in problem and "\n" not in problem


def test_a_read_only_file_stays_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update(passed)
    before = (folder / "practice.json").read_bytes()
    # root may write everywhere: what the system says of others is put in its place
    monkeypatch.setattr(os, "access", lambda *_: False)
    _, problem = update(lambda p: p.put("article", Record()))
    assert "read-only" in problem and "progress is not kept" in problem
    assert (folder / "practice.json").read_bytes() == before


def test_a_crash_while_writing_leaves_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(passed)
    before = (folder / "practice.json").read_bytes()

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", crash)
    _, problem = update(lambda p: p.put("article", Record()))
    assert "No space left on device" in problem
    assert (folder / "practice.json").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["practice.json", "practice.lock"]


def test_what_a_later_version_adds_is_kept(folder: Path) -> None:
    folder.mkdir()
    path = folder / "practice.json"
    path.write_text('{"version": 1, "theme": "dark", "exercises": {}}')
    update(passed)
    assert json.loads(path.read_text())["theme"] == "dark"


def test_two_at_a_time_lose_nothing() -> None:
    names = [f"exercise_{i}" for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: update(lambda p: p.put(n, Record(passed=True))), names))
    assert all(load()[0].record(n).passed for n in names)


def test_through_a_link_the_file_itself_is_written(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (tmp_path / "real.json").write_text('{"version": 1}')
    (folder / "practice.json").symlink_to(tmp_path / "real.json")
    update(passed)
    assert (folder / "practice.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["current"] == "softmax"


def test_a_record_is_changed_in_one_place_only() -> None:
    record = Record("/x.py").hinted("dx", 1).hinted("dy", 1).hinted("dx", 2)
    assert record.hints == (("dx", 2), ("dy", 1))
    assert replace(record, passed=True).file == "/x.py"
    assert progress.Progress().put("a", record, current=False).current == ""
