"""Tensors without elements, with one, and without axes are explained like any others."""

from __future__ import annotations

import pytest
import torch

import backhand
from backhand.errors import InternalError
from backhand.explain.explanations import FORMATS, Explanations
from tests.explain.test_operators import check_text


def forward(x: torch.Tensor, w: torch.Tensor, table: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(0, keepdim=True)
    mixed = torch.relu(centred) @ w
    return mixed.reshape(-1).sum() + table[i].sum()


def explained(n: int, d: int) -> Explanations:
    inputs = torch.randn(n, d), torch.randn(d, 2), torch.randn(3, 2), torch.zeros(n, 2).long()
    return backhand.derive(forward, *inputs).explain(numbers=True)


@pytest.mark.parametrize(("n", "d"), [(0, 3), (4, 0), (1, 1)])
def test_every_format_is_written(n: int, d: int) -> None:
    found = explained(n, d)
    for form in FORMATS:
        check_text(form, found.to(form))
    empty = n == 0 or d == 0
    assert ("centred has no elements, so dcentred has none either" in found.text()) == empty
    assert ("A tiny case is not written out: " in found.text()) == empty


def test_a_number_without_axes_is_written_out() -> None:
    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * b).exp()

    bp = backhand.derive(product, torch.tensor(2.0), torch.tensor(3.0))
    text = bp.explain("a", numbers=True).text()
    assert "for a, a single number" in text and "dx = g·y·w" in text and "g = 2" in text


def test_only_a_refusal_of_torch_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails in our own code is seen, and not taken for sizes that torch does not like."""

    def broken(*args: object) -> None:
        raise TypeError("ours")

    bp = backhand.derive(lambda x: x.cumsum(0).sum(), torch.randn(3))
    monkeypatch.setattr("backhand.explain.probe.Probe._cells", broken)
    with pytest.raises(InternalError, match="explaining dx failed: TypeError: ours"):
        bp.explain()
