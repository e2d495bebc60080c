"""NumPy and JAX modules: torch's numbers, without torch."""

from __future__ import annotations

import copy
import importlib.util
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
from backhand.emit.array_spelling import JAX as JAX_ARRAYS
from backhand.emit.array_spelling import NUMPY, refusal, refused, spelled
from backhand.emit.backend import Backend
from backhand.emit.python import Printer
from backhand.errors import BackhandError, UnsupportedError
from backhand.program.ir import Node, Program, Step, Value
from backhand.program.ops import get_op, table
from tests.kept import kept
from tests.programs.loading import PROGRAMS
from tests.programs.loading import derived as derive_example

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


@pytest.mark.parametrize("backend", [NUMPY, JAX_ARRAYS], ids=lambda b: b.name)
def test_devices_follow_the_inputs_or_are_refused(backend: Backend) -> None:
    x, out = Value("x", (3,), "float32", "x"), Value("y", (3,), "float32", "y")
    for op, args in (
        ("to_device", (x,)),
        ("full", ((3,), 0.5, "float32")),
        ("arange", (0, 3, 1, "float32")),
        ("eye", (3, 3, "float32")),
        ("linspace", (0, 1, 3, "float32")),
        ("rand", ((3,), "float32")),
    ):
        for there in (x, None, "cpu", "cuda:1"):
            node = Node(op, (*args, there), (out,))
            program = Program("p", (x,), (Step("y", (node,)),), (out,), ())
            printer = Printer(program, {}, backend=backend)
            if there == "cuda:1":
                with pytest.raises(UnsupportedError, match=f"{backend.name} cannot say device="):
                    printer.lines()
            else:
                assert "device" not in printer.lines()[0].text


def draws(x, p):
    a, b = torch.rand(4, device=x.device), torch.randn(4)
    c = torch.empty(4).uniform_(1, 2) + torch.empty(4).normal_(1, 2)
    d = torch.empty(4).exponential_(2.0) + torch.empty(4).cauchy_() + torch.empty(4).log_normal_()
    e = torch.randint(2, 5, (4,)) + torch.randint_like(p, 3) + torch.randperm(4)
    f = torch.poisson(p) + torch.bernoulli(p) + torch.empty(4).geometric_(0.3)
    g = torch.normal(p, p) + torch.normal(0.5, 1.0, (4,))
    factor = a + b + c + d + e + f + g
    return (x * factor).sum(), factor


@pytest.mark.parametrize("library", LIBRARIES)
def test_draws(library: str) -> None:
    """Other numbers than torch's, but the same in both passes."""
    inputs = [torch.ones(4), torch.tensor([0.1, 0.2, 0.3, 0.9])]
    space = loaded(backhand.derive(draws, *inputs), library)
    source: Any = np.random.default_rng(0)
    if library == "jax":
        import jax

        source = jax.random.key(0)
    one, nothing = arrays(library, [torch.ones(()), torch.zeros(4)])
    (_, factor), grads = space["forward_and_backward"](
        *arrays(library, inputs), source, one, nothing
    )
    assert np.array_equal(grads["x"], factor) and grads["x"].dtype == np.float32
    assert np.unique(np.asarray(factor)).size == 4
    assert not np.any(grads["p"])


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
    assert text == kept(f"{library}_{name}.py.txt", text)
    assert not re.search(r"torch\.", re.sub(r"#.*", "", text))
    lines = [line for line in text.splitlines() if not line.strip().startswith("#")]
    assert [line for line in lines if len(line) > 100] == []
