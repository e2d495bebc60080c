"""Finding the forward pass that the command line names, and inputs to try it on.

A target file is imported, so its code runs. It is loaded by path under a name of its own: files
called ``types.py`` or ``random.py`` beside it shadow nothing. It may import its neighbours, as a
script may, and each load gets fresh ones.
"""

from __future__ import annotations

import difflib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import itertools
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..errors import BackhandError, InputError
from .annotations import annotated_inputs

_serial = itertools.count()


@dataclass(frozen=True)
class Target:
    """A forward pass with example arguments; ``size_names`` names their axes where known."""

    name: str
    forward: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    size_names: Mapping[str, tuple[str | None, ...]]


class _Neighbours(importlib.abc.MetaPathFinder):
    """Finds modules that lie beside the target file; never one of Python's own names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or name in sys.stdlib_module_names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, [str(self.folder)])
        if spec is None or spec.loader is None:
            return None
        self.loaded.add(name)
        return spec


_finder: list[_Neighbours] = []


def _use_neighbours(folder: Path) -> None:
    """Let imports find the files in ``folder``, and forget those of an earlier target."""
    for old in _finder:
        if old in sys.meta_path:
            sys.meta_path.remove(old)
        for name in [m for m in sys.modules if m.partition(".")[0] in old.loaded]:
            del sys.modules[name]
    _finder[:] = [_Neighbours(folder)]
    sys.meta_path.insert(0, _finder[0])


def split_target(text: str) -> tuple[str, str]:
    """``"file.py:name"`` or ``"package.module:name"`` in two parts."""
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise InputError(
            f"{text!r} is not a target: write path/file.py:function, package.module:function, or "
            "the same with the name of an nn.Module"
        )
    return place, name


def load_module(place: str) -> ModuleType:
    """Import a file by path, or a module by its dotted name."""
    if place.endswith(".py") or "/" in place or Path(place).exists():
        path = Path(place)
        if not path.exists():
            raise InputError(f"there is no file {place}")
        if not path.is_file():
            raise InputError(f"{place} is not a file")
        return _load_file(path.resolve(), place)
    with _problems_of(place):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is not None and place.startswith(error.name):
                raise InputError(f"there is no module named {error.name}") from None
            raise
    raise InputError(f"{place} could not be imported")


def _load_file(path: Path, shown: str) -> ModuleType:
    _use_neighbours(path.parent)
    name = f"backhand_target_{next(_serial)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{shown} cannot be loaded as Python: give a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _problems_of(shown):
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
    return module


@contextmanager
def _problems_of(shown: str) -> Iterator[None]:
    """Turn whatever the user's code raises into one sentence with their line."""
    try:
        yield
    except BackhandError:
        raise
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise InputError(
            f"{error.filename or shown}, line {error.lineno}: {error.msg}"
            + (f"\n  {line}" if line else "")
        ) from None
    except SystemExit as error:
        raise InputError(f"{shown} ended the program when it was loaded (exit {error.code})") from None
    except KeyboardInterrupt:
        raise
    except UnicodeDecodeError:
        raise InputError(f"{shown} is not UTF-8 text") from None
    except OSError as error:
        raise InputError(f"{shown} cannot be read: {error.strerror or error}") from None
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise InputError(
            f"{shown} failed: {type(error).__name__}: {error}\n"
            f"  {last.filename}:{last.lineno}: {last.line or ''}"
        ) from error


def find(module: ModuleType, name: str, place: str) -> Any:
    """An attribute of a module (dotted names too); says what is there if it is not."""
    found: Any = module
    for part in name.split("."):
        if part not in dir(found):
            known = [n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n))]
            close = difflib.get_close_matches(part, known, 1, 0.5)
            own = [n for n in known if getattr(getattr(found, n), "__module__", "") == module.__name__]
            said = f"did you mean {close[0]}?" if close else f"it has {', '.join(own) or 'no functions'}"
            raise InputError(f"{place} has nothing named {part}: {said}")
        found = getattr(found, part)
    return found


def load_target(
    text: str, inputs: str | None = None, sizes: Mapping[str, int] | None = None
) -> Target:
    """The forward pass that ``text`` names, with example inputs.

    They come from, in this order: ``inputs`` (``file.py:function``), an ``example_inputs()`` beside
    the target, the target's jaxtyping annotations. ``sizes`` fixes sizes by name: as arguments of
    the function that makes the inputs, or as the annotations' sizes.
    """
    place, name = split_target(text)
    module = load_module(place)
    forward = find(module, name, place)
    if isinstance(forward, type) and issubclass(forward, torch.nn.Module):
        try:
            with _problems_of(text):
                forward = forward()
        except InputError as error:
            if "TypeError" not in str(error):
                raise
            raise InputError(
                f"{name} cannot be made without arguments: write an instance beside it, "
                f"such as model = {name}(…), and name that"
            ) from None
    if not callable(forward):
        raise InputError(f"{name} in {place} is a {type(forward).__name__}, not a function or a module")
    maker: Callable[..., Any] | None = None
    shown = "example_inputs"
    if inputs is not None:
        inputs_place, inputs_name = split_target(inputs)
        same = Path(inputs_place).exists() and Path(place).exists()
        same = same and Path(inputs_place).resolve() == Path(place).resolve()
        source = module if same else load_module(inputs_place)
        maker, shown = find(source, inputs_name, inputs_place), inputs
    elif "example_inputs" in vars(module) and module.example_inputs is not forward:
        maker = module.example_inputs
    if maker is not None:
        args, kwargs = _made_inputs(maker, shown, sizes or {})
        return Target(text, forward, args, kwargs, {})
    args, names = annotated_inputs(forward, dict(sizes or {}))
    return Target(text, forward, args, {}, names)


def _made_inputs(
    maker: Any, shown: str, sizes: Mapping[str, int]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if not callable(maker):
        raise InputError(f"{shown} is not a function")
    try:
        known = inspect.signature(maker).parameters
    except (TypeError, ValueError):
        known = {}
    odd = [n for n in sizes if n not in known]
    if odd:
        can = ", ".join(known) or "none"
        raise InputError(f"{shown}() takes no size named {odd[0]!r} (it takes: {can})")
    with _problems_of(shown):
        made = maker(**sizes)
    if isinstance(made, dict):
        return (), made
    if isinstance(made, (tuple, list)):
        return tuple(made), {}
    return (made,), {}
