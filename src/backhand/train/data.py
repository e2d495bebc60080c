"""Names in, training examples out.

The names that ship with backhand (`names.txt`) are the most common given names of girls and of
boys, taken in turn, in the public-domain statistics of the US Social Security Administration for
2018.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from backhand.errors import InputError

END = "."
LONGEST = 100
FEWEST = 20
MOST_BYTES = 64 << 20
SPLIT_SEED = 42
SHIPPED = "shipped with backhand"

Examples = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Names:
    """Names in file order, and the letters they are made of, END first."""

    source: str
    names: tuple[str, ...]
    letters: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Identifies the names whatever the file's line ends, case and blank lines were."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Splits:
    """Training, dev and test examples: contexts [n, block] and next letters [n]."""

    train: Examples
    dev: Examples
    test: Examples


def shown(text: str) -> str:
    """Text that is safe on a terminal: whatever is not printable is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def read_bytes(path: str) -> bytes:
    """The contents of a names file, of which there can be 64 MiB."""
    where = shown(path)
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"there is no names file {where}") from None
    except IsADirectoryError:
        raise InputError(f"{where} is a directory, not a file of names, one a line") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read the names file {where}: {reason}") from None
    if len(content) > MOST_BYTES:
        raise InputError(f"{where} is larger than 64 MiB: a file of names, one a line, is wanted")
    return content


def decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{where}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8"
        ) from None


def check_name(name: str, where: str, line: int) -> None:
    """Refuse a name that holds anything but letters, accents, hyphens and apostrophes."""
    for character in name:
        category = unicodedata.category(character)
        if category[0] in "LM" or character in "-'\u2019":
            continue
        if character == END:
            advice = f"{END!r} marks the end of a name inside the network; take it out"
        elif character.isspace():
            advice = "write one name per line, without spaces inside it"
        elif category[0] == "C":
            advice = "take this invisible character out"
        else:
            advice = "write one name per line and nothing else: letters, hyphens, apostrophes"
        title = unicodedata.name(character, "a control character")
        raise InputError(
            f"{where}, line {line}: {ascii(character) if category[0] in 'CZ' else repr(character)} "
            f"(U+{ord(character):04X}, {title.lower()}) cannot be part of a name; {advice}"
        )
    if len(name) > LONGEST:
        raise InputError(
            f"{where}, line {line}: a name of {len(name)} letters is too long; "
            f"at most {LONGEST} are taken, one name per line"
        )


def parse_names(text: str, source: str) -> Names:
    """Read names, one a line: lower-cased, accents composed, blank lines left out."""
    where = shown(source)
    names = []
    for line, raw in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        name = unicodedata.normalize("NFC", raw.strip(" \t").lower())
        if name:
            check_name(name, where, line)
            names.append(name)
    if len(names) < FEWEST:
        raise InputError(
            f"{where} holds {len(names)} names; at least {FEWEST} are needed "
            "to have some for training, some for dev and some for test"
        )
    letters = (END, *sorted(set("".join(names))))
    return Names(source, tuple(names), letters)


def load_names(path: str | None = None) -> Names:
    """Read a file of names, or the names that ship with backhand.

    Raises InputError, with the line number, for anything that cannot be used.
    """
    if path is None:
        text = resources.files("backhand.train").joinpath("names.txt").read_text("utf-8")
        return parse_names(text, SHIPPED)
    return parse_names(decode(read_bytes(path), shown(path)), str(Path(path)))


def examples(names: Sequence[str], letters: Sequence[str], block_size: int) -> Examples:
    """Every position of every name: the letters before it, and the letter there."""
    index = {letter: i for i, letter in enumerate(letters)}
    contexts, targets = [], []
    for name in names:
        context = [0] * block_size
        for letter in (*name, END):
            contexts.append(context)
            targets.append(index[letter])
            context = [*context[1:], index[letter]]
    return torch.tensor(contexts), torch.tensor(targets)


def split(names: Names, block_size: int) -> Splits:
    """Shuffle by the fixed seed and split by name: 80 % training, 10 % dev, 10 % test."""
    shuffled = list(names.names)
    random.Random(SPLIT_SEED).shuffle(shuffled)
    first, second = int(0.8 * len(shuffled)), int(0.9 * len(shuffled))
    parts = (shuffled[:first], shuffled[first:second], shuffled[second:])
    return Splits(*(examples(part, names.letters, block_size) for part in parts))
