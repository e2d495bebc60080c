"""The benchmark of the forms measures what it says: small tensors, and without a compiler."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import shorthand
from benchmarks.forms import Form, form

SIZES = {"n": 64, "k": 48}
SOFTMAX = replace(form("softmax"), large=SIZES)
BYTES = 4 * 64 * 48


@pytest.mark.parametrize("kind", shorthand.FORMS_OF)
def test_a_form_is_measured(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = shorthand.compete(SOFTMAX, kind, "fast", rounds=3, compiled=False)
    assert outcome.source > 0
    assert outcome.library is not None
    row = capsys.readouterr().out
    assert row.startswith("softmax ")
    assert shorthand.summary({"softmax": outcome}) in (True, False)
    assert "1 forms" in capsys.readouterr().out


def test_saved_bytes_are_counted_alike() -> None:
    found = shorthand.contestants(SOFTMAX, "reference", "fast", compiled=False)
    assert found["drop-in"].saved == found["library"].saved == BYTES
    # e and y's divisor, and the positions of the maxes
    assert found["source"].saved == BYTES + 64 * 4 + 64 * 8


def test_more_saved_than_by_somebody_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = shorthand.Outcome(source=2.0, library=1.5, saved=1.25, noise=0.0)
    assert not shorthand.summary({"hoarder": outcome})
    assert "hoarder (25.0%)" in capsys.readouterr().out
    assert shorthand.summary({"lean": replace(outcome, saved=1.0)})
    assert not shorthand.summary({"slow": replace(outcome, saved=1.0, source=0.9)})
    assert not shorthand.summary({"slow": replace(outcome, saved=1.0, library=0.9)})


def test_wrong_gradients_do_not_take_part() -> None:
    reference = SOFTMAX.reference

    def wrong(*args):
        return (reference.backward(*args)[0] * 1.01,)

    broken: Form = replace(SOFTMAX, reference=replace(reference, backward=wrong))
    with pytest.raises(SystemExit, match=r"softmax: dx of drop-in is 1.*e-02 off"):
        shorthand.contestants(broken, "reference", "fast", compiled=False)
