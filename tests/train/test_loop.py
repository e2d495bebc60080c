"""Training: the same run however it is cut, the same losses whoever derives the gradients."""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from backhand.errors import BackhandError, InputError
from backhand.train import checkpoint, loop
from backhand.train.config import Config
from backhand.train.data import load_names, split
from backhand.train.loop import Trained, stored_config, train
from backhand.train.network import PARAMETERS, calibrate, forward, initialise, scores
from backhand.train.stop import Interrupted, Stop

NAMES = [f"{a}{b}{c}a" for a in "bcdfg" for b in "aeiou" for c in "lmn"]


@pytest.fixture
def small(tmp_path: Path) -> Config:
    """A run of a fraction of a second."""
    names = tmp_path / "names.txt"
    names.write_text("\n".join(NAMES))
    return Config(
        data=str(names),
        out=str(tmp_path / "run"),
        hidden=8,
        n_embd=4,
        steps=40,
        batch=8,
        grad="autograd",
        checkpoint_every=15,
        samples=3,
    )


def elsewhere(config: Config, name: str) -> Config:
    return replace(config, out=str(Path(config.out).with_name(name)))


def identical(a: Trained, b: Trained) -> bool:
    return torch.equal(a.losses, b.losses) and all(
        torch.equal(a.parameters[name], b.parameters[name]) for name in PARAMETERS
    )


def at(step: int, action: Callable[[], None]) -> Callable[[int, Tensor], None]:
    def watch(done: int, losses: Tensor) -> None:
        if done == step:
            action()

    return watch


def stopped_at(config: Config, step: int) -> Interrupted:
    """Start a run and press Ctrl-C in a step."""
    with pytest.raises(Interrupted) as caught:
        train(config, watch=at(step, lambda: signal.raise_signal(signal.SIGINT)))
    return caught.value


def refused(config: Config, **options: Any) -> str:
    with pytest.raises(BackhandError) as caught:
        train(config, **options)
    return str(caught.value)


def test_longhand_and_autograd_agree_bit_for_bit(small: Config) -> None:
    config = replace(small, data=None, hidden=16, steps=200, batch=32)
    longhand = train(replace(elsewhere(config, "longhand"), grad="longhand"))
    autograd = train(replace(elsewhere(config, "autograd"), grad="autograd"))
    assert identical(longhand, autograd)
    assert longhand.samples == autograd.samples
    assert longhand.dev_loss == autograd.dev_loss


@pytest.mark.parametrize(("grad", "taped"), [("longhand", False), ("autograd", True)])
def test_only_autograd_records_a_tape(small: Config, grad: str, taped: bool) -> None:
    saved = 0

    def pack(value: Tensor) -> Tensor:
        nonlocal saved
        saved += 1
        return value

    with ExitStack() as stack:

        def watch(done: int, losses: Tensor) -> None:
            if done == 1:  # deriving may ask autograd about anything; stepping may not
                hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value)
                stack.enter_context(hooks)

        train(replace(small, grad=grad), watch=watch)
    assert (saved > 0) is taped


def test_the_loss_falls(small: Config) -> None:
    trained = train(replace(small, steps=400))
    assert len(trained.losses) == 400
    assert trained.losses[-50:].mean() < 0.6 * trained.losses[:10].mean()
    assert trained.train_loss < 1.5 and trained.dev_loss < 1.7
    assert trained.curve.read_bytes().startswith(b"\x89PNG")


def test_a_run_repeats_and_another_seed_is_another_run(small: Config) -> None:
    first, again = train(small), train(elsewhere(small, "again"))
    assert identical(first, again) and first.samples == again.samples
    assert not identical(first, train(replace(elsewhere(small, "other"), seed=3)))


def test_steps_are_plain_gradient_descent_on_the_schedule(small: Config) -> None:
    config = replace(small, steps=4, rate=0.2, rate_late=0.05, switch=0.5, checkpoint_every=1)
    names = load_names(config.data)
    X, Y = split(names, 3).train
    generator = torch.Generator().manual_seed(config.seed)
    parameters = initialise(config, len(names.letters), generator)
    losses = []
    for rate in (0.2, 0.2, 0.05, 0.05):
        chosen = torch.randint(0, len(X), (8,), generator=generator)
        leaves = {name: p.clone().requires_grad_() for name, p in parameters.items()}
        loss = forward(
            *(leaves[n] if n in leaves else X[chosen] for n in ("C", "Xb", "W1", "b1")),
            *(leaves[n] for n in ("bngain", "bnbias", "W2", "b2")),
            Y[chosen],
        )
        losses.append(loss.item())
        found = torch.autograd.grad(loss, list(leaves.values()))
        for name, gradient in zip(leaves, found, strict=True):
            parameters[name] = parameters[name] - rate * gradient
    trained = train(config)
    torch.testing.assert_close(trained.losses, torch.tensor(losses), rtol=1e-6, atol=0)
    for name in PARAMETERS:
        torch.testing.assert_close(trained.parameters[name], parameters[name])


def test_running_statistics_are_those_of_all_training_examples(
    small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backhand.train.network.PIECE", 7)
    trained = train(small)
    X, Y = split(load_names(small.data), 3).train
    p = trained.parameters
    hprebn = (p["C"][X].flatten(1) @ p["W1"] + p["b1"]).double()
    torch.testing.assert_close(trained.running.mean.double()[0], hprebn.mean(0))
    torch.testing.assert_close(trained.running.var.double()[0], hprebn.var(0))
    # Over the whole training set, running statistics are a batch's own.
    whole = forward(p["C"], X, p["W1"], p["b1"], p["bngain"], p["bnbias"], p["W2"], p["b2"], Y)
    assert math.isclose(trained.train_loss, whole.item(), rel_tol=1e-5)
    logits = scores(p, calibrate(p, X), X[:1])
    assert torch.allclose(logits, scores(p, trained.running, X)[:1], atol=1e-6)


@pytest.mark.parametrize("step", [1, 14, 15, 16, 39, 40])
def test_ctrl_c_saves_and_the_run_goes_on_as_if_nothing_had_been(small: Config, step: int) -> None:
    whole = train(elsewhere(small, "whole"))
    stopped = stopped_at(small, step)
    assert stopped.step == step
    assert checkpoint.steps_in(Path(small.out))[0] == step
    assert f"stopped at step {step} of 40; go on with:" in str(stopped)
    resumed = train(small, resume=True)
    assert identical(resumed, whole) and resumed.samples == whole.samples


def test_signals_are_handled_as_before_once_training_is_over(small: Config) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    stopped_at(small, 3)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop.asked
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_finished_run_can_be_looked_at_again(small: Config) -> None:
    first = train(small)
    again = train(replace(small, samples=5), resume=True)
    assert identical(first, again)
    assert again.samples[:3] == first.samples and len(again.samples) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden": 9}, "hidden is 8 in the checkpoint and 9 here"),
        ({"steps": 41}, "steps is 40 in the checkpoint and 41 here"),
        ({"batch": 9}, "batch is 8 in the checkpoint and 9 here"),
        ({"rate": 0.2}, "rate is 0.1 in the checkpoint and 0.2 here"),
        ({"seed": 1}, "seed is 2147483647 in the checkpoint and 1 here"),
        ({"block_size": 2}, "block_size is 3 in the checkpoint and 2 here"),
        ({"grad": "longhand"}, "grad is autograd in the checkpoint and longhand here"),
        ({"data": None}, "the names in shipped with backhand are not the ones"),
    ],
)
def test_going_on_with_another_configuration_is_refused(
    small: Config, change: dict[str, Any], words: str
) -> None:
    stopped_at(small, 5)
    assert words in refused(replace(small, **change), resume=True)
    assert checkpoint.steps_in(Path(small.out)) == [5, 0]


def test_going_on_with_changed_data_is_refused_and_with_moved_data_is_not(small: Config) -> None:
    stopped_at(small, 5)
    assert small.data is not None
    moved = Path(small.data).rename(Path(small.data).with_name("moved.txt"))
    assert "there is no names file" in refused(stored_config(small.out, {}), resume=True)
    whole = train(replace(elsewhere(small, "whole"), data=str(moved)))
    assert identical(train(replace(small, data=str(moved)), resume=True), whole)
    moved.write_text("\n".join([*NAMES, "one"]))
    message = refused(stored_config(small.out, {"data": str(moved)}), resume=True)
    assert "moved.txt are not the ones that the run began with" in message


def test_going_on_takes_the_saved_configuration(
    small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(small.out).parent)
    stopped_at(replace(small, data="names.txt"), 5)
    config = stored_config(small.out, {"samples": 7})
    assert config.fixed() == small.fixed()
    assert (config.data, config.samples) == (str(Path(small.out).parent / "names.txt"), 7)


def test_a_damaged_checkpoint_costs_only_what_came_after_the_one_before(small: Config) -> None:
    whole = train(elsewhere(small, "whole"))
    stopped_at(small, 20)
    path = Path(small.out) / f"{checkpoint.stem(20)}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    notices: list[str] = []
    resumed = train(small, resume=True, notify=notices.append)
    assert identical(resumed, whole)
    (notice,) = notices
    assert "checkpoint-0000000020.safetensors is damaged" in notice
    assert notice.endswith("going on from step 15")


def test_nothing_is_overwritten_without_force(small: Config) -> None:
    stopped_at(small, 5)
    assert "holds a run at step 5: go on with it by --resume" in refused(small)
    assert checkpoint.steps_in(Path(small.out)) == [5, 0]
    assert identical(train(small, force=True), train(elsewhere(small, "whole")))
    other = elsewhere(small, "other")
    Path(other.out).mkdir()
    (Path(other.out) / "loss.png").write_bytes(b"mine")
    assert "loss.png exists: overwrite it with --force" in refused(other)
    assert (Path(other.out) / "loss.png").read_bytes() == b"mine"


def test_going_on_from_nothing_is_refused(small: Config) -> None:
    assert "there is no checkpoint in" in refused(small, resume=True)


def test_a_run_that_diverges_says_where_and_keeps_the_last_good_state(small: Config) -> None:
    message = refused(replace(small, rate=1e30, checkpoint_every=1))
    found = re.match(r"the loss became (nan|inf) at step (\d+): start over with a smaller", message)
    assert found
    assert checkpoint.steps_in(Path(small.out))[0] == int(found[2]) - 1
    kept = checkpoint.load(Path(small.out))[0]
    assert bool(torch.isfinite(kept.tensors["losses"]).all())


def test_a_disk_that_fills_up_is_an_error_and_not_a_lost_run(
    small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(elsewhere(small, "whole"))

    def fill() -> None:
        def full(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)

    assert "No space left on device" in refused(small, watch=at(20, fill))
    monkeypatch.undo()
    assert identical(train(small, resume=True), whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden": 0}, "hidden must be at least 1, not 0"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch": 1}, "batch norm divides by n - 1"),
        ({"rate": 0.0}, "rate must be a positive number"),
        ({"rate_late": math.nan}, "rate_late must be a positive number, not nan"),
        ({"switch": 1.5}, "switch must be between 0 and 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 2**63}, "seed must be below"),
        ({"grad": "magic"}, "grad must be one of longhand, shorthand, autograd, not 'magic'"),
        ({"block_size": 101}, "block_size must be at most 100"),
        ({"samples": -1}, "samples must be at least 0"),
        ({"hidden": 10**13}, "cannot make a network with hidden="),
        ({"steps": 10**16}, "cannot keep 10,000,000,000,000,000 losses"),
        ({"device": "toaster"}, "device 'toaster' cannot be used"),
        ({"device": "meta"}, "device 'meta' cannot be used"),
    ],
)
def test_an_impossible_configuration_is_refused(
    small: Config, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError) as caught:
        train(replace(small, **change))
    assert words in str(caught.value)


def test_torch_is_left_with_the_threads_it_had(small: Config) -> None:
    before = torch.get_num_threads()
    inside: list[int] = []
    train(
        replace(small, threads=before + 1),
        watch=lambda done, losses: inside.append(torch.get_num_threads()),
    )
    assert set(inside) == {before + 1}
    assert torch.get_num_threads() == before


def test_the_command_to_go_on_is_quoted_for_a_shell() -> None:
    command = str(Interrupted(1, 2, "my run; rm")).splitlines()[-1]
    assert shlex.split(command) == ["backhand", "train", "--resume", "--out", "my run; rm"]


def test_sampled_names_end_where_the_network_says_or_at_a_limit(
    small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train(replace(small, steps=400))
    assert all(set(name) <= set("".join(NAMES)) for name in trained.samples)
    assert {len(name) for name in trained.samples} <= set(range(1, 9))
    endless = {**trained.parameters, "b2": trained.parameters["b2"].clone()}
    endless["b2"][0] = -1e9
    names = loop.sample_names(endless, trained.running, load_names(small.data).letters, 3, 2, 1)
    assert [len(name) for name in names] == [100, 100]
