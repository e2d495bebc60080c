"""The backward pass that examples/article.py writes out by hand, against autograd."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import textwrap
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from backhand.train import network

ROOT = Path(__file__).resolve().parents[1]
SIZES = (8, 32, 33, 100)
# fmt: off
GRADIENTS = [
    "dlogprobs", "dprobs", "dcounts_sum_inv", "dcounts_sum", "dcounts", "dnorm_logits",
    "dlogit_maxes", "dlogits", "dh", "dW2", "db2", "dhpreact", "dbngain", "dbnbias", "dbnraw",
    "dbnvar_inv", "dbnvar", "dbndiff2", "dbndiff", "dbnmeani", "dhprebn", "dembcat", "dW1", "db1",
    "demb", "dC",
]
# fmt: on
FUSED = {"dlogits_fused": "dlogits", "dhprebn_fused": "dhprebn"}
# Gradients of what merely shifts the input of a softmax or of a batch norm: zero but for rounding,
# so the whole network tells nothing about their lines. Each: its own step, and the upstream there.
SHIFTS = {
    "dlogit_maxes": ("norm_logits = logits - logit_maxes", "dnorm_logits"),
    "db1": ("hprebn = embcat @ W1 + b1", "dhprebn"),
}
# From tanh on, the plain line rounds once more than torch's kernel does.
BEFORE_TANH = GRADIENTS[: GRADIENTS.index("dhpreact")]


def load_article() -> ModuleType:
    spec = importlib.util.spec_from_file_location("article", ROOT / "examples" / "article.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


article = load_article()


def inputs(n: int, dtype: torch.dtype, hidden: int = 64) -> dict[str, Tensor]:
    values = article.example_inputs(n=n, d=hidden)
    values = (v.to(dtype) if v.is_floating_point() else v for v in values)
    return dict(zip(inspect.signature(article.forward).parameters, values, strict=True))


def function(module: ModuleType, name: str) -> ast.FunctionDef:
    parsed = ast.parse(textwrap.dedent(inspect.getsource(getattr(module, name)))).body[0]
    assert isinstance(parsed, ast.FunctionDef)
    return parsed


def truth(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of every value of `forward`, by autograd, statement by statement."""
    space: dict[str, object] = {"torch": torch, **{k: v.clone() for k, v in values.items()}}
    for name, value in space.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            space[name] = value.requires_grad_()
    for statement in function(article, "forward").body:
        if isinstance(statement, ast.Assign):
            exec(ast.unparse(statement), space)
            target = statement.targets[0]
            assert isinstance(target, ast.Name)
            made = space[target.id]
            if isinstance(made, Tensor):
                made.retain_grad()
    loss = space["loss"]
    assert isinstance(loss, Tensor)
    loss.backward()
    return {
        f"d{name}": value.grad
        for name, value in space.items()
        if isinstance(value, Tensor) and value.requires_grad and value.grad is not None
    }


def fault(got: Tensor, want: Tensor, relative: float) -> str:
    """What is wrong with a gradient, or nothing; the error is measured against the largest."""
    if got.shape != want.shape:
        return f"shape {tuple(got.shape)}, not {tuple(want.shape)}"
    if got.dtype != want.dtype:
        return f"{got.dtype}, not {want.dtype}"
    scale = max(float(want.abs().max()), 1e-3)
    error = float((got - want).abs().max()) / scale
    return "" if error <= relative else f"off by {error:.1e} of the largest entry"


def faults(by_hand: dict[str, Tensor], values: dict[str, Tensor]) -> dict[str, str]:
    wanted = truth(values)
    found = {
        name: fault(by_hand[name], wanted[FUSED.get(name, name)], 1e-12)
        for name in (*GRADIENTS, *FUSED)
    }
    return {name: message for name, message in found.items() if message}


def test_every_gradient_has_its_line_and_no_other() -> None:
    by_hand = article.backward_by_hand(**inputs(8, torch.float64))
    assert list(by_hand) == [*GRADIENTS, *FUSED]
    assert len(GRADIENTS) == 26
    assert set(truth(inputs(8, torch.float64))) - {"dloss"} == set(GRADIENTS)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("hidden", [64, 200])
def test_gradients_are_autograds(n: int, hidden: int) -> None:
    values = inputs(n, torch.float64, hidden)
    assert faults(article.backward_by_hand(**values), values) == {}


@pytest.mark.parametrize("n", SIZES)
def test_lines_before_tanh_are_autograds_bit_for_bit(n: int) -> None:
    values = inputs(n, torch.float32)
    by_hand, wanted = article.backward_by_hand(**values), truth(values)
    assert [name for name in BEFORE_TANH if not torch.equal(by_hand[name], wanted[name])] == []
    later = [name for name in GRADIENTS if name not in BEFORE_TANH]
    assert all(fault(by_hand[name], wanted[name], 1e-5) == "" for name in later)


def own_lines() -> list[ast.Assign]:
    """The assignments of backward_by_hand that make a gradient."""
    names = {*GRADIENTS, *FUSED}
    return [
        statement
        for statement in function(article, "backward_by_hand").body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and statement.targets[0].id in names
    ]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (ast.unparse(line.targets[0]), change)
        for line in own_lines()
        for change in ("({})*(1 + 1e-9)", "-({})", "({}).unsqueeze(0)")
        # Zero but for rounding, these have neither sign nor size to compare.
        if ast.unparse(line.targets[0]) not in SHIFTS or "unsqueeze" in change
    ],
)
def test_a_mistake_in_any_line_is_noticed(name: str, change: str) -> None:
    changed = function(article, "backward_by_hand")
    for statement in changed.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            wrong = change.format(ast.unparse(statement.value))
            statement.value = ast.parse(wrong, mode="eval").body
    if name == "dlogprobs":  # made in two statements: the mistake belongs into the second
        for statement in changed.body:
            if ast.unparse(statement).startswith("dlogprobs["):
                assert isinstance(statement, ast.Assign)
                wrong = "-1.1 / n" if "unsqueeze" in change else change.format("-1.0 / n")
                statement.value = ast.parse(wrong, mode="eval").body
    space = dict(vars(article))
    exec(ast.unparse(changed), space)
    values = inputs(8, torch.float64)
    try:
        by_hand = space["backward_by_hand"](**values)
    except (RuntimeError, IndexError):
        return  # the shapes no longer fit
    assert name in faults(by_hand, values)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_line_whose_gradient_is_zero_is_right_for_any_upstream(name: str) -> None:
    step, upstream = SHIFTS[name]
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    space: dict[str, Tensor] = {
        "logits": normal(8, 27),
        "logit_maxes": normal(8, 1),
        "embcat": normal(8, 30),
        "W1": normal(30, 64),
        "b1": normal(64),
    }
    operand = space[name.removeprefix("d")].requires_grad_()
    exec(step, space)
    value = space[upstream.removeprefix("d")]
    space[upstream] = torch.randn(value.shape, generator=generator, dtype=torch.float64)
    value.backward(space[upstream])
    (line,) = (line for line in own_lines() if ast.unparse(line.targets[0]) == name)
    exec(ast.unparse(line), space)
    assert operand.grad is not None and float(operand.grad.abs().max()) > 1
    assert fault(space[name], operand.grad, 1e-12) == ""


def test_the_training_job_runs_the_same_forward_pass() -> None:
    ours, theirs = function(article, "forward"), function(network, "forward")
    assert [ast.dump(s) for s in ours.body] == [ast.dump(s) for s in theirs.body]
    assert [a.arg for a in ours.args.args] == [a.arg for a in theirs.args.args]


def test_forward_is_torchs_own_batch_norm_and_cross_entropy() -> None:
    v = inputs(33, torch.float64)
    hprebn = v["C"][v["Xb"]].flatten(1) @ v["W1"] + v["b1"]
    normed = (hprebn - hprebn.mean(0)) / torch.sqrt(hprebn.var(0) + 1e-5)
    h = torch.tanh(v["bngain"] * normed + v["bnbias"])
    want = torch.nn.functional.cross_entropy(h @ v["W2"] + v["b2"], v["Yb"])
    torch.testing.assert_close(article.forward(**v), want, rtol=1e-12, atol=0)
