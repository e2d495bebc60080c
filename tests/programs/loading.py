"""The example programs, loaded and derived."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

import torch

import backhand
from backhand.capture.target import load_module

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = sorted(p.stem for p in EXAMPLES.glob("*.py") if p.stem != "article")


def derived(name: str) -> tuple[backhand.Backprop, ModuleType]:
    """The derivation of an example's ``forward``, or of its module class with seeded parameters."""
    module = load_module(str(EXAMPLES / f"{name}.py"))
    forward = getattr(module, "forward", None)
    if forward is None:
        classes = [
            c
            for c in vars(module).values()
            if inspect.isclass(c)
            and issubclass(c, torch.nn.Module)
            and c.__module__ == module.__name__
        ]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            forward = classes[-1]()
    return backhand.derive(forward, *module.example_inputs()), module
