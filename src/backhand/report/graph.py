"""The program as a picture: values as boxes, uses as arrows, and how large each gradient is.

Inline SVG without a script; a page that shows it needs ``STYLE``. A box links to the explanation of
its value's gradient, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..program.ir import Program

STYLE = ""


def graph(
    program: Program,
    gradients: Mapping[str, torch.Tensor],
    labels: Mapping[str, str] | None = None,
) -> str:
    """The forward program as an HTML ``<figure>``: the picture, its legend, its text.

    ``gradients`` has the numbers of each gradient by its value's printed name (``logits``);
    ``labels`` the gradients' own names (``dlogits``, which is the default) of all values whose
    explanation is on the page: their boxes are links to ``#anchor(label)``. Boxes have
    ``data-value="logits"``, arrows ``data-from`` and ``data-to``.
    """
    raise NotImplementedError
