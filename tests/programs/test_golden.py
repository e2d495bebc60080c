"""The printed longhand of some programs, kept in files that people read and this test runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import backhand
from tests.kept import kept
from tests.programs.loading import derived

NAMES = (
    "article",
    "attention",
    "conv_net",
    "focal",
    "gpt_block",
    "llama_block",
    "mlp",
    "norms",
    "tied_embeddings",
    "vae",
)


@pytest.fixture(scope="module", params=NAMES)
def program(request: pytest.FixtureRequest) -> tuple[str, backhand.Backprop]:
    """The text that is kept, and the derivation it is of."""
    bp = derived(request.param)[0]
    return kept(f"{request.param}.txt", str(bp.longhand)), bp


def test_text_is_as_kept(program: tuple[str, backhand.Backprop]) -> None:
    text, bp = program
    assert str(bp.longhand) == text


def test_lines_fit_on_a_page(program: tuple[str, backhand.Backprop]) -> None:
    lines = program[0].splitlines()
    assert [line for line in lines if len(line) > 100 and not line.startswith("#")] == []
    assert [line for line in lines if line != line.rstrip()] == []


def autograd(
    bp: backhand.Backprop, values: list[Any], up: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    """The gradient of every input, by running the author's function under autograd."""
    fresh = [
        v.clone().requires_grad_() if isinstance(v, torch.Tensor) and v.is_floating_point() else v
        for v in values
    ]
    torch.manual_seed(0)
    out = bp.captured.arguments.call(fresh)
    out.backward(up)
    names = [leaf.name for leaf in bp.leaves]
    return {
        name: v.grad
        for name, v in zip(names, fresh, strict=True)
        if isinstance(v, torch.Tensor) and v.grad is not None
    }


def test_text_computes_the_gradients(program: tuple[str, backhand.Backprop]) -> None:
    text, bp = program
    values = [
        v.detach() if isinstance(v, torch.Tensor) else v for v in (leaf.value for leaf in bp.leaves)
    ]
    space = bp.namespace(values, seed=0)
    up = None
    if not bp.scalar:
        (of,) = bp.derived().upstream_of
        generator = torch.Generator().manual_seed(1)
        up = space[f"d{of}"] = torch.randn(space[of].shape, generator=generator)
    with torch.no_grad():
        exec(text, space)
    wanted = autograd(bp, values, up)
    assert set(wanted) == set(bp.gradient_names)
    for of, true in wanted.items():
        got = space[f"d{of}"]
        assert got.shape == true.shape and got.dtype == true.dtype, of
        # some gradients (a bias before a batch norm) are zero but for rounding
        scale = max(float(true.abs().max()), 1e-3)
        assert float((got - true).abs().max()) <= 2e-5 * scale, of
