"""Checkpoints: written whole or not at all, and damage noticed whatever it is."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch

from backhand.errors import BackhandError, InputError
from backhand.train import checkpoint
from backhand.train.checkpoint import Snapshot


def snapshot(step: int) -> Snapshot:
    generator = torch.Generator().manual_seed(step)
    tensors = {
        "C": torch.randn(5, 3, generator=generator),
        "generator": generator.get_state(),
        "losses": torch.randn(step, generator=generator),
    }
    return Snapshot(step, {"config": {"rate": 0.1, "hidden": 16}, "data": "naïve.txt"}, tensors)


def same(a: Snapshot, b: Snapshot) -> bool:
    return (
        a.step == b.step
        and a.tensors.keys() == b.tensors.keys()
        and all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)
        and a.facts["config"] == b.facts["config"]
    )


def files(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, snapshot(7))
    loaded, notices = checkpoint.load(tmp_path)
    assert same(loaded, snapshot(7)) and notices == []
    assert loaded.facts["data"] == "naïve.txt"


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (0, 5, 10, 15):
        checkpoint.save(tmp_path, snapshot(step))
    assert files(tmp_path) == [
        "checkpoint-0000000010.json",
        "checkpoint-0000000010.safetensors",
        "checkpoint-0000000015.json",
        "checkpoint-0000000015.safetensors",
    ]
    assert same(checkpoint.load(tmp_path)[0], snapshot(15))
    assert same(checkpoint.read(tmp_path, 10), snapshot(10))


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, snapshot(7))
    stem = tmp_path / checkpoint.stem(7)
    unnoticed = []
    for suffix, chosen in (("json", None), ("safetensors", 500)):
        path = stem.with_suffix(f".{suffix}")
        content = path.read_bytes()
        bits: range | list[int] = range(8 * len(content))
        if chosen is not None:
            bits = random.Random(1).sample(bits, chosen)
        for bit in bits:
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            try:
                checkpoint.read(tmp_path, 7)
            except checkpoint.DamagedError:
                continue
            unnoticed.append((suffix, bit))
        path.write_bytes(content)
    assert unnoticed == []
    assert same(checkpoint.read(tmp_path, 7), snapshot(7))


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize("damage", ["cut", "empty", "longer", "missing", "directory"])
def test_a_damaged_newest_falls_back_to_the_one_before(
    tmp_path: Path, suffix: str, damage: str
) -> None:
    for step in (5, 10):
        checkpoint.save(tmp_path, snapshot(step))
    path = tmp_path / f"{checkpoint.stem(10)}.{suffix}"
    content = path.read_bytes()
    path.unlink()
    if damage == "directory":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"cut": content[:-9], "empty": b"", "longer": content + b"\n"}[damage])
    loaded, notices = checkpoint.load(tmp_path)
    assert same(loaded, snapshot(5))
    if (suffix, damage) == ("json", "missing"):
        assert notices == []  # without its JSON, a checkpoint was never finished
    else:
        assert len(notices) == 1 and notices[0].endswith("; going on from step 5")
        assert "checkpoint-0000000010" in notices[0]


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"facts": 1}', "[" * 100_000, "\ud800"])
def test_any_other_json_is_damage(tmp_path: Path, text: str) -> None:
    checkpoint.save(tmp_path, snapshot(5))
    path = tmp_path / f"{checkpoint.stem(5)}.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(checkpoint.DamagedError, match="is damaged"):
        checkpoint.read(tmp_path, 5)


def test_two_damaged_ones_are_an_error_that_names_both(tmp_path: Path) -> None:
    for step in (5, 10):
        checkpoint.save(tmp_path, snapshot(step))
        (tmp_path / f"{checkpoint.stem(step)}.safetensors").write_bytes(b"no")
    with pytest.raises(BackhandError) as caught:
        checkpoint.load(tmp_path)
    message = str(caught.value)
    assert "checkpoint-0000000005.safetensors is damaged" in message
    assert "checkpoint-0000000010.safetensors is damaged" in message
    assert message.endswith("start over with --force")


def test_a_checkpoint_under_another_name_is_damage(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, snapshot(5))
    for suffix in ("json", "safetensors"):
        old = tmp_path / f"{checkpoint.stem(5)}.{suffix}"
        old.rename(tmp_path / f"{checkpoint.stem(6)}.{suffix}")
    with pytest.raises(BackhandError, match="checkpoint-0000000006"):
        checkpoint.load(tmp_path)


def test_another_format_is_refused_not_misread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    checkpoint.save(tmp_path, snapshot(5))
    monkeypatch.undo()
    with pytest.raises(InputError, match="another version of backhand"):
        checkpoint.load(tmp_path)


def test_nothing_to_load_is_said(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="there is no checkpoint in"):
            checkpoint.load(directory)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_checkpoints_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    for step in (5, 10):
        checkpoint.save(tmp_path, snapshot(step))
    before = files(tmp_path)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(BackhandError, match="No space left on device; make room or choose"):
        checkpoint.save(tmp_path, snapshot(15))
    assert files(tmp_path) == before
    assert same(checkpoint.load(tmp_path)[0], snapshot(10))


def test_every_file_is_synced_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        kind = "directory" if os.path.isdir(f"/proc/self/fd/{handle}") else "file"
        calls.append(f"sync {kind}")
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        calls.append(f"name {target.suffix}")
        assert source.parent == target.parent
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to tell a directory's handle from a file's")
    checkpoint.save(tmp_path, snapshot(5))
    expected = ["sync file", "name {}", "sync directory"]
    assert calls == [s.format(".safetensors") for s in expected] + [
        s.format(".json") for s in expected
    ]


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        checkpoint.opened(tmp_path),
        pytest.raises(InputError, match="another training run is using"),
        checkpoint.opened(tmp_path),
    ):
        pass
    with checkpoint.opened(tmp_path):
        pass


def test_what_a_kill_left_half_written_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    mine = [".checkpoint-0000000005.json.tmp", ".checkpoint-0000000005.safetensors.tmp"]
    theirs = [".notes.tmp", "checkpoint.tmp", ".checkpoint-5.json"]
    for name in mine + theirs:
        (tmp_path / name).write_bytes(b"half")
    with checkpoint.opened(tmp_path):
        assert files(tmp_path) == sorted([*theirs, checkpoint.LOCK])


def test_an_impossible_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")

    def message(path: Path) -> str:
        with pytest.raises(InputError) as caught, checkpoint.opened(path):
            pass
        return str(caught.value)

    assert message(file).endswith("file is a file; --out wants a directory")
    assert "is a file, not a directory" in message(file / "deeper")
    assert "cannot write in" in message(tmp_path / "a\0b")
    assert "cannot write in" in message(tmp_path / ("a" * 300))

    def denied(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert "Permission denied; choose another directory with --out" in message(tmp_path)
