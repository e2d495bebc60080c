"""Reading names: what is taken, what is refused and in which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from backhand.errors import InputError
from backhand.train import data

NAMES = [f"{a}{b}a" for a in "bcdfg" for b in "aeiou"]


def written(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    return str(path)


def refused(tmp_path: Path, content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        data.load_names(written(tmp_path, content))
    return str(caught.value)


def test_the_shipped_names_are_many_plain_and_distinct() -> None:
    names = data.load_names()
    assert len(names.names) == len(set(names.names)) == 1546
    assert names.letters == (".", *"abcdefghijklmnopqrstuvwxyz")
    assert names.names[:4] == ("emma", "liam", "olivia", "noah")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", "  \n", "\r\n \t\r\n"])
def test_line_ends_blank_lines_and_case_do_not_matter(tmp_path: Path, end: str) -> None:
    plain = data.load_names(written(tmp_path, "\n".join(NAMES).encode()))
    text = end.join(name.title() for name in NAMES)
    other = data.load_names(written(tmp_path, b"\xef\xbb\xbf" + text.encode() + b"\n"))
    assert plain.names == other.names == tuple(NAMES)
    assert plain.sha256 == other.sha256


def test_other_names_have_another_hash(tmp_path: Path) -> None:
    first = data.load_names(written(tmp_path, "\n".join(NAMES).encode()))
    second = data.load_names(written(tmp_path, "\n".join(reversed(NAMES)).encode()))
    assert first.sha256 != second.sha256


def test_accents_hyphens_and_apostrophes_join_the_alphabet(tmp_path: Path) -> None:
    odd = ["Zoë", "Zoe\u0308", "ÅSA", "anne-marie", "o'brien", "d\u2019arcy", "李", "İpek"]
    names = data.load_names(written(tmp_path, "\n".join(NAMES + odd).encode()))
    assert names.names[25:27] == ("zoë", "zoë")
    assert {"ë", "å", "-", "'", "\u2019", "李"} <= set(names.letters)
    splits = data.split(names, 3)
    highest = max(int(part[0].max()) for part in (splits.train, splits.dev, splits.test))
    assert highest < len(names.letters)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"em\x00ma", r"line 27: '\x00' (U+0000, a control character) cannot be part of a name"),
        (b"em\x1bma", r"line 27: '\x1b' (U+001B"),
        (b"mary ann", "line 27: ' ' (U+0020, space) cannot be part of a name; write one name per"),
        (b"mary\tann", r"line 27: '\t' (U+0009"),
        (b"em\x0bma", r"line 27: '\x0b'"),
        ("em\u2028ma".encode(), r"line 27: '\u2028' (U+2028, line separator)"),
        ("em\u200bma".encode(), r"line 27: '\u200b' (U+200B, zero width space)"),
        (b"j.r", "line 27: '.' (U+002E, full stop) cannot be part of a name; '.' marks the end"),
        (b"emma,f,1234", "line 27: ',' (U+002C, comma) cannot be part of a name; write one name"),
        (b"emma2", "line 27: '2' (U+0032, digit two)"),
        ("em😀ma".encode(), "line 27: '😀' (U+1F600, grinning face)"),
        (b"a" * 101, "line 27: a name of 101 letters is too long; at most 100"),
        (b"em\xffma", "line 27: byte 0xff is not UTF-8; save the file as UTF-8"),
    ],
)
def test_what_is_no_name_is_refused_with_its_line(tmp_path: Path, line: bytes, words: str) -> None:
    content = "\n".join(NAMES).encode() + b"\n\n" + line + b"\nlast\n"
    message = refused(tmp_path, content)
    assert f"names.txt, {words}" in message
    assert "\x1b" not in message and "\x00" not in message


def test_the_longest_name_is_taken(tmp_path: Path) -> None:
    content = "\n".join([*NAMES, "a" * 100]).encode()
    assert len(data.load_names(written(tmp_path, content)).names[-1]) == 100


@pytest.mark.parametrize("content", [b"", b"\n\n\r\n", "\n".join(NAMES[:19]).encode()])
def test_too_few_names_are_refused(tmp_path: Path, content: bytes) -> None:
    count = len(content.split())
    assert f"holds {count} names; at least 20 are needed" in refused(tmp_path, content)


def test_twenty_names_are_enough_for_every_split(tmp_path: Path) -> None:
    splits = data.split(data.load_names(written(tmp_path, "\n".join(NAMES[:20]).encode())), 3)
    assert [len(part[1]) // 4 for part in (splits.train, splits.dev, splits.test)] == [16, 2, 2]


def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, words in (
        (tmp_path / "none.txt", "there is no names file"),
        (tmp_path, "is a directory, not a file of names"),
        (tmp_path / "a\0b", "cannot read the names file"),
        (tmp_path / ("a" * 300), "cannot read the names file"),
    ):
        with pytest.raises(InputError, match=words):
            data.load_names(str(path))
    with pytest.raises(InputError) as caught:
        data.load_names(str(tmp_path / "\x1b[31mred"))
    assert "\\x1b[31mred" in str(caught.value)
    path = written(tmp_path, "\n".join(NAMES).encode())
    monkeypatch.setattr(data, "MOST_BYTES", 10)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        data.load_names(path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a file it may not read")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b"emma")
    os.chmod(path, 0)
    with pytest.raises(InputError, match="Permission denied"):
        data.load_names(path)


def test_examples_are_every_position_of_every_name() -> None:
    X, Y = data.examples(["ab", "b"], (".", "a", "b"), block_size=3)
    assert X.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 0, 0], [0, 0, 2]]
    assert Y.tolist() == [1, 2, 0, 2, 0]
    assert X.dtype == Y.dtype == torch.int64


def test_a_context_longer_than_the_names_starts_with_ends() -> None:
    X, _ = data.examples(["ab"], (".", "a", "b"), block_size=5)
    assert X.tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 2]]


def test_names_are_split_whole_and_always_alike() -> None:
    names = data.load_names()
    splits = data.split(names, 3)
    # The targets of a split spell its names out, one after the other.
    spelt = ["".join(names.letters[i] for i in part[1].tolist()) for part in
             (splits.train, splits.dev, splits.test)]  # fmt: skip
    groups = [text.split(".")[:-1] for text in spelt]
    assert sorted(name for group in groups for name in group) == sorted(names.names)
    assert [len(group) for group in groups] == [1236, 155, 155]
    assert groups[0] != list(names.names[:1236])
    again = data.split(names, 3)
    assert torch.equal(again.train[0], splits.train[0])
