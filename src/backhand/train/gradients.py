"""The ways to a batch's loss and gradients: backhand's longhand and shorthand, and autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from backhand.train.config import Config
from backhand.train.data import Examples
from backhand.train.network import PARAMETERS, arguments, forward

# Contexts and next letters in; the loss and the gradients, in the order of PARAMETERS, out.
Gradients = Callable[[Tensor, Tensor], tuple[Tensor, list[Tensor]]]


def derived(parameters: dict[str, Tensor], batch: Examples, form: str) -> Gradients:
    """Derive the backward pass once and run one of its forms at every step, without a tape."""
    from backhand.api import derive

    backprop = derive(forward, *arguments(parameters, *batch), runs=form)

    def gradients(Xb: Tensor, Yb: Tensor) -> tuple[Tensor, list[Tensor]]:
        loss, found = backprop(*arguments(parameters, Xb, Yb))
        return loss, [found[name] for name in PARAMETERS]

    return gradients


def autograd(parameters: dict[str, Tensor]) -> Gradients:
    """Record the forward pass on a tape and let torch go back over it."""
    # These share memory with the parameters, so an update reaches them too.
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}

    def gradients(Xb: Tensor, Yb: Tensor) -> tuple[Tensor, list[Tensor]]:
        for leaf in leaves.values():
            leaf.grad = None
        with torch.enable_grad():
            loss: Tensor = forward(*arguments(leaves, Xb, Yb))
            loss.backward()  # type: ignore[no-untyped-call]
        found = [leaves[name].grad for name in PARAMETERS]
        return loss.detach(), [gradient for gradient in found if gradient is not None]

    return gradients


def choose(config: Config, parameters: dict[str, Tensor], batch: Examples) -> Gradients:
    """The way that `config.grad` names; `batch` has the shapes that are to come."""
    if config.grad == "autograd":
        return autograd(parameters)
    return derived(parameters, batch, config.grad)
