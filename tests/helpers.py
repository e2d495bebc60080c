"""Checks that hold for every derivation, whatever is derived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sympy
import torch

from backhand import Backprop
from backhand.program.invoke import dtype_of, invoke
from backhand.program.ir import Program, Value
from backhand.program.ops import get_op
from backhand.program.sizes import Scalar, Size, number_value
from backhand.program.text import parse_program, program_text
from backhand.program.verifier import check_program, size_bindings


def checked(bp: Backprop, bindings: int = 2) -> Backprop:
    """The derivation, after every program it went through was verified and read back from text.

    ``bindings`` is the number of other sizes at which shapes and dtypes are inferred again.
    """
    for program in programs(bp):
        check_program(program, lambda sizes: holds(bp, sizes), bindings=bindings)
        text = program_text(program)
        again = parse_program(text)
        # a NaN is no equal of itself, so that such a program is compared by its text
        assert again == program or ("nan" in text and program_text(again) == text), text
    _gradients_fit(bp, bindings)
    return bp


def _gradients_fit(bp: Backprop, bindings: int) -> None:
    """A named value's gradient has its shape, at other sizes than the example's too.

    A program can be well formed at all sizes and make gradients of the example's. (The gradient of
    a value without a name may be smaller, and be broadcast where it is used.)
    """
    captured = bp.captured.program
    values = [v for program in (captured, bp.program) for v in program.values()]
    forward = {v.name: v for v in values if v.var is not None}
    hints = captured.hints()
    several = size_bindings(captured, lambda sizes: holds(bp, sizes), bindings)
    # one at a time as well: a derivation that fixes one size must be right about the others
    single = ({**hints, name: 3 * hint} for name, hint in hints.items())
    for sizes in (hints, *several, *(sizes for sizes in single if holds(bp, sizes))):
        for derived in (bp._walked, bp.derived("exact"), bp.derived("plain")):
            made = {v.name: v for v in derived.program.values()}
            for of, name in derived.gradients.items():
                if of in forward and name in made:
                    theirs, ours = _shape(forward[of], sizes), _shape(made[name], sizes)
                    fits = ours == theirs or not _runs(captured, sizes)
                    assert fits, f"{name} is {ours} where {of} is {theirs} ({sizes})"


def _shape(value: Value, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(number_value(d, sizes) for d in value.shape)


def _runs(program: Program, sizes: Mapping[str, int]) -> bool:
    """Whether torch takes these sizes: some belong together, which tracing does not always see."""

    def bound(arg: Any) -> Any:
        if isinstance(arg, tuple):
            return tuple(map(bound, arg))
        if isinstance(arg, Value):
            return space[arg.name]
        return number_value(arg, sizes) if isinstance(arg, (Size, Scalar)) else arg

    space = {
        v.name: torch.randn(_shape(v, sizes)).to(dtype_of(v.dtype))
        if v.floating
        else torch.zeros(_shape(v, sizes), dtype=dtype_of(v.dtype))
        for v in program.inputs
    }
    try:
        for node in program.nodes():
            result = invoke(get_op(node.op), tuple(map(bound, node.args)))
            results = result if isinstance(result, (tuple, list)) else (result,)
            space.update(zip((out.name for out in node.outs), results, strict=True))
    except (RuntimeError, IndexError):
        return False
    return True


def programs(bp: Backprop) -> Iterator[Program]:
    """The program after every pass: forward, raw backward, and both spellings of the longhand."""
    yield bp.captured.program
    yield bp.program
    yield bp._walked.program
    yield bp.derived("exact").program
    yield bp.derived("plain").program


def holds(bp: Backprop, sizes: Mapping[str, int]) -> bool:
    """Whether what torch assumed about the sizes while tracing is true of these."""
    context = bp.captured.context
    if context.shape_env is None:
        return True
    known: dict[Any, Any] = {
        theirs: sympy.Integer(sizes[ours.name]) for ours, theirs in context._to_torch.items()
    }
    replaced = context.shape_env.replacements

    def value(expr: Any) -> Any:
        expr = expr.xreplace(known)
        while any(s in replaced for s in expr.free_symbols):
            expr = expr.xreplace(dict(replaced)).xreplace(known)
        return expr

    found = [guard.expr for guard in context.shape_env.guards]
    found += [sympy.Eq(s, replaced[s], evaluate=False) for s in known if s in replaced]
    return all(bool(value(guard)) for guard in found)


__all__ = ["checked", "holds", "programs"]
