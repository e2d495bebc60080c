"""Finding the forward pass that the command line names, and inputs to try it on.

A target file is imported, so its code runs. It is loaded by path under a name of its own: files
called ``types.py`` or ``random.py`` beside it shadow nothing. It may import its neighbours, as a
script may, and each load gets fresh ones.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import itertools
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import torch

from ..errors import BackhandError, InputError, first_line
from .annotations import annotated_inputs
from .inputs import called_by, signature_problem
from .source import is_user_file

_serial = itertools.count()

# backhand itself imports these, some of them late: a file of that name beside a target is none.
_OURS = frozenset(
    (
        "backhand",
        "torch",
        "numpy",
        "sympy",
        "jaxtyping",
        "click",
        "rich",
        "matplotlib",
        "PIL",
        "jinja2",
        "markupsafe",
        "safetensors",
        "watchfiles",
    )
)


@dataclass(frozen=True)
class Target:
    """A forward pass with example arguments; ``size_names`` names their axes where known.

    ``maker`` is the user's function that gives these arguments when it is called without any.
    """

    name: str
    forward: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    size_names: Mapping[str, tuple[str | None, ...]]
    maker: Callable[..., Any] | None = None


class _Neighbours(importlib.abc.MetaPathFinder):
    """Finds modules that lie beside the target file, for the user's own imports.

    Never one of Python's own names, and nothing for torch's or anybody else's imports.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or name in sys.stdlib_module_names or name in _OURS:
            return None
        if not _asked_by_user():
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, [str(self.folder)])
        if spec is None or spec.loader is None:
            return None
        _loaded[name] = self.folder
        return spec


def _asked_by_user() -> bool:
    """Whether the import that is going on was written in a file of the user's."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<frozen importlib") and file != importlib.__file__:
            if file == __file__:
                return True  # load_module: the dotted name that was asked for
            return is_user_file(file) and "site-packages" not in file
        frame = frame.f_back
    return False


_finder: list[_Neighbours] = []
# Modules that were found beside a target or a script, and the folder of each.
_loaded: dict[str, Path] = {}


def _use_neighbours(folder: Path) -> None:
    """Let imports find the files in ``folder``, and forget those of an earlier target."""
    for old in _finder:
        if old in sys.meta_path:
            sys.meta_path.remove(old)
    forget_neighbours()
    _finder[:] = [_Neighbours(folder)]
    sys.meta_path.insert(0, _finder[0])


def forget_neighbours(keep: Path | None = None) -> None:
    """Let the next import read the neighbours of a target anew: another may have its own.

    Those that lie in the folder ``keep`` stay.
    """
    gone = {name for name, folder in _loaded.items() if folder != keep}
    for module in [m for m in sys.modules if m.partition(".")[0] in gone]:
        del sys.modules[module]
    for name in gone:
        del _loaded[name]


@contextmanager
def neighbours_on_path(folder: Path) -> Iterator[None]:
    """Import from ``folder`` first, as a script that lies there does."""
    forget_neighbours(keep=folder)
    path, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = path
        for name in sys.modules.keys() - known:
            module = sys.modules[name]
            places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
            if "." not in name and any(p and Path(p).parent == folder for p in places):
                _loaded[name] = folder


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
        with problems_of(place):
            if path.is_dir():
                raise InputError(f"{place} is a directory: name a file, as in {path}/model.py")
            if not path.exists():
                raise InputError(f"there is no file {place}")
            return _load_file(path.resolve(), place)
    if not all(part.isidentifier() for part in place.split(".")):
        raise InputError(f"{place!r} is neither a file nor the name of a module")
    _use_neighbours(Path.cwd())  # as `python -m` does
    with problems_of(place):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{place}.".startswith(f"{error.name}."):
                raise InputError(f"there is no module named {error.name}") from None
            raise
    raise InputError(f"{place} could not be imported")


def _load_file(path: Path, shown: str) -> ModuleType:
    _use_neighbours(path.parent)
    name = f"backhand_target_{next(_serial)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{shown} cannot be loaded as Python: give a file that ends in .py")
    data = path.read_bytes()
    decoded(data, shown)  # Python takes comments that are not text; they could not be quoted
    linecache.checkcache(str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with problems_of(shown):
        try:
            # from its text: a cached translation is told from the file by whole seconds only, and a
            # file that is being worked on may be saved twice in one
            if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
                code = spec.loader.source_to_code(data, str(path))
                exec(code, module.__dict__)
            else:
                spec.loader.exec_module(module)
        except BaseException as error:
            sys.modules.pop(name, None)
            if isinstance(error, ImportError) and "relative import" in str(error):
                raise InputError(
                    f"{shown} imports from its own package ({error}): stand in the folder that "
                    f"holds the package and name it with dots, as in {path.parent.name}.{path.stem}"
                ) from None
            raise
    return module


def decoded(data: bytes, shown: str, encoding: str | None = None) -> str:
    """The text of a file; without ``encoding`` as Python reads it, by its coding line."""
    try:
        return data.decode(encoding) if encoding else importlib.util.decode_source(data)
    except (UnicodeDecodeError, SyntaxError) as error:
        if "unknown encoding" in str(error):
            raise InputError(f"{shown}: {error}") from None
        raise InputError(f"{shown} is not UTF-8 text") from None


def syntax_problem(error: SyntaxError, shown: str) -> InputError:
    """A syntax error as one sentence, with its line."""
    line = (error.text or "").strip()
    # a name such as <string> is no file's
    where = shown if (error.filename or "<").startswith("<") else error.filename
    at = f", line {error.lineno}" if error.lineno else ""
    return InputError(f"{where}{at}: {error.msg}" + (f"\n  {line}" if line else ""))


@contextmanager
def problems_of(shown: str) -> Iterator[None]:
    """Turn whatever the user's code raises into one sentence with their line."""
    try:
        yield
    except BackhandError:
        raise
    except SyntaxError as error:
        raise syntax_problem(error, shown) from None
    except SystemExit as error:
        raise InputError(f"{shown} ended the program (exit {error.code})") from None
    except UnicodeDecodeError:
        raise InputError(f"{shown} is not UTF-8 text") from None
    except OSError as error:
        if error.filename is None or Path(str(error.filename)).resolve() == Path(shown).resolve():
            raise InputError(f"{shown} cannot be read: {error.strerror or error}") from None
        # a file that the target reads, not the target
        raise InputError(_failed(shown, error)) from error
    except Exception as error:
        raise InputError(_failed(shown, error)) from error


def _failed(shown: str, error: Exception) -> str:
    """What the user's code raised, with the line that it happened on."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if _quotable(f)]
    where = f"\n  {_place(own[-1])}: {own[-1].line or ''}" if own else ""
    return f"{shown} failed: {type(error).__name__}: {first_line(error)}{where}"


def _quotable(frame: traceback.FrameSummary) -> bool:
    """Whether a frame is the user's, and in a file or in a text whose lines are known."""
    name = frame.filename
    text = name.startswith("<")
    return is_user_file(name) and not (text and (name.startswith("<frozen ") or not frame.line))


def _place(frame: traceback.FrameSummary) -> str:
    name, line = frame.filename, frame.lineno
    return f"line {line}" if name.startswith("<") else f"{name}:{line}"


def find(module: ModuleType, name: str, place: str) -> Any:
    """An attribute of a module (dotted names too); says what is there if it is not."""
    found: Any = module
    for part in name.split("."):
        if part not in dir(found):
            known = [n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n))]
            close = difflib.get_close_matches(part, known, 1, 0.5)
            own = [n for n in known if _defined_in(getattr(found, n), module)]
            listed = ", ".join(own[:12]) + (", …" if len(own) > 12 else "")
            said = f"did you mean {close[0]}?" if close else f"it has {listed or 'no functions'}"
            raise InputError(f"{place} has nothing named {part}: {said}")
        found = getattr(found, part)
    return found


def _defined_in(value: Any, module: ModuleType) -> bool:
    kind = value if isinstance(value, type) or inspect.isfunction(value) else type(value)
    return getattr(kind, "__module__", "") == module.__name__


def load_target(
    text: str, inputs: str | None = None, sizes: Mapping[str, int] | None = None
) -> Target:
    """The forward pass that ``text`` names, with example inputs.

    They come from, in this order: ``inputs`` (``file.py:function``), an ``example_inputs()`` beside
    the target, the target's jaxtyping annotations. ``sizes`` fixes sizes by name: as arguments of
    the function that makes the inputs, or as the annotations' sizes.
    """
    place, name = split_target(text)
    inputs_place, inputs_name = split_target(inputs) if inputs is not None else ("", "")
    # the inputs first: the neighbours that can be found from then on are to be the target's
    other = bool(inputs_place) and not same_file(inputs_place, place)
    maker: Callable[..., Any] | None = None
    shown = "example_inputs"
    if other:
        maker = find(load_module(inputs_place), inputs_name, inputs_place)
    module = load_module(place)
    forward = find(module, name, place)
    if isinstance(forward, type):
        forward = _instance(forward, name)
    if not callable(forward):
        kind = "Python module" if isinstance(forward, ModuleType) else type(forward).__name__
        raise InputError(f"{name} in {place} is of type {kind}: name a function or an nn.Module")
    if inputs is not None:
        shown = inputs
        maker = maker if other else find(module, inputs_name, inputs_place)
    elif "example_inputs" in vars(module) and module.example_inputs is not forward:
        maker = module.example_inputs
    if maker is not None:
        args, kwargs = made_inputs(maker, shown, sizes or {})
        insist_on_fit(forward, name, shown, args, kwargs)
        return Target(text, forward, args, kwargs, {}, None if sizes else maker)
    args, names = annotated_inputs(forward, dict(sizes or {}))
    return Target(text, forward, args, {}, names)


def same_file(a: str, b: str) -> bool:
    """Whether two names of files, or of modules, are one file's."""
    if a == b:
        return True
    return Path(a).exists() and Path(b).exists() and Path(a).resolve() == Path(b).resolve()


def _instance(kind: type, name: str) -> Any:
    """A module of this class, made without arguments."""
    if not issubclass(kind, torch.nn.Module):
        raise InputError(f"{name} is a class, but no nn.Module: name a function or an nn.Module")
    problem = signature_problem(kind, (), {})
    if problem:
        raise InputError(
            f"{name} cannot be made without arguments ({problem}): write an instance beside it, "
            f"such as model = {name}(…), and name that"
        )
    with problems_of(f"{name}()"):
        return kind()


def made_inputs(
    maker: Any, shown: str, sizes: Mapping[str, int]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """What a function of the user's makes as example inputs; ``shown`` names it in messages."""
    if not callable(maker):
        raise InputError(f"{shown} is not a function")
    try:
        known = list(inspect.signature(maker).parameters)
    except (TypeError, ValueError):
        known = []
    odd = [n for n in sizes if n not in known]
    if odd:
        can = ", ".join(known) or "none"
        raise InputError(f"{shown}() takes no size named {odd[0]!r} (it takes: {can})")
    problem = signature_problem(maker, (), sizes)
    if problem:
        raise InputError(f"{shown} must work without arguments, or with sizes from --at: {problem}")
    with problems_of(shown):
        made = maker(**sizes)
    if isinstance(made, dict):
        return (), made
    args = as_arguments(made)
    if not args or made is None:
        raise InputError(f"{shown} returns no inputs: return a tuple of the arguments, or a dict")
    return args, {}


def insist_on_fit(
    forward: Callable[..., Any],
    name: str,
    shown: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> None:
    """Refuse example inputs that the forward pass cannot be called with."""
    problem = signature_problem(forward, args, kwargs)
    if problem:
        raise InputError(f"what {shown} returns does not fit {name}: {problem}")


def as_arguments(made: Any) -> tuple[Any, ...]:
    """What a function that makes inputs returned: several arguments, or the only one."""
    return tuple(made) if isinstance(made, (tuple, list)) else (made,)


def positional(
    forward: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The inputs in the order of the forward pass's parameters."""
    if not kwargs:
        return tuple(args)
    bound = inspect.signature(called_by(forward)).bind(*args, **kwargs)
    if bound.kwargs:
        names = ", ".join(bound.kwargs)
        raise InputError(f"a review gives inputs by position: let the forward pass take {names} so")
    return bound.args
