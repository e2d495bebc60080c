"""Names for values that the author's code has no name for.

Such a value is named after its step and what it is: ``hidden = gelu(fc(x))`` has a
``hidden_linear``. Its gradient is ``dhidden_linear``. Temporaries of the backward pass keep the
stem that their rule gave them, numbered from the first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace

from ..program.ir import Node, Program, Value, folded_values
from ..program.ops import RESULT_NAMES, get_op
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
    "stored": "cast",
    "native_layer_norm": "normed",
    "native_group_norm": "normed",
    "native_batch_norm": "normed",
    "bernoulli_mask": "mask",
    **dict.fromkeys(
        ("rand", "rand_like", "randn", "randn_like", "uniform", "normal", "exponential",
         "normal_around", "normal_of_size"),
        "noise",
    ),
    "max_pool2d_with_indices": "pooled",
    "max_pool3d_with_indices": "pooled",
    "convolution": "conv",
}


def unique_name(stem: str, taken: set[str]) -> str:
    """The stem, numbered from 2 where it is taken; it is taken then."""
    name, i = stem, 2
    while name in taken:
        name, i = f"{stem}_{i}", i + 1
    taken.add(name)
    return name


def names_of_parts(program: Program) -> dict[str, str]:
    """Names for what is printed inside a line: ``dz_diff`` is a difference in the line of ``dz``.

    What has a line of its own has the name that it is printed under.
    """
    folded = folded_values(program)
    reader = {v.name: node.outs[0] for node in program.nodes() for v in node.operands()}
    found: dict[str, str] = {}
    for node in program.nodes():
        for out in node.outs:
            line = out
            while line.name in folded:
                line = reader[line.name]
            text = line.var or line.name
            noun = NOUNS.get(node.op) or node.op.strip("_")
            found[out.name] = text if line is out else f"{text}_{noun}"
    return found


class Namer:
    """Gives every anonymous value of a forward program, and of its backward programs, a name."""

    def __init__(self, program: Program) -> None:
        self.taken = {v.name for v in program.values() if v.var is not None}
        self.taken |= {s.name for s in program.symbols}
        self.forward: dict[str, str] = {}
        self.printed: set[str] = set()
        for step in program.steps:
            # the outermost value of a statement gets the name without a number
            for node in reversed(step.nodes):
                fields = RESULT_NAMES.get(node.op, ())
                for i, out in enumerate(node.outs):
                    if out.var is None:
                        noun = fields[i] if i < len(fields) else ""
                        noun = noun or NOUNS.get(node.op) or node.op.strip("_")
                        self.forward[out.name] = unique_name(f"{step.name}_{noun}", self.taken)

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
        of: dict[str, str] = {}
        for value, gradient in derived.gradients.items():
            if value in self.forward:
                of.setdefault(gradient, value)
        taken = {v.name for v in values} - {v.name for v in temporary}
        taken |= {v.var for v in values if v.var is not None} | self.printed
        taken |= {s.name for s in derived.program.symbols}
        makers = derived.program.producers()
        sums = self._running_sums(derived, of, {v.name for v in temporary})
        labels: dict[str, str] = {}
        renamed: dict[str, str] = {}
        for v in temporary:
            stem = self._stem(sums.get(v.name, v.name), of)
            if stem == "t":
                stem = _described(makers[v.name], renamed)
            renamed[v.name] = unique_name(stem, taken)
            if v.name in sums:
                labels.setdefault(sums[v.name], renamed[v.name])

        def fn(v: Value) -> Value:
            if v.name in renamed:
                var = labels.get(sums[v.name]) if v.name in sums else None
                return replace(v, name=renamed[v.name], var=var)
            return self._named(v) if v.name in self.forward else v

        return replace(
            derived,
            program=map_values(derived.program, fn),
            gradients={k: renamed.get(v, v) for k, v in derived.gradients.items()},
            vars={renamed.get(k, k): v for k, v in derived.vars.items()},
        )

    @staticmethod
    def _running_sums(
        derived: Backward, of: Mapping[str, str], temporary: Collection[str]
    ) -> dict[str, str]:
        """Which temporaries are an unfinished sum of which gradient, itself included.

        They are printed under one name: ``dx = …`` for the first use, ``dx = dx + …`` after it.
        """
        makers = derived.program.producers()
        reads = Counter(v.name for node in derived.program.nodes() for v in node.operands())
        sums: dict[str, str] = {}
        for total, forward in of.items():
            chain = [total]
            while len(chain) < derived.uses.get(forward, 1):
                node = makers.get(chain[-1])
                before = node.args[0] if node is not None and node.op == "add" else None
                if not isinstance(before, Value) or before.name not in temporary:
                    break
                if reads[before.name] != 1:
                    break
                chain.append(before.name)
            if len(chain) > 1 and total in temporary:
                sums.update(dict.fromkeys(chain, total))
        return sums

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
