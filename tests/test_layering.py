"""The layers point one way: a module imports only what lies below its own layer.

The code is parsed, never run, so imports inside functions and under
``TYPE_CHECKING`` count as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "backhand"
ROOT = Path(__file__).resolve().parents[1] / "src" / PACKAGE

# From the top down. Layers on one row are peers and may not import one another. A layer that has no
# code yet is listed all the same: this is its place.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("practice", "train"),  # programs for people, built on the API
    ("__init__",),  # the package's own names: lazy, so cheap, but they stand for the API
    ("api",),
    ("operator",),  # a derivation as something to call
    ("report",),
    ("review",),  # of a backward pass written by hand
    ("checking",),  # verify against autograd
    ("explain",),
    ("emit",),
    ("shorthand",),
    ("longhand",),
    ("algebra",),
    ("rules",),
    ("capture",),
    ("program",),
    ("output",),  # text and files that leave the program
    ("errors", "files"),
)
# These meet at the program, whatever their height.
STRANGERS = frozenset({"rules", "emit", "explain"})
# Only this layer may know how torch traces.
TRACERS = ("torch.fx", "torch.export")
READS_TRACERS = "capture"

HEIGHT = {layer: -row for row, layers in enumerate(LAYERS) for layer in layers}


def layer_of(module: str) -> str:
    """``backhand.program.ir`` lies in ``program``, and ``backhand`` itself in ``__init__``."""
    return module.split(".")[1] if "." in module else "__init__"


def imported(node: ast.AST, package: str) -> Iterator[str]:
    """The full names that one import statement, or one ``import_module("...")``, asks for.

    ``package`` is what relative imports start from.
    """
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        start = parts[: len(parts) - node.level + 1] if node.level else []
        base = ".".join([*start, *([node.module] if node.module else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and node.args:
        called = ast.unparse(node.func).rpartition(".")[2]
        name = node.args[0]
        if called not in ("import_module", "__import__") or not isinstance(name, ast.Constant):
            return
        text = str(name.value)
        dots = len(text) - len(text.lstrip("."))
        if dots:
            parts = package.split(".")
            text = ".".join([*parts[: len(parts) - dots + 1], text[dots:]])
        yield text


def own_layer(name: str) -> str:
    """The layer that an imported full name of this package lies in."""
    layer = layer_of(name)
    if layer in HEIGHT:
        return layer
    # `from backhand import derive`: a name of the package itself, unless a module is called so.
    known = (ROOT / layer).is_dir() or (ROOT / f"{layer}.py").exists()
    return layer if known else "__init__"


def faults(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What one module's imports do against the layers, a line of text for each."""
    here = layer_of(module)
    if here not in HEIGHT:
        return [f"{module}: the layer {here!r} has no place in LAYERS"]
    package = module if is_package else module.rpartition(".")[0]
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        line = f"{module}:{getattr(node, 'lineno', 0)}"
        names = list(imported(node, package))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in TRACERS:
            names.append(ast.unparse(node))
        for name in names:
            if any(f"{name}.".startswith(f"{tracer}.") for tracer in TRACERS):
                if here != READS_TRACERS:
                    found.append(f"{line}: {name} belongs to {READS_TRACERS} alone")
            elif name.split(".")[0] == PACKAGE:
                there = own_layer(name)
                if there == here:
                    continue
                if HEIGHT.get(there, 0) >= HEIGHT[here]:
                    found.append(f"{line}: {here} may not import {there}, which is not below it")
                elif {here, there} <= STRANGERS:
                    found.append(f"{line}: {here} and {there} meet at the program only")
    return found


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_imports_point_downwards() -> None:
    everything = list(modules())
    assert everything, f"no modules under {ROOT}"
    found = [
        fault
        for module, path in everything
        for fault in faults(module, path.read_text("utf-8"), is_package=path.stem == "__init__")
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("backhand.program.ir", "from ..capture import trace"),
        ("backhand.program.ir", "from .. import capture"),
        ("backhand.program.ir", "import backhand.capture.trace"),
        ("backhand.errors", "def late():\n    from .program import ir"),
        ("backhand.errors", "if TYPE_CHECKING:\n    from .program import ir"),
        ("backhand.longhand.walk", "importlib.import_module('backhand.emit')"),
        ("backhand.longhand.walk", "import_module('..emit', __package__)"),
        ("backhand.check.verify", "from backhand import derive"),
        ("backhand.api", "import backhand"),
        ("backhand.report.page", "from ..train import loop"),
        ("backhand.emit.torch", "from ..rules.registry import get_rule"),
        ("backhand.explain.text", "from ..emit import torch"),
        ("backhand.rules.table", "from torch.fx import Node"),
        ("backhand.rules.table", "from torch import export"),
        ("backhand.rules.table", "import torch.fx.experimental.proxy_tensor"),
        ("backhand.rules.table", "import torch\ndef f(x: torch.fx.Node): ..."),
        ("backhand.odds.ends", "import math"),
    ],
)
def test_a_planted_fault_is_caught(module: str, source: str) -> None:
    assert len(faults(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("backhand.capture.trace", "import torch.fx\nfrom torch.export import export"),
        ("backhand.capture.trace", "from ..program.build import Builder\nfrom . import source"),
        ("backhand.cli.main", "from backhand import __version__\nfrom ..api import derive"),
        ("backhand.emit.torch", "import torch\nfrom ..program import ir\nfrom ..errors import *"),
    ],
)
def test_a_downward_import_is_fine(module: str, source: str) -> None:
    assert faults(module, source) == []


def test_a_package_resolves_its_own_relative_imports() -> None:
    assert faults("backhand.program", "from .ir import Program", is_package=True) == []
    assert faults("backhand.program", "from ..cli import main", is_package=True) != []
