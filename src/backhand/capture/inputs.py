"""The arguments of a forward pass: flattened, named, and turned into tensors without data."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, StatelessSymbolicContext

from ..errors import InputError
from ..program.build import SizeContext
from .facts import Facts


@dataclass(frozen=True)
class Leaf:
    """One leaf of the arguments: its name, how to reach it, what it is.

    ``kind`` is ``tensor``, ``int`` (a symbolic size), ``static`` (its value is part of the
    program), ``parameter`` or ``buffer`` (of a module).
    """

    name: str
    path: tuple[Any, ...]
    kind: str
    value: Any


@dataclass
class Arguments:
    """The flattened arguments of one call, and how to call the function with replaced leaves."""

    function: Callable[..., Any]
    module: torch.nn.Module | None
    leaves: list[Leaf]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def dynamic(self) -> list[Leaf]:
        """The leaves that are inputs of the program, in order."""
        return [leaf for leaf in self.leaves if leaf.kind != "static"]

    def call(self, values: list[Any]) -> Any:
        """Call the user's function with these values for the dynamic leaves."""
        replaced: dict[tuple[Any, ...], Any] = {}
        state: dict[str, Any] = {}
        for leaf, value in zip(self.dynamic(), values, strict=True):
            if leaf.kind in ("parameter", "buffer"):
                state[leaf.path[0]] = value
            else:
                replaced[leaf.path] = value
        args, kwargs = self._rebuilt(replaced)
        if self.module is not None:
            return torch.func.functional_call(self.module, state, args, kwargs, tie_weights=True)
        return self.function(*args, **kwargs)

    def with_values(self, values: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call with these values of the dynamic leaves but a module's own."""
        pairs = zip(self.dynamic(), values, strict=True)
        return self._rebuilt({leaf.path: v for leaf, v in pairs if leaf.kind in ("tensor", "int")})

    def _rebuilt(
        self, replaced: Mapping[tuple[Any, ...], Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args = tuple(_rebuild(a, (i,), replaced) for i, a in enumerate(self.args))
        return args, {k: _rebuild(v, (k,), replaced) for k, v in self.kwargs.items()}


def identifier(text: str) -> str:
    """Any text as a Python identifier that is no keyword."""
    out = "".join(ch if ch.isalnum() or ch == "_" else "_" for ch in text)
    if not out or out[0].isdigit():
        out = f"x{out}"
    return f"{out}_" if keyword.iskeyword(out) or not out.isidentifier() else out


def called_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose parameters a call's arguments go to: a module's own ``forward``."""
    return function.forward if isinstance(function, torch.nn.Module) else function


def flatten(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
) -> Arguments:
    """Name every leaf of a call: parameters of a module first, then the arguments."""
    module = function if isinstance(function, torch.nn.Module) else None
    names = _argument_names(called_by(function), len(args))
    leaves: list[Leaf] = []
    taken: set[str] = set()
    for i, arg in enumerate(args):
        leaves.extend(_leaves(arg, names[i], (i,), taken))
    for key, arg in (kwargs or {}).items():
        leaves.extend(_leaves(arg, key, (key,), taken))
    if module is not None:
        state: list[tuple[str, torch.Tensor, str]] = [
            (n, p, "parameter") for n, p in module.named_parameters()
        ]
        state += [(n, b, "buffer") for n, b in module.named_buffers()]
        for name, tensor, kind in state:
            unique = _unique(identifier(name.replace(".", "_")), taken)
            leaves.append(Leaf(unique, (name,), kind, tensor))
    return Arguments(function, module, leaves, tuple(args), dict(kwargs or {}))


def signature_problem(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> str:
    """Why the function cannot be called like this: an argument too many or missing; else ``""``."""
    try:
        signature = inspect.signature(called_by(function))
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        bare = _bare(signature)
        said = f"{error}; it takes ({', '.join(bare)})"
        if "*" in bare and len(args) > bare.index("*"):
            said += ", so return a dict for those after the *"
        elif bare[:1] == ["self"]:
            said += ", so it is a method: make an object and name its method"
        return said
    return ""


def _bare(signature: inspect.Signature) -> list[str]:
    stars: dict[Any, str] = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    out: list[str] = []
    for name, p in signature.parameters.items():
        if p.kind is p.KEYWORD_ONLY and not any(o.startswith("*") for o in out):
            out.append("*")
        out.append(f"{stars.get(p.kind, '')}{name}")
    return out


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [f"x{i}" for i in range(count)]
    names: list[str] = []
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}_{i}" for i in range(count - len(names))]
            break
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
    return (names + [f"x{i}" for i in range(count)])[:count] if len(names) < count else names


def _leaves(arg: Any, name: str, path: tuple[Any, ...], taken: set[str]) -> Iterator[Leaf]:
    if isinstance(arg, Mapping):
        for key, item in arg.items():
            yield from _leaves(item, f"{name}_{key}", (*path, key), taken)
    elif isinstance(arg, (list, tuple)):
        for i, item in enumerate(arg):
            yield from _leaves(item, f"{name}_{i}", (*path, i), taken)
    else:
        kind = "static"
        if isinstance(arg, torch.Tensor):
            kind = "tensor"
        elif type(arg) is int and arg > 1:
            kind = "int"
        yield Leaf(_unique(identifier(name), taken), path, kind, arg)


def _unique(name: str, taken: set[str]) -> str:
    out, i = name, 2
    while out in taken:
        out, i = f"{name}_{i}", i + 1
    taken.add(out)
    return out


def _rebuild(arg: Any, path: tuple[Any, ...], replaced: Mapping[tuple[Any, ...], Any]) -> Any:
    if isinstance(arg, Mapping):
        return {k: _rebuild(v, (*path, k), replaced) for k, v in arg.items()}
    if isinstance(arg, tuple) and hasattr(arg, "_fields"):
        return type(arg)(*(_rebuild(v, (*path, i), replaced) for i, v in enumerate(arg)))
    if isinstance(arg, (list, tuple)):
        return type(arg)(_rebuild(v, (*path, i), replaced) for i, v in enumerate(arg))
    return replaced.get(path, arg)


def no_tensor(arguments: Arguments) -> str:
    """What to say when a call has no tensor in it: what there is instead."""
    given = ", ".join(f"{x.name} is a {type(x.value).__name__}" for x in arguments.leaves[:4])
    said = f"there is no tensor among the example inputs ({given or 'there are none'})"
    kinds = {type(x.value).__name__ for x in arguments.leaves}
    if "ndarray" in kinds:
        return f"{said}: convert NumPy arrays with torch.from_numpy"
    if "generator" in kinds:
        return f"{said}: return the inputs instead of yielding them"
    return f"{said}: pass numbers as torch.tensor([...])"


def check_supported(leaves: list[Leaf]) -> None:
    """Refuse tensors that no rule covers: complex, quantised, sparse, nested."""
    for leaf in leaves:
        if not isinstance(leaf.value, torch.Tensor):
            continue
        t = leaf.value
        if torch.nn.parameter.is_lazy(t):
            raise InputError(
                f"{leaf.name} has no shape yet: call the module once on real inputs, so that its "
                "lazy parameters are made, and derive that instance"
            )
        if t.is_nested:
            raise InputError(f"{leaf.name} is a nested tensor: pass a padded one and its mask")
        if t.is_inference():
            raise InputError(
                f"{leaf.name} was made under torch.inference_mode, and autograd refuses to work on "
                f"it: make it outside, or pass {leaf.name}.clone()"
            )
        if t.is_complex():
            raise InputError(f"{leaf.name} is complex: backhand differentiates real tensors only")
        if t.layout is not torch.strided or t.is_quantized:
            raise InputError(f"{leaf.name} is not a dense tensor: pass a dense one")
        if type(t) not in (torch.Tensor, torch.nn.Parameter):
            raise InputError(f"{leaf.name} is a {type(t).__name__}: pass a plain torch.Tensor")


def fake_inputs(leaves: list[Leaf], symbolic: bool) -> tuple[list[Any], SizeContext]:
    """Tensors without data for the dynamic leaves; with symbolic sizes each axis gets its own.

    torch would give equal sizes one symbol; here every axis of length 2 or more starts with a
    symbol of its own, and only what the computation itself requires makes two of them equal.
    """
    env = Facts(duck_shape=False, specialize_zero_one=True) if symbolic else None
    mode = FakeTensorMode(shape_env=env, static_shapes=None if symbolic else True)
    mode.allow_non_fake_inputs = True
    # With symbolic sizes, torch spends longer on keeping its cache than on the work it saves.
    mode.cache_enabled = False
    context = SizeContext(env, mode)
    fakes: list[Any] = []
    for leaf in leaves:
        if leaf.kind == "int":
            fakes.append(_symbolic_int(env, leaf) if env is not None else leaf.value)
            continue
        tensor = leaf.value.detach()
        if env is None:
            fake = mode.from_tensor(tensor, static_shapes=True)
        else:
            # a parameter's sizes are as symbolic as any other: the caller may pass other ones
            dynamic = [DimDynamic.DYNAMIC] * tensor.dim()
            fake = mode.from_tensor(
                tensor,
                symbolic_context=StatelessSymbolicContext(dynamic_sizes=dynamic),
                source=ConstantSource(leaf.name),
            )
        if tensor.is_meta:
            # what the function makes on the default device must meet it, as it will where it runs
            fake.fake_device = torch.device("cpu")
        fakes.append(fake)
    return fakes, context


def _symbolic_int(env: Any, leaf: Leaf) -> Any:
    source = ConstantSource(leaf.name)
    expr = env.create_symbol(leaf.value, source=source, dynamic_dim=DimDynamic.DYNAMIC)
    return env.create_symintnode(expr, hint=leaf.value, source=source)
