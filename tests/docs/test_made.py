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
    page = "close\n  rounding only; of 35 elements 23 the same bits, 8 1 ulp\n  off; bit for bit"
    other = "close\n  rounding only; of 35 elements 35 the same bits;\n  bit for bit"
    comparable = build_transcript.comparable
    assert comparable(page) == comparable(other)
    lucky = "dy = dx  exact\n3 gradients: 3 exact\n"
    rests = "dy = dx  close\n  exact by itself: it rests on dx\n3 gradients: 2 exact, 1 close\n"
    assert comparable(lucky) == comparable(rests)
    assert comparable(lucky) != comparable(rests.replace("1 close", "1 wrong"))
    assert comparable(lucky) != comparable("dy = dx  close\n  rounding\n3 gradients: 3 exact\n")
    assert comparable(page) != comparable(page.replace("close", "wrong"))
    assert comparable(page) != comparable(page.replace("bit for", "bit by"))
