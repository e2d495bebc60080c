"""The pages that scripts write are what the scripts write now."""

from __future__ import annotations

from docs import build_transcript


def test_the_transcript_of_a_check_is_up_to_date() -> None:
    shown = build_transcript.PAGE.read_text(encoding="utf-8")
    made = build_transcript.page()
    comparable = build_transcript.comparable
    assert comparable(shown) == comparable(made), "run .venv/bin/python -m docs.build_transcript"
    # and it goes where it is meant to: from five mistakes of different kinds to none
    assert "; 5 wrong: dhpreact, dbnbias, dbndiff2, dbndiff, dC;" in shown
    assert "\n26 gradients: 26 exact\n$ echo $?\n0\n" in shown
    assert {hint.level for mend in build_transcript.MENDS for hint in mend.hints} == {1, 2, 3, 4}


def test_only_what_depends_on_the_processor_may_differ() -> None:
    wrong = "da = -b  wrong\n  the sign\n"
    page = f"dh = a * b  close\n  rounding; of 35 elements 23 the same bits\n{wrong}"
    other = f"dh = a * b  exact\n{wrong}"
    counts = "26 gradients: 11 exact, 14 close; 1 wrong: da", "26 gradients: 25 exact; 1 wrong: da"
    comparable = build_transcript.comparable
    assert comparable(page + counts[0]) == comparable(other + counts[1])
    assert comparable(page) != comparable(page.replace("close", "wrong"))
    assert comparable(page) != comparable(page.replace("the sign", "a sign"))
    assert comparable(counts[0]) != comparable(counts[0].replace("1 wrong", "2 wrong"))
