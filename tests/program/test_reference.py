"""The NumPy reference: torch-free, complete up to a list, and in agreement with torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import backhand
from backhand.errors import ProgramError
from backhand.program.ops import table
from backhand.program.reference import UNSUPPORTED, evaluate, references
from examples import article
from tests.program.test_verifier import article_inputs
from tests.programs.loading import PROGRAMS, derived

# The rows of the op table that NumPy does not speak for.
WITHOUT = {
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "_upsample_bilinear2d_aa_backward",
    "_upsample_bicubic2d_aa_backward",
    "grid_sample",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
}


def test_exactly_these_operators_have_none():
    missing = {
        name for name, op in table().items() if not op.random and name not in references()
    }
    assert missing == WITHOUT == set(UNSUPPORTED)
    assert all(UNSUPPORTED.values())


def test_evaluating_needs_no_torch():
    code = (
        "import sys, numpy as np\n"
        "from backhand.program.text import parse_program\n"
        "from backhand.program.reference import evaluate\n"
        "p = parse_program('program p\\nsize n = x.shape[0] (example 2)\\n'\n"
        "    'input x: float64[n]\\nstep y\\n  y: float64[] = div(%s, n)\\n'\n"
        "    .replace('  y:', '  %s: float64[] = sum(x)\\n  y:') + 'output y\\n')\n"
        "print(evaluate(p, {'x': np.arange(4.0)})['y'], 'torch' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["1.5", "False"], ran.stderr


def by_numpy(bp, values):
    """Every forward value and gradient, and the upstreams used, by NumPy alone."""
    arrays = {name: value.detach().numpy() for name, value in values.items()}
    forward = evaluate(bp.program, arrays)
    rng = np.random.default_rng(0)
    derived = bp.derived("plain")
    for up, of in zip(derived.upstream, derived.upstream_of, strict=True):
        forward[up.name] = np.ones_like(forward[of]) if bp.scalar else rng.random(forward[of].shape)
    return {**forward, **evaluate(derived.program, forward, sizes_of(bp, arrays))}


def sizes_of(bp, arrays):
    return {s.name: arrays[s.input].shape[s.axis] for s in bp.symbols if s.axis is not None}


def test_the_article_in_float64_forward_and_backward():
    names = ["C", "Xb", "W1", "b1", "bngain", "bnbias", "W2", "b2", "Yb"]
    values = [v.double() if v.is_floating_point() else v for v in article_inputs(n=12)]
    batch = {"Xb", "Yb"}
    examples = [v[:8] if n in batch else v for n, v in zip(names, values, strict=True)]
    bp = backhand.derive(article.forward, *examples)
    found = by_numpy(bp, dict(zip(names, values, strict=True)))
    loss, gradients = bp(*values)
    np.testing.assert_allclose(found["loss"], loss.numpy(), rtol=1e-12)
    named = bp.derived("plain").gradients
    # b1 stands before a batch norm: its gradient is zero but for rounding, so one scale serves all
    scale = max(np.abs(g.numpy()).max() for g in gradients.values())
    for name, gradient in gradients.items():
        mine = found[named[name]]
        np.testing.assert_allclose(mine, gradient.numpy(), rtol=1e-10, atol=1e-12 * scale)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_example_programs_forward(name):
    bp, _ = derived(name)
    leaves = {leaf.name: leaf.value for leaf in bp.leaves if isinstance(leaf.value, torch.Tensor)}
    leaves |= dict(bp.captured.constants)
    random = {v.name for node in bp.program.nodes() if table()[node.op].random for v in node.outs}
    space = bp.namespace([leaf.value for leaf in bp.leaves], seed=0)
    given = {n: v.detach().numpy() for n, v in leaves.items()}
    for value in bp.program.values():
        if value.name in random:
            given[value.name] = space[value.var or value.name].detach().numpy()
    found = evaluate(bp.program, given)
    for out in bp.program.outputs:
        truth = space[out.var or out.name].detach().numpy()
        scale = np.abs(truth).max()
        np.testing.assert_allclose(found[out.name], truth, rtol=2e-4, atol=1e-5 * scale)


def run_one(op, *args, shape, dtype="float64"):
    from backhand.program.ir import Node, Program, Step, Value

    inputs = tuple(Value(f"x{i}", a.shape, str(a.dtype), f"x{i}") for i, a in enumerate(args))
    row = table()[op]
    out = Value("y", shape, dtype, "y")
    node = Node(op, row.bind(inputs, {}), (out,))
    program = Program("p", inputs, (Step("y", (node,)),), (out,))
    return evaluate(program, {f"x{i}": a for i, a in enumerate(args)})["y"]


def test_errors_say_what_is_missing():
    with pytest.raises(ProgramError, match=r"exp gives the shape .2,. where y has .3,."):
        run_one("exp", np.ones(2), shape=(3,))
    with pytest.raises(ProgramError, match="NumPy has no bfloat16"):
        run_one("exp", np.ones(2), shape=(2,), dtype="bfloat16")
    with pytest.raises(ProgramError, match="grid_sample has no reference: "):
        run_one("grid_sample", np.ones((1, 1, 2, 2)), np.ones((1, 2, 2, 2)), shape=(1, 1, 2, 2))
    with pytest.raises(ProgramError, match="there is no array for y"):
        run_one("rand_like", np.ones(2), shape=(2,))


def test_a_dtype_that_a_library_lends_numpy_is_none_of_its_own():
    import jax.numpy as jnp

    assert np.dtype("bfloat16") == jnp.bfloat16
    with pytest.raises(ProgramError, match="NumPy has no bfloat16"):
        run_one("exp", np.ones(2), shape=(2,), dtype="bfloat16")
