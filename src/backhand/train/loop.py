"""The training loop: start or go on, step, save, evaluate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backhand.errors import BackhandError, InputError
from backhand.train import checkpoint
from backhand.train.config import Config
from backhand.train.curve import draw_curve
from backhand.train.data import Examples, Names, Splits, load_names, shown, split
from backhand.train.gradients import choose
from backhand.train.network import (
    PARAMETERS,
    Running,
    calibrate,
    first_line,
    initialise,
    mean_loss,
)
from backhand.train.progress import Watch
from backhand.train.sample import sample_names
from backhand.train.stop import Interrupted, Stop

CURVE = "loss.png"
SAMPLE_SEED = 10  # added to the run's own seed, as the notebook does

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: parameters, statistics, the loss of every step, and what came of it."""

    parameters: dict[str, Tensor]
    running: Running
    losses: Tensor
    train_loss: float
    dev_loss: float
    test_loss: float
    samples: list[str]
    curve: Path


@dataclass(slots=True)
class State:
    """Everything that changes from step to step."""

    step: int
    parameters: dict[str, Tensor]
    losses: Tensor
    generator: torch.Generator

    def snapshot(self, config: Config, names: Names) -> checkpoint.Snapshot:
        facts = {
            "config": config.fixed(),
            "data": None if config.data is None else str(Path(config.data).absolute()),
            "data_sha256": names.sha256,
            "torch": torch.__version__,
        }
        tensors = {name: value.cpu().contiguous() for name, value in self.parameters.items()}
        tensors["losses"] = self.losses[: self.step].cpu().contiguous()
        tensors["generator"] = self.generator.get_state()
        return checkpoint.Snapshot(self.step, facts, tensors)


def stored_config(out: str, given: dict[str, Any]) -> Config:
    """The configuration to go on with: the saved one, with what is `given` in its place.

    `train` then refuses whatever of it differs from the saved one and matters.
    """
    facts = checkpoint.load(Path(out))[0].facts
    known = {field.name for field in fields(Config)}
    if not set(facts["config"]) <= known:
        raise InputError(f"the checkpoint in {shown(out)} was written by another version")
    return Config(**{"data": facts["data"], **facts["config"], **given, "out": out})


def fresh(config: Config, names: Names) -> State:
    generator = torch.Generator().manual_seed(config.seed)
    parameters = initialise(config, len(names.letters), generator)
    return State(0, parameters, no_losses(config), generator)


def no_losses(config: Config) -> Tensor:
    """Room for the loss of every step."""
    try:
        return torch.zeros(config.steps, device=config.device)
    except (RuntimeError, MemoryError) as error:
        raise InputError(f"cannot keep {config.steps:,} losses: {first_line(error)}") from None


def restored(config: Config, names: Names, notify: Notify) -> State:
    """The state of the newest whole checkpoint, if it is one of this very run."""
    directory = Path(config.out)
    snapshot, notices = checkpoint.load(directory)
    facts, wanted = snapshot.facts, config.fixed()
    differing = [
        f"{name} is {facts['config'].get(name)} in the checkpoint and {wanted[name]} here"
        for name in wanted
        if facts["config"].get(name) != wanted[name]
    ]
    if facts["data_sha256"] != names.sha256:
        differing.append(
            f"the names in {shown(names.source)} are not the ones that the run began with"
        )
    if differing:
        raise InputError(
            f"cannot go on with the run in {shown(config.out)}: {'; '.join(differing)}"
        )
    for notice in notices:
        notify(notice)
    if facts["torch"] != torch.__version__:
        notify(
            f"the run began with torch {facts['torch']} and goes on with {torch.__version__}: "
            "the last digits may come out differently"
        )
    checkpoint.remove(
        directory, keep={s for s in checkpoint.steps_in(directory) if s <= snapshot.step}
    )
    tensors = {name: value.to(config.device) for name, value in snapshot.tensors.items()}
    losses = no_losses(config)
    losses[: snapshot.step] = tensors["losses"]
    generator = torch.Generator()
    generator.set_state(snapshot.tensors["generator"])
    return State(snapshot.step, {name: tensors[name] for name in PARAMETERS}, losses, generator)


def make_room(directory: Path, force: bool) -> None:
    """Refuse to start over what is there, unless told to."""
    if not force:
        refuse_to_replace(directory)
    checkpoint.remove(directory, keep=set())


def refuse_to_replace(directory: Path) -> None:
    """Raise if a directory holds a run or its curve."""
    where = shown(str(directory))
    steps = checkpoint.steps_in(directory)
    if steps:
        raise InputError(
            f"{where} holds a run at step {steps[0]:,}: go on with it by --resume, "
            "start over with --force, or choose another directory with --out"
        )
    if (directory / CURVE).exists():
        raise InputError(f"{where}/{CURVE} exists: overwrite it with --force")


def save(state: State, config: Config, names: Names) -> None:
    """Save, but never a state that the loss shows to be ruined."""
    past = state.losses[: state.step]
    bad = (~torch.isfinite(past)).nonzero()
    if len(bad):
        step = int(bad[0].item())
        raise BackhandError(
            f"the loss became {past[step].item()} at step {step + 1:,}: "
            "start over with a smaller rate (--rate, --rate-late, --force)"
        )
    checkpoint.save(Path(config.out), state.snapshot(config, names))


def advance(
    state: State, config: Config, names: Names, data: Examples, watch: Watch | None, stop: Stop
) -> None:
    """Take the steps that are left, saving on the way; a signal waits for the end of a step."""
    X, Y = data
    parameters = [state.parameters[name] for name in PARAMETERS]
    probe = torch.arange(config.batch) % len(X)
    gradients = choose(config, state.parameters, (X[probe], Y[probe]))
    stop.deferred = True
    saved = state.step
    if state.step == 0:
        save(state, config, names)
    while state.step < config.steps and not stop.asked:
        chosen = torch.randint(0, len(X), (config.batch,), generator=state.generator)
        loss, found = gradients(X[chosen], Y[chosen])
        rate = config.rate_at(state.step)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, found, strict=True):
                parameter.add_(gradient, alpha=-rate)
            state.losses[state.step] = loss
        state.step += 1
        if state.step % config.checkpoint_every == 0 or state.step == config.steps:
            save(state, config, names)
            saved = state.step
        if watch is not None:
            watch(state.step, state.losses)
    if stop.asked:
        if saved != state.step:
            save(state, config, names)
        raise Interrupted(state.step, config.steps, config.out)
    stop.deferred = False


def finish(state: State, config: Config, names: Names, splits: Splits) -> Trained:
    """Calibrate, evaluate, sample, draw."""
    running = calibrate(state.parameters, splits.train[0])
    train_loss, dev_loss, test_loss = (
        mean_loss(state.parameters, running, *part)
        for part in (splits.train, splits.dev, splits.test)
    )
    seed = (config.seed + SAMPLE_SEED) % 2**63
    samples = sample_names(
        state.parameters, running, names.letters, config.block_size, config.samples, seed
    )
    curve = Path(config.out) / CURVE
    title = f"Training loss: hidden {config.hidden}, batch {config.batch}, {config.grad}"
    draw_curve(state.losses.cpu().numpy(), curve, title)
    return Trained(
        state.parameters, running, state.losses, train_loss, dev_loss, test_loss, samples, curve
    )


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set torch's threads for a while: the order of additions depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def usable_device(name: str) -> None:
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {shown(name)!r} cannot be used: {first_line(error)}") from None


def train(
    config: Config,
    *,
    resume: bool = False,
    force: bool = False,
    watch: Watch | None = None,
    notify: Notify = lambda notice: None,
) -> Trained:
    """Train the article's network, saving checkpoints in `config.out`.

    With `resume`, go on with the run there; with `force`, start over what is there. `watch` is
    called after every step, `notify` with anything the user should know. A signal raises
    Interrupted once the step is finished and saved.
    """
    usable_device(config.device)
    names = load_names(config.data)
    directory = Path(config.out)
    with Stop() as stop, threads(config.threads), checkpoint.opened(directory):
        state = restored(config, names, notify) if resume else fresh(config, names)
        if not resume:
            make_room(directory, force)
        splits = on_device(split(names, config.block_size), config.device)
        advance(state, config, names, splits.train, watch, stop)
        return finish(state, config, names, splits)


def on_device(splits: Splits, device: str) -> Splits:
    return Splits(
        *((X.to(device), Y.to(device)) for X, Y in (splits.train, splits.dev, splits.test))
    )
