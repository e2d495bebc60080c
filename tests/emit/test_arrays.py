"""NumPy and JAX modules: torch's numbers, without torch."""

from __future__ import annotations

import copy
import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import backhand
from backhand.emit.array_spelling import refusal, refused, spelled
from backhand.errors import BackhandError, UnsupportedError
from backhand.program.ops import get_op, table
from tests.programs.loading import PROGRAMS
from tests.programs.loading import derived as derive_example

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
# how far a gradient may be from torch's, relative to its largest element
FLOAT64, FLOAT32 = 1e-12, 2e-5

JAX = pytest.param(
    "jax",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("jax") is None, reason="jax is an optional dependency"
    ),
)
LIBRARIES = ["numpy", JAX]


derived = cache(derive_example)


def arrays(library: str, values: list[Any]) -> list[Any]:
    found = [v.detach().numpy() if isinstance(v, torch.Tensor) else v for v in values]
    if library == "jax":
        import jax.numpy as jnp

        return [jnp.asarray(v) if isinstance(v, np.ndarray) else v for v in found]
    return found


@cache
def at_dtype(name: str, dtype: torch.dtype) -> backhand.Backprop:
    """An example derived anew with floats of another width, at its own sizes (which is quick)."""
    arguments = derived(name)[0].captured.arguments
    function = arguments.function
    if arguments.module is not None:
        function = copy.deepcopy(arguments.module).to(dtype)
    cast = [
        a.to(dtype) if isinstance(a, torch.Tensor) and a.is_floating_point() else a
        for a in arguments.args
    ]
    return backhand.derive(function, *cast, symbolic=False)


def loaded(bp: backhand.Backprop, library: str, **options: Any) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(bp.emit(library, **options), f"<{library}>", "exec"), space)
    return space


class Replay:
    """A generator of numbers that gives back those that torch drew."""

    def __init__(self, drawn: list[np.ndarray]) -> None:
        self.drawn = iter(drawn)

    def standard_normal(self, shape: Any, dtype: Any) -> np.ndarray:
        found = next(self.drawn)
        assert found.shape == tuple(shape) and found.dtype == dtype
        return found


def ran(bp: backhand.Backprop, library: str, **options: Any) -> dict[str, Any]:
    """The gradients that the module computes for the example, and torch's."""
    space = loaded(bp, library, **options)
    values = [leaf.value for leaf in bp.leaves]
    plain = [v.detach() if isinstance(v, torch.Tensor) else v for v in values]
    named = bp.namespace(plain, seed=0)
    ups: list[Any] = []
    up = None
    if not bp.scalar:
        of = bp.derived().upstream_of[0]
        up = torch.randn(named[of].shape, generator=torch.Generator().manual_seed(1))
        up = up.to(named[of].dtype)
        ups = arrays(library, [up])
    torch.manual_seed(0)
    _, wanted = bp(*bp.captured.arguments.args, upstream=up)
    both = space["forward_and_backward"]
    extra: list[Any] = []
    drawn = [n.outs[0].var for n in bp.program.nodes() if get_op(n.op).random]
    if drawn:
        assert library == "numpy", "jax draws other numbers"
        extra = [Replay([named[name].numpy() for name in drawn])]
    if library == "jax":
        import jax

        both = jax.jit(both)
    _, found = both(*arrays(library, values), *extra, *ups)
    return {of: (np.asarray(found[of]), wanted[of].numpy()) for of in wanted}


def agree(pairs: dict[str, Any], bound: float) -> None:
    assert pairs
    for of, (got, true) in pairs.items():
        assert got.dtype == true.dtype and got.shape == true.shape, of
        # a bias before a normalisation has a gradient that is zero but for rounding
        scale = max(float(np.abs(true).max()), 1e-2)
        assert float(np.abs(got - true).max()) <= bound * scale, of


@pytest.fixture
def wide() -> Any:
    """JAX with 64-bit numbers."""
    if importlib.util.find_spec("jax") is None:
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", ["article", *PROGRAMS])
def test_numpy_in_float64(name: str) -> None:
    agree(ran(at_dtype(name, torch.float64), "numpy"), FLOAT64)


@pytest.mark.parametrize("name", ["article", "gpt_block", "vae"])
@pytest.mark.parametrize("save", ["fast", "least"])
def test_numpy_in_float32(name: str, save: str) -> None:
    agree(ran(derived(name)[0], "numpy", save=save), FLOAT32)


@pytest.mark.parametrize("library", [JAX])
@pytest.mark.parametrize("name", ["article", "gpt_block", "conv_net", "contrastive", "norms"])
def test_jax_compiled_in_float64(name: str, library: str, wide: Any) -> None:
    agree(ran(at_dtype(name, torch.float64), library), FLOAT64)


@pytest.mark.parametrize("library", [JAX])
def test_jax_in_float32(library: str) -> None:
    agree(ran(derived("article")[0], library, save="least"), FLOAT32)


@pytest.mark.parametrize("library", [JAX])
def test_jax_draws_from_its_key(library: str) -> None:
    import jax

    space = loaded(derived("vae")[0], library)
    values = arrays(library, [leaf.value for leaf in derived("vae")[0].leaves])
    losses = [space["forward"](*values, jax.random.key(k))[0] for k in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("library", LIBRARIES)
def test_runs_without_torch(library: str, tmp_path: Path) -> None:
    bp = derived("article")[0]
    (tmp_path / "emitted.py").write_text(bp.emit(library))
    np.savez(tmp_path / "inputs.npz", **{leaf.name: leaf.value.numpy() for leaf in bp.leaves})
    code = """
        import sys
        sys.modules["torch"] = sys.modules["backhand"] = None
        import numpy
        from emitted import forward_and_backward
        loss, gradients = forward_and_backward(**numpy.load("inputs.npz"))
        print(float(loss), *gradients)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    loss, *names = done.stdout.split()
    wanted, grads = bp(*(leaf.value for leaf in bp.leaves))
    assert abs(float(loss) - float(wanted)) < 1e-5 and names == list(grads)


@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_every_operator_is_spelled_or_refused(library: str) -> None:
    without = refused(library)
    for name, op in table().items():
        assert spelled(library, op) != (name in without), name
        found = refusal(library, name)
        assert found is None or all(found), name
    gradient = {name for name in without if get_op(name).kind == "gradient"}
    assert len(without) - len(gradient) < 50
    assert len(table()) - len(without) > 250


@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_what_cannot_be_said_is_refused_with_the_line(library: str) -> None:
    def f(x):
        middle = x.median(1).values
        return middle.sum()

    bp = backhand.derive(f, torch.randn(3, 5))
    with pytest.raises(UnsupportedError, match=f"{library} cannot say median_dim") as caught:
        bp.emit(library)
    assert "middle = x.median(1).values" in str(caught.value)
    assert "use sort and an index" in str(caught.value)


def test_masks_cannot_index_under_jit() -> None:
    def f(x):
        return x[x > 0].sum()

    try:
        bp = backhand.derive(f, torch.randn(6))
    except BackhandError:
        return  # how much a mask picks is no size that a derivation may have
    with pytest.raises(UnsupportedError, match="jax cannot index with a mask"):
        bp.emit("jax")


def mixed(x, index, flag):
    whole = index * 2.0 + x
    share = (index / 3).sum()
    pick = torch.where(flag, 1.0, 0.0)
    return ((whole * pick) ** 2).mean() * share + (flag * x).sum() + x.softmax(0).amax()


@pytest.mark.parametrize("library", LIBRARIES)
def test_dtypes_are_torchs(library: str, wide: Any) -> None:
    x = torch.randn(7)
    bp = backhand.derive(mixed, x, torch.arange(7), x > 0)
    agree(ran(bp, library), FLOAT32)


@pytest.mark.parametrize("library", ["numpy", "jax"])
@pytest.mark.parametrize("name", ["article", "gpt_block"])
def test_text_is_as_kept(name: str, library: str) -> None:
    text = derived(name)[0].emit(library)
    path = GOLDEN / f"{library}_{name}.py.txt"
    if os.environ.get("BACKHAND_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()
    assert not re.search(r"torch\.", re.sub(r"#.*", "", text))
    lines = [line for line in text.splitlines() if not line.strip().startswith("#")]
    assert [line for line in lines if len(line) > 100] == []
