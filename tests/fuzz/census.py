"""What happens in random programs: seen while one runs, by watching the operators it calls."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from .check import settings
from .generator import generate
from .program import Program, compiled

_EDGES = (0.0, 1.0, -1.0, 6.0, -6.0)


class _Watch(TorchDispatchMode):
    """Notes what the operators of one forward pass do to which tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if func.is_view and func is not torch.ops.aten.detach.default:
            self.seen.add("view")
        if not torch.is_grad_enabled():
            self.seen.add("no_grad")
        if func._schema.is_mutable and given:
            self.seen.add("in place")
            if given[0]._is_view():
                self.seen.add("in place through a view")
        if torch.Tag.pointwise in func.tags and len({t.shape for t in given}) > 1:
            self.seen.add("broadcasting")
        if len({t.dtype for t in given if t.is_floating_point()}) > 1:
            self.seen.add("mixed dtypes")
        out = func(*args, **kwargs)
        made = [t for t in pytree.tree_leaves(out) if isinstance(t, Tensor)]
        if any(t.numel() == 0 for t in (*given, *made)):
            self.seen.add("empty tensor")
        if any(t.dim() == 0 for t in made) and any(t.dim() == 0 for t in given):
            self.seen.add("0-d tensor")
        return out


def census(seed: int) -> set[str]:
    """What occurs in the program of a seed."""
    how = settings(seed)
    program = generate(seed, batch=bool(how.batches))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = _from_a_run(program) | _from_data(program)
    if how.symbolic:
        seen.add("open sizes")
    return seen


def _from_a_run(program: Program) -> set[str]:
    values = [v.requires_grad_(v.is_floating_point()) for v in program.values()]
    with compiled(program.source()) as function, _Watch() as watch:
        try:
            function(*values)
        except RuntimeError:  # autograd refuses the program: what came before still counts
            watch.seen.add("refused by autograd")
    return watch.seen


def _from_data(program: Program) -> set[str]:
    seen: set[str] = set()
    for value in program.values():
        if not value.is_floating_point() or not value.numel():
            continue
        if not bool(value.isfinite().all()):
            seen.add("NaN or infinity")
        if any(bool((value == edge).any()) for edge in _EDGES):
            seen.add("edge value")
    if ".detach()" in program.source():  # autograd detaches too: an operator would not tell
        seen.add("detach")
    names = [name for s in program.statements for name in s.operands]
    if len(names) > len(set(names)):
        seen.add("several uses")
    if program.form != "loss" and len(program.outputs) > 1:
        seen.add("several outputs")
    return seen
