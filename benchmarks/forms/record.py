"""What a form of the catalogue is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Random:
    """Draws inputs: the same ones for the same seed, whatever the dtype."""

    generator: torch.Generator
    dtype: torch.dtype

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def integers(self, below: int, *shape: int) -> Tensor:
        return torch.randint(below, shape, generator=self.generator)


@dataclass(frozen=True)
class Reference:
    """The best hand-written backward pass in public use, as code.

    ``forward(*inputs)`` returns the output and then what it saves; ``backward(upstream, *saved)``
    the gradients of ``Form.of`` in order. ``passes`` is counted by hand, by the rules of
    ``backhand.program.loops``, at the form's large sizes. ``saved(b, **sizes)`` is the number of
    bytes that outlive the forward pass, inputs included, with ``b`` bytes to a float. ``source``
    says where the formula is found.
    """

    source: str
    forward: Callable[..., tuple[Tensor, ...]]
    backward: Callable[..., tuple[Tensor, ...]]
    passes: int
    saved: Callable[..., int]


@dataclass(frozen=True)
class Form:
    """A forward pass that has a backward pass worth writing by hand, or, for some, has not.

    ``spellings`` are forward passes from primitives, as people write them: the same signature, the
    same result. ``of`` are the inputs whose gradients are of interest, ``given`` the output whose
    gradient comes in. ``library`` is the operator that PyTorch has for it, if any. ``small`` and
    ``large`` are sizes for tests and for measurements. ``worth`` is false where no closed form is
    better than the plain chain rule.
    """

    name: str
    spellings: tuple[Callable[..., Tensor], ...]
    draw: Callable[..., tuple[Tensor, ...]]
    of: tuple[str, ...]
    given: str
    small: Mapping[str, int]
    large: Mapping[str, int]
    reference: Reference
    library: Callable[..., Tensor] | None = None
    worth: bool = True
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        code = self.spellings[0].__code__
        object.__setattr__(self, "names", code.co_varnames[: code.co_argcount])

    def inputs(
        self, sizes: Mapping[str, int], dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> tuple[Tensor, ...]:
        """Example inputs, in the order of the spellings' arguments."""
        generator = torch.Generator().manual_seed(seed)
        return self.draw(Random(generator, dtype), **sizes)

    def leaves(self, inputs: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """The inputs as autograd's leaves, and those of them whose gradients are of interest."""
        leaves = [
            t.detach().clone().requires_grad_(name in self.of)
            for name, t in zip(self.names, inputs, strict=True)
        ]
        return leaves, [leaves[self.names.index(name)] for name in self.of]


def differentiable(
    forward: Callable[..., tuple[Tensor, ...]],
    backward: Callable[..., tuple[Tensor, ...]],
    names: tuple[str, ...],
    of: tuple[str, ...],
) -> Callable[..., Any]:
    """An operator for autograd from a forward and a backward pass, saving what they say."""
    positions = [names.index(name) for name in of]
    count = len(names)

    class Operator(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Tensor) -> Tensor:
            out, *saved = forward(*inputs)
            ctx.save_for_backward(*saved)
            return out

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
            found = backward(upstream, *ctx.saved_tensors)
            gradients: list[Tensor | None] = [None] * count
            for position, gradient in zip(positions, found, strict=True):
                gradients[position] = gradient
            return tuple(gradients)

    return Operator.apply
