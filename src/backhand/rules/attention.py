"""Scaled dot-product attention.

On the CPU torch runs a blockwise kernel that keeps the log-sum-exp of every row of scores; its
backward kernel takes the output and these sums. The plain formula writes the whole score matrix.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import UnsupportedError
from ..program.build import Var, many, op
from ..program.sizes import Scalar
from .base import Context, Gradients, T, nondifferentiable, plain, rule, sample

HEADS = T((1, 2, 4, 3))


@rule(
    "attention",
    (
        sample(HEADS, HEADS, HEADS),
        sample(HEADS, HEADS, HEADS, None, 0.0, True),
        sample(HEADS, HEADS, HEADS, T((4, 4), grad=False), scale=0.5),
    ),
    tex={
        "query": "s\\,D K,\\ D = P \\circ (g V^\\top - \\textstyle\\sum_j P \\circ g V^\\top)",
        "key": "s\\,D^\\top Q",
        "value": "P^\\top g",
    },
    domain="entries that the mask rules out get 0; a row that is ruled out whole gets 0",
)
def _attention(c: Context) -> Gradients:
    if c.needs("attn_mask"):
        raise UnsupportedError(
            "scaled_dot_product_attention: the gradient of attn_mask is not supported in this form"
        )
    q, k, v = c["query"], c["key"], c["value"]
    mask, scale, causal = c["attn_mask"], c["scale"], c["is_causal"]
    # run again for the sums that its backward kernel needs
    y, lse = many.flash_attention(q, k, v, 0.0, causal, attn_mask=mask, scale=scale)
    out = many.flash_attention_backward(
        c.g, q, k, v, y, lse, 0.0, causal, attn_mask=mask, scale=scale
    )
    return dict(zip(("query", "key", "value"), out, strict=True))


nondifferentiable("its second output is torch's own bookkeeping", "flash_attention")


@plain("flash_attention_backward")
def _attention_backward(
    g: Var,
    query: Var,
    key: Var,
    value: Var,
    y: Var,
    lse: Var,
    dropout_p: float,
    is_causal: bool,
    attn_mask: Var | None,
    scale: Any,
) -> tuple[Var, Var, Var]:
    width = query.shape[-1]
    if scale is None:
        if isinstance(width, int):
            scale = 1 / math.sqrt(width)
        else:
            scale = Scalar("div", (1, Scalar("sqrt", (width,))))
    scores = scale * (query @ op.transpose(key, -2, -1))
    if attn_mask is not None:
        scores = scores + attn_mask
    if is_causal:
        rows, columns = query.shape[-2], key.shape[-2]
        ones = op.full((rows, columns), True, dtype="bool", device=query)
        future = op.triu(ones, 1).called("future")
        scores = op.masked_fill(scores.called("scores"), future, -math.inf)
    probs = op.safe_softmax(scores, -1) if attn_mask is not None else op.softmax(scores, -1)
    probs = probs.called("probs")
    dvalue = op.transpose(probs, -2, -1) @ g
    weighted = (probs * (g @ op.transpose(value, -2, -1))).called("weighted")
    dscores = scale * (weighted - probs * op.sum(weighted, -1, keepdim=True))
    dscores = dscores.called("dscores")
    return dscores @ key, op.transpose(dscores, -2, -1) @ query, dvalue
