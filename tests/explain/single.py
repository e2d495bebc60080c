"""Sources of explanations for single operators, made from a rule's samples without capture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from backhand.errors import UnsupportedError
from backhand.explain import Source
from backhand.longhand import expand_plain
from backhand.longhand.passes import map_values
from backhand.program.ir import Program, Value
from backhand.rules import Rule, Sample, T
from backhand.rules.base import sample
from tests.rules.machinery import Call, Refused

# Calls small enough to be written out, where a rule's own samples are not.
SMALLER: dict[str, Sample] = {
    **dict.fromkeys(("avg_pool2d", "max_pool2d_with_indices"), sample(T((1, 1, 2, 4)), (2, 2))),
    **dict.fromkeys(
        ("avg_pool3d", "max_pool3d_with_indices"), sample(T((1, 1, 2, 2, 4)), (2, 2, 2))
    ),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_max_pool2d"), sample(T((1, 2, 4)), (1, 2))),
    **dict.fromkeys(
        ("_adaptive_avg_pool3d", "adaptive_max_pool3d"), sample(T((1, 2, 2, 4)), (1, 1, 2))
    ),
    "fractional_max_pool2d": sample(
        T((1, 1, 4, 4)), (2, 2), (2, 2), T((1, 1, 2), "open", grad=False)
    ),
    "fractional_max_pool3d": sample(
        T((1, 1, 2, 4, 4)), (1, 2, 2), (1, 2, 2), T((1, 1, 3), "open", grad=False)
    ),
    "attention": sample(T((1, 1, 2, 2)), T((1, 1, 2, 2)), T((1, 1, 2, 2))),
    "native_layer_norm": sample(T((2, 2)), (2,), T((2,)), T((2,)), 1e-5),
    "native_group_norm": sample(T((1, 2, 2)), T((2,)), T((2,)), 1, 2, 2, 1, 1e-5),
    "native_batch_norm": sample(T((3, 2)), T((2,)), T((2,)), None, None, True, 0.1, 1e-5),
    "affine_grid_generator": sample(T((1, 2, 3)), (1, 1, 2, 2), False),
    "im2col": sample(T((1, 1, 3, 3)), (2, 2)),
    "col2im": sample(T((1, 4, 4)), (3, 3), (2, 2)),
    "convolution1d": sample(T((1, 1, 4)), T((1, 1, 2)), T((1,))),
    "convolution2d": sample(T((1, 1, 2, 3)), T((1, 1, 2, 2)), T((1,))),
    "convolution3d": sample(T((1, 1, 2, 2, 3)), T((1, 1, 1, 2, 2)), T((1,))),
    "transposed1d": sample(T((1, 1, 3)), T((1, 1, 2)), T((1,))),
    "transposed2d": sample(T((1, 1, 2, 2)), T((1, 1, 2, 2)), T((1,))),
    "transposed3d": sample(T((1, 1, 1, 2, 2)), T((1, 1, 1, 2, 2)), T((1,))),
    "max_unpool3d": sample(T((1, 1, 1, 1, 2)), T((1, 1, 1, 1, 2), "index", 4), (1, 2, 2), (1, 2, 2),
                           (0, 0, 0)),
    "pad_edges": sample(T((1, 1, 3)), (1, 2), "replicate"),
    "pixel_shuffle": sample(T((1, 4, 1, 2)), 2),
    "pixel_unshuffle": sample(T((1, 1, 2, 4)), 2),
}  # fmt: skip


def sources(rule: Rule) -> Iterator[tuple[Call, Source]]:
    """A source for each sample that torch differentiates; the author's line is made up."""
    if rule.op in SMALLER:
        call = Call.of(rule, 0, sample=SMALLER[rule.op])
        yield _one(rule, call.with_picked([0]) if rule.op.startswith("native_") else call)
        return
    for i in range(len(rule.samples)):
        call = Call.of(rule, i)
        try:
            assert call.truth
        except Refused:
            continue
        try:
            yield _one(rule, call)
        except UnsupportedError:  # through the first output only
            yield _one(rule, call.with_picked([0]))


def _one(rule: Rule, call: Call) -> tuple[Call, Source]:
    derived = call.derived
    outputs = {o.name: f"y{k or ''}" for k, o in enumerate(derived.program.outputs)}
    outputs |= {f"d{name}": f"d{y}" for name, y in outputs.items()}
    line = f"y = {rule.op}({', '.join(leaf.name for leaf in call.leaves)})"

    def named(v: Value) -> Value:
        return replace(v, var=outputs.get(v.name, v.var))

    def stated(program: Program) -> Program:
        steps = tuple(replace(s, source=line) for s in program.steps)
        return map_values(replace(program, steps=steps), named)

    forward = stated(derived.program)
    (made,) = forward.nodes()
    exact = replace(
        derived.exact,
        program=stated(derived.exact.program),
        upstream=tuple(map(named, derived.exact.upstream)),
        trail=tuple(replace(use, node=made) for use in derived.exact.trail),
    )
    return call, Source(forward, expand_plain(exact, derived.context, derived.vars))


__all__ = ["sources"]
