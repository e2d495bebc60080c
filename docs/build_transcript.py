"""Writes docs/check-transcript.md: a notebook with five mistakes, reviewed and mended to the end.

    .venv/bin/python -m docs.build_transcript

What the page shows was printed: the reviews and hints by `backhand check` on copies of
`examples/homework.ipynb`, the comparisons by the notebook's own cells.
"""

from __future__ import annotations

import difflib
import io
import json
import re
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from backhand.cli.check import show
from backhand.review.outcome import Outcome, review_file
from backhand.review.sources.cells import code_cells

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "check-transcript.md"
NOTEBOOK = ROOT / "examples" / "homework.ipynb"

HEAD = """# A notebook with five mistakes, mended hint by hint

`examples/homework.ipynb` is the article's network with a backward pass as a learner might hand it
in. Below it is reviewed, and mended one mistake at a time until every gradient has autograd's bits.
A line `…` stands for lines left out; of a later review only what has changed is shown.

Written by `python -m docs.build_transcript`, which runs what it shows; a test holds the page
against it.
"""


@dataclass(frozen=True)
class Hint:
    """A hint that is asked for, and what the learner makes of it."""

    level: int
    thought: str


@dataclass(frozen=True)
class Mend:
    """One mistake: its gradient, the hints asked for, and the edit of the notebook."""

    title: str
    name: str
    hints: tuple[Hint, ...]
    old: str
    new: str
    outcome: str
    compared: str = ""


MENDS = (
    Mend(
        "dhpreact: brackets",
        "dhpreact",
        (
            Hint(
                1,
                "Hint 1 is only the place, and the place is enough. The line was thought as "
                "“one minus h squared, times dh”; Python takes the product first, and subtracts it "
                "from 1.",
            ),
        ),
        "dhpreact = 1.0 - h**2 * dh",
        "dhpreact = (1.0 - h**2) * dh",
        "What inherited from this line alone is right with it. It is `close`, not `exact`: what is "
        "left is rounding, and comes up again at the end. In dbnmeani the use that dbndiff still "
        "lacks sums to nothing, so that this one gradient is right before its upstream is.",
    ),
    Mend(
        "dbnbias: a lost axis",
        "dbnbias",
        (
            Hint(
                2,
                "`bnbias` is one row, `[1, 5]`, and so is its gradient. The numbers were right all "
                "the time, which is why the notebook's own comparison has no complaint: "
                "`dt == t.grad` broadcasts `[5]` against `[1, 5]`.",
            ),
        ),
        "dbnbias = dhpreact.sum(0)",
        "dbnbias = dhpreact.sum(0, keepdim=True)",
        "",
        "bnbias",
    ),
    Mend(
        "dbndiff2: n or n − 1",
        "dbndiff2",
        (
            Hint(
                2,
                "Two divisors are in this network: the mean has `1/n`, and the variance? Better to "
                "see the two side by side once.",
            ),
            Hint(
                3,
                "The forward line is `bnvar = 1/(n-1)*(bndiff2).sum(0, keepdim=True)`. It divides "
                "by n − 1, and going back the same number stands in front.",
            ),
        ),
        "dbndiff2 = 1/n * torch.ones_like(bndiff2) * dbnvar",
        "dbndiff2 = 1/(n-1) * torch.ones_like(bndiff2) * dbnvar",
        "",
    ),
    Mend(
        "dbndiff: the second use",
        "dbndiff",
        (
            Hint(
                2,
                "Who reads `bndiff`? `bnraw` does, and `bndiff2` as well, through the square. The "
                "verdict says the same: one of two uses is there. How does the square go back?",
            ),
            Hint(
                4,
                "The line, at last: the square brings `2 * bndiff` times its upstream, and that is "
                "added to the first use. In one line:",
            ),
        ),
        "dbndiff = bnvar_inv * dbnraw",
        "dbndiff = bnvar_inv * dbnraw + 2*bndiff * dbndiff2",
        "All that inherited from dbndiff is right now. One mistake is left.",
    ),
    Mend(
        "dC: letters that occur twice",
        "dC",
        (
            Hint(
                3,
                "Among 21 letters of context some occur twice, the `.` of every beginning for one. "
                "Each reading has to be added; `+=` on a whole index adds once per row and "
                "forgets the rest. A loop over the letters adds one after another.",
            ),
        ),
        "dC[Xb] += demb",
        "for k in range(Xb.shape[0]):\n"
        "    for j in range(Xb.shape[1]):\n"
        "        dC[Xb[k, j]] += demb[k, j]",
        "Nothing is wrong any more.",
    ),
    Mend(
        "The last bits",
        "dhpreact",
        (),
        "dhpreact = (1.0 - h**2) * dh",
        "dhpreact = torch.ops.aten.tanh_backward(dh, h)",
        "Every gradient has autograd's bits.",
    ),
)
CLOSE = (
    "`close` is not a mistake: in double precision the two agree, and `(1.0 - h**2) * dh` may well "
    "stay. But the review says where the rounding comes from, the one line of tanh, and which "
    "spelling has autograd's bits:"
)


class Copy:
    """A copy of the notebook that is edited and reviewed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NOTEBOOK.name
        self.path.write_bytes(NOTEBOOK.read_bytes())

    def cells(self) -> list[str]:
        found = code_cells(json.loads(self.path.read_text("utf-8")))
        assert found is not None
        return [text for _, text in found]

    def edit(self, old: str, new: str) -> None:
        book = json.loads(self.path.read_text("utf-8"))
        found = 0
        for cell in book["cells"]:
            lines = "".join(cell["source"]).split("\n")
            found += lines.count(old)
            text = "\n".join(new if line == old else line for line in lines)
            cell["source"] = text.splitlines(keepends=True)
        assert found == 1, f"{old!r} is {found} lines of the notebook"
        self.path.write_text(json.dumps(book), "utf-8")

    def review(self) -> Outcome:
        return review_file(str(self.path))

    def compared(self) -> list[str]:
        """What the notebook prints when its cells are run."""
        with redirect_stdout(io.StringIO()) as out:
            exec("\n".join(self.cells()), {})
        return [line.rstrip() for line in out.getvalue().splitlines()]


def printed(outcome: Outcome, hint: int | None = None) -> list[str]:
    """What `backhand check` prints of a review."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
        show(outcome, False, hint)
    return out.getvalue().rstrip("\n").split("\n")


def prose(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False) + "\n"


def block(lines: list[str], language: str = "") -> str:
    return "\n".join([f"```{language}", *lines, "```", ""])


def command(options: str, lines: list[str], status: bool | None = None) -> str:
    """A command and what it printed; with ``status`` the exit status, too."""
    said = [f"$ backhand check homework.ipynb{options}", *lines]
    if status is not None:
        said += ["$ echo $?", "0" if status else "1"]
    return block(said)


def hinted(outcome: Outcome, mend: Mend, level: int) -> list[str]:
    """The hint for one gradient, without those for the others."""
    lines = printed(outcome, level)[len(printed(outcome)) :]
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{mend.name}: "))
    end = next((i for i in range(start, len(lines)) if not lines[i]), len(lines))
    return ["…", *lines[start:end], *(["…"] if end < len(lines) else [])]


def changed(before: list[str], after: list[str]) -> list[str]:
    """The lines of ``after`` that are not in ``before``, and its last one."""
    out: list[str] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, _, _, start, end in matcher.get_opcodes():
        if tag == "equal":
            out += [] if out[-1:] == ["…"] else ["…"]
        else:
            out += after[start:end]
    return out


def parts() -> Iterator[str]:
    yield HEAD
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        compared = copy.compared()
        wrong = [line for line in compared if "approximate: False" in line]
        first = compared.index(wrong[0])
        yield "## What the notebook says itself\n"
        yield prose(
            f"Its last cell compares {len(compared)} gradients with autograd's, as lectures do:"
        )
        yield block(["…", *compared[first - 1 :]])
        yield prose(
            f"From `hpreact` down {len(wrong)} are wrong. That is not {len(wrong)} mistakes, but "
            "which lines are to blame cannot be seen from here."
        )
        yield "## The review\n"
        outcome = copy.review()
        yield command("", printed(outcome), outcome.review.ok)
        blamed = [g for g in outcome.review.gradients if g.causes]
        yield prose(
            f"To blame are {len(blamed)} lines, and each has its cause under it. Those that "
            "inherit an error are right by themselves: they read a gradient that is wrong. What "
            "the cause does not make clear, a hint may: 1 says where, 2 which idea, 3 shows the "
            "idea with numbers, 4 gives the line. They are asked for from the top down."
        )
        for mend in MENDS:
            yield f"## {mend.title}\n"
            if not mend.hints:
                yield prose(CLOSE)
                yield block(changed(*spelling(printed(outcome))))
            for hint in mend.hints:
                yield command(f" --hint {hint.level}", hinted(outcome, mend, hint.level))
                yield prose(hint.thought)
            if mend.compared:
                yield block([s for s in copy.compared() if s.startswith(f"{mend.compared} ")])
            edits = [f"-{mend.old}", *(f"+{line}" for line in mend.new.split("\n"))]
            yield block(edits, "diff")
            copy.edit(mend.old, mend.new)
            before, outcome = outcome, copy.review()
            last = mend is MENDS[-1]
            lines = printed(outcome)
            lines = lines if last else changed(printed(before), lines)
            yield command("", lines, True if outcome.review.ok else None)
            if mend.outcome:
                yield prose(mend.outcome)
        compared = copy.compared()
        exact = sum("exact: True" in line for line in compared)
        yield prose(f"The notebook's own comparison agrees: {exact} of {len(compared)} are exact.")


def spelling(lines: list[str]) -> tuple[list[str], list[str]]:
    """A review without and with what it says of the line where rounding arises."""
    start = next(i for i, line in enumerate(lines) if "rounding only" in line) - 1
    end = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith("  "))
    return lines[:start] + lines[end:], lines


def page() -> str:
    return "\n".join(parts())


def comparable(text: str) -> str:
    """A page without what is said of gradients that are right.

    Whether one is exact or only close is a matter of the processor: matrix products and
    transcendental functions round differently on different ones.
    """
    kept: list[str] = []
    right = False
    for line in text.splitlines():
        if not line.startswith("  "):
            right = re.search(r"\s(exact|close)$", line) is not None or line == "…"
        if not right:
            kept.append(re.sub(r"(?:\d+ (?:exact|close)(?:, )?)+", "right", line))
    return "\n".join(kept)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
