"""The operators' samples as NumPy and JAX spell them: both passes are torch's numbers."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch

from backhand.emit.array_library import HELPERS
from backhand.emit.array_module import with_casts
from backhand.emit.array_spelling import JAX, NUMPY
from backhand.emit.python import Printer, printed_name
from backhand.errors import BackhandError, UnsupportedError
from backhand.program.ir import Program
from backhand.program.ops import get_op
from backhand.rules import RULES
from tests.rules.checks import calls
from tests.rules.machinery import Refused, run

PARTS = 4
SAMPLES = 2  # of each operator: the rest differ in what the printer does not see


# Operators that JAX spells in its own way; the others read as in NumPy.
OWN = (
    "constant_pad_nd", "convolution2d", "cumsum", "diag_embed", "embedding", "gather", "index_add",
    "index_copy", "index_put", "index_select", "logcumsumexp", "max_pool2d_with_indices",
    "scatter", "scatter_add", "select_scatter", "slice_scatter", "sort", "topk", "unfold",
)  # fmt: skip


def namespace(library: str) -> dict[str, Any]:
    space: dict[str, Any] = {"math": math, "itertools": itertools}
    if library == "numpy":
        space.update(np=np, sp=scipy.special)
    else:
        import jax
        import jax.scipy.special

        space.update(jax=jax, jnp=jax.numpy, sp=jax.scipy.special)
    exec("\n\n".join(HELPERS[library].values()), space)
    return space


def differences(library: str, program: Program, space: dict[str, Any]) -> list[str]:
    """Run a program's statements beside torch; what is not the same."""
    backend = {"numpy": NUMPY, "jax": JAX}[library]
    lines = Printer(with_casts(program), {}, inline=False, backend=backend).lines()
    run(program, space)
    ours = namespace(library)
    array = np.asarray if library == "numpy" else ours["jnp"].asarray
    for v in program.inputs:
        if isinstance(space.get(v.name), torch.Tensor):
            ours[printed_name(v)] = array(space[v.name].numpy())
    found: list[str] = []
    for line in lines:
        exec(line.text, ours)
        for v in line.assigns:
            true = space.get(v.name)
            if v.dtype == "none" or not isinstance(true, torch.Tensor):
                continue
            got, wanted = np.asarray(ours[printed_name(v)]), true.numpy()
            if got.shape != wanted.shape or got.dtype != wanted.dtype:
                found.append(f"{line.text}: {got.dtype}{got.shape}, {wanted.dtype}{wanted.shape}")
            elif not _close(got, wanted):
                found.append(f"{line.text}: {got.tolist()} where torch has {wanted.tolist()}")
    return found


def _close(got: np.ndarray, wanted: np.ndarray) -> bool:
    if wanted.dtype.kind != "f":
        return bool(np.array_equal(got, wanted))
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)
    return bool(np.allclose(got, wanted, rtol=1e-9, atol=1e-11 * scale, equal_nan=True))


def judged(library: str, names: Iterable[str], samples: int) -> int:
    """How many programs agree; fails with those that do not."""
    compared = 0
    found: list[str] = []
    for name in names:
        for call in itertools.islice(calls(RULES[name]), samples):
            try:
                derived = call.derived
            except (Refused, BackhandError):
                continue  # torch itself has no gradient there
            space = derived.environment()
            for program in (derived.program, derived.plain.program):
                if any(get_op(node.op).random for node in program.nodes()):
                    continue  # other numbers are drawn
                try:
                    with warnings.catch_warnings(), np.errstate(all="ignore"):
                        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing
                        told = differences(library, program, space)
                    found += [f"{call.label}: {d}" for d in told]
                    compared += 1
                except UnsupportedError:
                    run(program, space)
    assert not found, "\n".join(found)
    return compared


# torch warns of the default of affine_grid, which the samples use, and of operators that are new
@pytest.mark.filterwarnings("ignore:Default grid_sample and affine_grid:UserWarning")
@pytest.mark.filterwarnings("ignore:index_reduce.* is in beta:UserWarning")
@pytest.mark.parametrize("part", range(PARTS))
def test_in_numpy(part: int) -> None:
    assert judged("numpy", sorted(RULES)[part::PARTS], SAMPLES) > 100


def test_in_jax() -> None:
    jax = pytest.importorskip("jax", reason="jax is an optional dependency")
    with jax.enable_x64(True):
        assert judged("jax", OWN, 1) > 30
