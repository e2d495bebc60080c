"""A fault of backhand's own is told apart from the user's, and its cause is kept."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import backhand
from backhand.capture import convert
from backhand.capture.trace import CaptureMode
from backhand.errors import CaptureError, InputError, InternalError, own_faults
from backhand.rules import RULES


def forward(x: torch.Tensor) -> torch.Tensor:
    y = torch.tanh(x)
    return y.sum()


def broken(*arguments: object) -> None:
    raise ZeroDivisionError("planted")


def broken_run(*arguments: object) -> None:
    raise RuntimeError("planted")


def test_while_an_operator_is_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "bind", broken)
    with pytest.raises(InternalError, match="capturing this line failed") as fault:
        backhand.derive(forward, torch.ones(3))
    assert isinstance(fault.value.__cause__, ZeroDivisionError)
    assert fault.value.where is not None
    assert fault.value.where.text == "y = torch.tanh(x)"


def test_while_the_function_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CaptureMode, "_serial", None)
    with pytest.raises(InternalError, match="capturing this line failed: TypeError") as fault:
        backhand.derive(forward, torch.ones(3))
    assert isinstance(fault.value.__cause__, TypeError)


def test_in_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "tanh", dataclasses.replace(RULES["tanh"], vjp=broken))
    with pytest.raises(InternalError, match="differentiating this line failed") as fault:
        backhand.derive(forward, torch.ones(3))
    assert fault.value.where is not None
    assert fault.value.where.text == "y = torch.tanh(x)"
    assert isinstance(fault.value.__cause__, ZeroDivisionError)


def test_when_the_derived_pass_fails_where_the_function_does_not() -> None:
    bp = backhand.derive(forward, torch.ones(3))
    bp.run = broken_run
    with pytest.raises(InternalError, match="that the forward pass itself takes"):
        bp(torch.ones(3))


def test_an_error_of_torchs_in_the_users_call_is_not_one() -> None:
    def misused(x: torch.Tensor) -> torch.Tensor:
        return x.sum("nowhere")

    with pytest.raises(CaptureError, match="fails on the example inputs") as refusal:
        backhand.derive(misused, torch.ones(3))
    assert not isinstance(refusal.value, InternalError)


def test_memory_that_runs_out_is_nobodys_fault() -> None:
    with pytest.raises(InputError, match="takes more memory than there is"), own_faults("it", None):
        raise MemoryError
