"""Names for values that the author's code has no name for.

Such a value is named after its step and what it is: ``hidden = gelu(fc(x))`` has a
``hidden_linear``. Its gradient is ``dhidden_linear``. Temporaries of the backward pass keep the
stem that their rule gave them, numbered from the first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from ..program.ir import Node, Program, Value, folded_values
from ..program.ops import get_op
from .passes import map_values
from .walk import Backward

NOUNS = {
    "add": "sum",
    "sub": "diff",
    "mul": "product",
    "div": "ratio",
    "pow": "power",
    "neg": "negative",
    "matmul": "product",
    "mm": "product",
    "bmm": "product",
    "addmm": "linear",
    "log_softmax": "logprobs",
    "softmax": "probs",
    "vector_norm": "norm",
    "transpose": "transposed",
    "permute": "permuted",
    "t": "transposed",
    "unsqueeze": "column",
    "view": "reshaped",
    "reshape": "reshaped",
    "flatten": "flat",
    "expand": "spread",
    "squeeze": "flat",
    "index": "picked",
    "select": "slice",
    "to": "cast",
    "native_layer_norm": "normed",
    "native_group_norm": "normed",
    "native_batch_norm": "normed",
    "bernoulli_mask": "mask",
    "randn_like": "noise",
    "max_pool2d_with_indices": "pooled",
    "max_pool3d_with_indices": "pooled",
    "convolution": "conv",
}
_NORM = ("", "mean", "inv_std")
_CHOICE = ("values", "indices")
# What the several results of an operator are.
FIELDS = {
    **dict.fromkeys(("native_layer_norm", "native_group_norm", "native_batch_norm"), _NORM),
    **dict.fromkeys(
        ("max_dim", "min_dim", "sort", "topk", "median_dim", "nanmedian_dim", "kthvalue", "mode"),
        _CHOICE,
    ),
    **dict.fromkeys(("cummax", "cummin"), _CHOICE),
    **dict.fromkeys(
        (
            "max_pool2d_with_indices",
            "max_pool3d_with_indices",
            "adaptive_max_pool2d",
            "adaptive_max_pool3d",
            "fractional_max_pool2d",
            "fractional_max_pool3d",
        ),
        ("", "indices"),
    ),
    "flash_attention": ("", "logsumexp"),
    "nll_loss_forward": ("", "total_weight"),
    "var_mean": ("var", "mean"),
    "std_mean": ("std", "mean"),
}


class Namer:
    """Gives every anonymous value of a forward program, and of its backward programs, a name."""

    def __init__(self, program: Program) -> None:
        self.taken = {v.name for v in program.values() if v.var is not None}
        self.taken |= {s.name for s in program.symbols}
        self.forward: dict[str, str] = {}
        self.printed: set[str] = set()
        for step in program.steps:
            for node in step.nodes:
                fields = FIELDS.get(node.op, ())
                for i, out in enumerate(node.outs):
                    if out.var is None:
                        noun = fields[i] if i < len(fields) else ""
                        noun = noun or NOUNS.get(node.op) or node.op.strip("_")
                        self.forward[out.name] = self._unique(f"{step.name}_{noun}", self.taken)

    @staticmethod
    def _unique(stem: str, taken: set[str]) -> str:
        name, i = stem, 2
        while name in taken:
            name, i = f"{stem}_{i}", i + 1
        taken.add(name)
        return name

    def program(self, program: Program, needed: Collection[str]) -> Program:
        """The forward program, its printed anonymous values named; ``needed`` ones are printed."""
        printed = map_values(program, lambda v: self._named(v) if v.name in needed else v)
        folded = folded_values(printed)
        printed = map_values(printed, lambda v: v if v.name in folded else self._named(v))
        self.printed = {v.var for v in printed.values() if v.var is not None}
        return printed

    def _named(self, value: Value) -> Value:
        if value.var is not None or value.name not in self.forward:
            return value
        return replace(value, var=self.forward[value.name])

    def backward(self, derived: Backward) -> Backward:
        """A backward program: forward values as in the forward program, temporaries renamed."""
        values = list(derived.program.values())
        made = [out for node in derived.program.nodes() for out in node.outs]
        folded = folded_values(derived.program)
        temporary = [v for v in made if v.var is None and v.name not in folded]
        of = {v: k for k, v in derived.gradients.items() if k in self.forward}
        taken = {v.name for v in values} - {v.name for v in temporary}
        taken |= {v.var for v in values if v.var is not None} | self.printed
        taken |= {s.name for s in derived.program.symbols}
        makers = derived.program.producers()
        renamed: dict[str, str] = {}
        for v in temporary:
            stem = self._stem(v.name, of)
            if stem == "t":
                stem = _described(makers[v.name], renamed)
            renamed[v.name] = self._unique(stem, taken)

        def fn(v: Value) -> Value:
            if v.name in renamed:
                return replace(v, name=renamed[v.name])
            return self._named(v) if v.name in self.forward else v

        return replace(
            derived,
            program=map_values(derived.program, fn),
            gradients={k: renamed.get(v, v) for k, v in derived.gradients.items()},
            fakes={renamed.get(k, k): v for k, v in derived.fakes.items()},
        )

    def _stem(self, name: str, of: Mapping[str, str]) -> str:
        if name in of:
            return f"d{self.forward[of[name]]}"
        stem = re.sub(r"_\d+$", "", name)
        again = re.sub(r"_again\d*$", "", name)
        if again != name and again in self.forward:
            return self.forward[again]
        for candidate in (name, stem):
            if candidate[1:] in self.forward and candidate.startswith("d"):
                return f"d{self.forward[candidate[1:]]}"
        return stem


def _described(node: Node, renamed: Mapping[str, str]) -> str:
    """A stem for a temporary: a view goes by what it is a view of."""
    x = node.args[0] if node.args else None
    if get_op(node.op).kind == "view" and isinstance(x, Value):
        return f"{renamed.get(x.name) or x.var or x.name}_{NOUNS.get(node.op, node.op)}"
    return "part"
