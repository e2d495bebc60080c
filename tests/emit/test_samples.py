"""Every operator's samples in NumPy's spelling: forward and backward are torch's numbers."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch

from backhand.emit.array_library import HELPERS
from backhand.emit.array_module import with_casts
from backhand.emit.array_spelling import NUMPY
from backhand.emit.python import Printer, printed_name
from backhand.errors import BackhandError, UnsupportedError
from backhand.program.ir import Program
from backhand.program.ops import get_op
from backhand.rules import RULES
from tests.rules.checks import calls
from tests.rules.machinery import Refused, run

PARTS = 4
SAMPLES = 2  # of each operator: the rest differ in what the printer does not see


def namespace() -> dict[str, Any]:
    space: dict[str, Any] = {
        "np": np, "sp": scipy.special, "math": math, "itertools": itertools
    }
    exec("\n\n".join(HELPERS["numpy"].values()), space)
    return space


def differences(program: Program, space: dict[str, Any]) -> list[str]:
    """Run a program's NumPy statements beside torch; what is not the same."""
    lines = Printer(with_casts(program), {}, inline=False, backend=NUMPY).lines()
    run(program, space)
    ours = namespace()
    for v in program.inputs:
        if isinstance(space.get(v.name), torch.Tensor):
            ours[printed_name(v)] = space[v.name].numpy()
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


# torch warns of the default of affine_grid, which the samples use, and of operators that are new
@pytest.mark.filterwarnings("ignore:Default grid_sample and affine_grid:UserWarning")
@pytest.mark.filterwarnings("ignore:index_reduce.* is in beta:UserWarning")
@pytest.mark.parametrize("part", range(PARTS))
def test_samples(part: int) -> None:
    compared, found = 0, []
    for name in sorted(RULES)[part::PARTS]:
        for call in itertools.islice(calls(RULES[name]), SAMPLES):
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
                        found += [f"{call.label}: {d}" for d in differences(program, space)]
                    compared += 1
                except UnsupportedError:
                    run(program, space)
    assert not found, "\n".join(found)
    assert compared > 100
