"""New names, drawn letter by letter from a trained network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from backhand.train.data import END, LONGEST
from backhand.train.network import Running, scores


@torch.no_grad()
def sample_names(
    parameters: dict[str, Tensor],
    running: Running,
    letters: Sequence[str],
    block_size: int,
    count: int,
    seed: int,
) -> list[str]:
    """Draw `count` names; the same seed gives the same names.

    A name ends where the network says so, or after as many letters as a name may have.
    """
    generator = torch.Generator().manual_seed(seed)
    device = parameters["C"].device
    names = []
    for _ in range(count):
        context, name = [0] * block_size, ""
        while len(name) < LONGEST:
            logits = scores(parameters, running, torch.tensor([context], device=device))
            probs = torch.softmax(logits, 1).cpu()
            drawn = int(torch.multinomial(probs, 1, generator=generator).item())
            if letters[drawn] == END:
                break
            name += letters[drawn]
            context = [*context[1:], drawn]
        names.append(name)
    return names
