"""The article's network: its forward pass, its initial parameters, and its use after training.

The forward pass stands as the article has it, in its names; everything else here surrounds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backhand.errors import InputError
from backhand.train.config import Config

# The parameters, in the order in which they are drawn and stored.
PARAMETERS = ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias")
EPSILON = 1e-5
# Evaluation walks over the data in pieces, so that memory does not grow with the data.
PIECE = 1 << 15

# The article writes `keepdims`, which torch accepts and its type stubs do not know.
Array = Any


# fmt: off
def forward(
    C: Array,
    Xb: Array,
    W1: Array,
    b1: Array,
    bngain: Array,
    bnbias: Array,
    W2: Array,
    b2: Array,
    Yb: Array,
) -> Array:
    """The loss of a batch: contexts `Xb` [n, t], next letters `Yb` [n]."""
    n = Xb.shape[0]
    # every letter of a context becomes a vector, and a context one long row
    emb = C[Xb]
    embcat = emb.view(emb.shape[0], -1)
    # first linear layer
    hprebn = embcat @ W1 + b1
    # batch norm, over the n examples of the batch
    bnmeani = 1/n*hprebn.sum(0, keepdim=True)
    bndiff = hprebn - bnmeani
    bndiff2 = bndiff**2
    bnvar = 1/(n-1)*(bndiff2).sum(0, keepdim=True)
    bnvar_inv = (bnvar + 1e-5)**-0.5
    bnraw = bndiff * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    # squashed to (-1, 1)
    h = torch.tanh(hpreact)
    # second linear layer: one score per letter
    logits = h @ W2 + b2
    # cross entropy, in steps small enough to go back through one at a time
    logit_maxes = logits.max(1, keepdim=True).values
    norm_logits = logits - logit_maxes
    counts = norm_logits.exp()
    counts_sum = counts.sum(1, keepdims=True)
    counts_sum_inv = counts_sum**-1
    probs = counts * counts_sum_inv
    logprobs = probs.log()
    loss = -logprobs[range(n), Yb].mean()
    return loss
# fmt: on


def initialise(config: Config, vocabulary: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Fresh parameters, drawn on the CPU from `generator` and moved to the device.

    No parameter starts at zero or one: a gradient that is zero everywhere hides mistakes.
    """
    fan_in = config.n_embd * config.block_size
    hidden = config.hidden

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    try:
        parameters = {
            "C": normal(vocabulary, config.n_embd),
            "W1": normal(fan_in, hidden) * (5 / 3) / fan_in**0.5,
            "b1": normal(hidden) * 0.1,
            "W2": normal(hidden, vocabulary) * 0.1,
            "b2": normal(vocabulary) * 0.1,
            "bngain": normal(1, hidden) * 0.1 + 1.0,
            "bnbias": normal(1, hidden) * 0.1,
        }
        return {name: value.to(config.device) for name, value in parameters.items()}
    except (RuntimeError, MemoryError) as error:
        raise InputError(
            f"cannot make a network with hidden={hidden}, n_embd={config.n_embd}, "
            f"block_size={config.block_size} on {config.device}: {first_line(error)}"
        ) from error


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def arguments(parameters: dict[str, Tensor], Xb: Tensor, Yb: Tensor) -> tuple[Tensor, ...]:
    """The arguments of `forward`, in its order."""
    p = parameters
    return p["C"], Xb, p["W1"], p["b1"], p["bngain"], p["bnbias"], p["W2"], p["b2"], Yb


def example_inputs(n: int = 32, hidden: int = 64, vocabulary: int = 27) -> tuple[Tensor, ...]:
    """Inputs of `forward` at the article's sizes, the same at every call."""
    config = Config(hidden=hidden)
    generator = torch.Generator().manual_seed(config.seed)
    parameters = initialise(config, vocabulary, generator)
    Xb = torch.randint(0, vocabulary, (n, config.block_size), generator=generator)
    Yb = torch.randint(0, vocabulary, (n,), generator=generator)
    return arguments(parameters, Xb, Yb)


@dataclass(frozen=True, slots=True)
class Running:
    """What batch norm uses in place of a batch's own statistics: mean and variance [1, hidden]."""

    mean: Tensor
    var: Tensor


def preactivation(parameters: dict[str, Tensor], X: Tensor) -> Tensor:
    return parameters["C"][X].view(X.shape[0], -1) @ parameters["W1"] + parameters["b1"]


@torch.no_grad()
def calibrate(parameters: dict[str, Tensor], X: Tensor) -> Running:
    """The statistics of `hprebn` over all of `X`, the variance with Bessel's correction."""
    pieces = torch.split(X, PIECE)
    total = sum(preactivation(parameters, x).double().sum(0, keepdim=True) for x in pieces)
    mean = torch.as_tensor(total) / X.shape[0]
    squares = sum(
        (preactivation(parameters, x).double() - mean).square().sum(0, keepdim=True) for x in pieces
    )
    var = torch.as_tensor(squares) / (X.shape[0] - 1)
    return Running(mean.float(), var.float())


@torch.no_grad()
def scores(parameters: dict[str, Tensor], running: Running, X: Tensor) -> Tensor:
    """The logits [n, vocabulary] of contexts `X` under running statistics."""
    p = parameters
    bnraw = (preactivation(p, X) - running.mean) * (running.var + EPSILON) ** -0.5
    return torch.tanh(p["bngain"] * bnraw + p["bnbias"]) @ p["W2"] + p["b2"]


@torch.no_grad()
def mean_loss(parameters: dict[str, Tensor], running: Running, X: Tensor, Y: Tensor) -> float:
    """The mean cross entropy of all examples, in nats."""
    total = 0.0
    for x, y in zip(torch.split(X, PIECE), torch.split(Y, PIECE), strict=True):
        total += F.cross_entropy(scores(parameters, running, x).double(), y, reduction="sum").item()
    return total / X.shape[0]
