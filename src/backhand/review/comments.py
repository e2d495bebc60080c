"""Shape comments, ``# [n, d]``, compared with the shapes that there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch


def false_comment(
    line: str, name: str, gradient: torch.Tensor | None, values: Mapping[str, Any]
) -> tuple[str, str] | None:
    """What a line's shape comment says wrongly, and the line with a true one; else ``None``.

    Sizes in it are numbers or names of sizes; with a name that is no size nothing is claimed.
    """
    found = re.search(r"#\s*[\[(]([^\])]*)[\])]\s*$", line)
    if found is None or gradient is None:
        return None
    parts = [p.strip() for p in found[1].split(",") if p.strip()]
    claimed: list[int | None] = []
    for part in parts:
        if re.fullmatch(r"\d+", part):
            claimed.append(int(part))
        else:
            held = values.get(part)
            claimed.append(held if type(held) is int else None)
    actual = list(gradient.shape)
    known = len(claimed) == len(actual) and all(
        c is None or c == a for c, a in zip(claimed, actual, strict=True)
    )
    if known or (not parts and not actual):
        return None
    said = f"the comment says [{found[1]}], and {name} is {actual}"
    return said, f"{line[: found.start()]}# {actual}".strip()
