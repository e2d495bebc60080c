"""Running the user's function once, on tensors without data, and writing down what it does.

torch's tracer records the ATen graph before autograd decomposes it. A function mode on top notes for
every call which of the user's statements made it, and refuses what a captured graph would get wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx
from torch.overrides import TorchFunctionMode

from ..errors import BackhandError, CaptureError
from . import source
from .ranges import SymbolicRange, range_replaced, with_tensors


@dataclass(frozen=True)
class FrameNote:
    """One of the user's frames at the moment of a call. ``serial`` tells frames apart."""

    serial: int
    owner: source.Owner
    lasti: int
    function: str
    module: str | None


@dataclass
class Call:
    """One call of a torch function: the user's frames (innermost first) and the graph nodes made.

    ``sequence`` counts all calls of torch functions: a later run of the same code is matched by it.
    """

    index: int
    sequence: int
    frames: tuple[FrameNote, ...]
    nodes: list[torch.fx.Node]
    name: str


@dataclass
class Trace:
    """What one run of the user's function left behind."""

    graph: torch.fx.GraphModule
    calls: list[Call]
    size_names: dict[Any, str] = field(default_factory=dict)
    constant_names: dict[int, str] = field(default_factory=dict)


_DATA = {
    torch.Tensor.item: ".item()",
    torch.Tensor.tolist: ".tolist()",
    torch.Tensor.__bool__: "if/while on a tensor",
    torch.Tensor.__float__: "float(tensor)",
    torch.Tensor.__int__: "int(tensor)",
    torch.Tensor.__index__: "a tensor as an index or a range",
    torch.Tensor.numpy: ".numpy()",
    torch.Tensor.__array__: "numpy.asarray(tensor)",
    torch.Tensor.nonzero: ".nonzero()",
    torch.nonzero: "torch.nonzero",
    torch.Tensor.unique: ".unique()",
    torch.unique: "torch.unique",
    torch.equal: "torch.equal",
    torch.Tensor.equal: ".equal()",
    torch.allclose: "torch.allclose",
    torch.Tensor.allclose: ".allclose()",
}
_AUTOGRAD = {
    torch.Tensor.backward: ".backward()",
    torch.Tensor.register_hook: ".register_hook()",
    torch.Tensor.retain_grad: ".retain_grad()",
    torch.Tensor.requires_grad_: ".requires_grad_()",
    torch.Tensor.requires_grad.__set__: ".requires_grad = …",  # type: ignore[attr-defined]
    torch.Tensor.data.__set__: ".data = …",  # type: ignore[attr-defined]
    torch.Tensor.set_: ".set_()",
    torch.Tensor.grad.__get__: ".grad",  # type: ignore[attr-defined]
}
_DATA_GET = torch.Tensor.data.__get__  # type: ignore[attr-defined]

BRANCH_HINT = (
    "what this line does depends on the values in a tensor, and a backward pass written as source "
    "has one path only: use torch.where(condition, a, b), or derive the two paths as two functions"
)
AUTOGRAD_HINT = "leave autograd's own machinery out of the forward pass: backhand writes the gradients"


class Recorder(TorchFunctionMode):
    """Notes the user's statement for every torch call. Subclasses decide what happens around it."""

    def __init__(self, stop: FrameType, module_paths: dict[int, str]) -> None:
        super().__init__()
        self.stop = stop
        self.module_paths = module_paths
        self.calls: list[Call] = []
        self.sequence = 0
        self.size_names: dict[Any, str] = {}
        self._serials: dict[int, int] = {}
        self._frames: list[FrameType] = []

    def notes(self, start: FrameType) -> tuple[FrameNote, ...]:
        out = []
        for frame in source.user_frames(start, self.stop):
            serial = self._serials.get(id(frame))
            if serial is None:
                # The frame is kept, so that its id stays its own for the whole trace.
                serial = self._serials[id(frame)] = len(self._frames)
                self._frames.append(frame)
            owner = source.owner_at(frame.f_code, frame.f_lasti)
            code = frame.f_code
            receiver = frame.f_locals.get("self") if code.co_varnames[:1] == ("self",) else None
            module = self.module_paths.get(id(receiver)) if receiver is not None else None
            out.append(FrameNote(serial, owner, frame.f_lasti, code.co_name, module))
        return tuple(out)

    def note_sizes(self, start: FrameType) -> None:
        """Remember what the user's local variables call symbolic sizes."""
        for frame in source.user_frames(start, self.stop):
            for name, value in frame.f_locals.items():
                if isinstance(value, torch.SymInt) and name.isidentifier():
                    expr = value.node.expr
                    if expr.is_Symbol:
                        self.size_names.setdefault(expr, name)

    def forget_frames(self) -> None:
        self._frames.clear()


class CaptureMode(Recorder):
    """The recorder used while tracing: also refuses what a graph cannot hold."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        frame = sys._getframe(1)
        sequence, self.sequence = self.sequence, self.sequence + 1
        self.refuse(func)
        if func is _DATA_GET:
            func, args = torch.Tensor.detach, (args[0],)
        proxy_mode = get_proxy_mode()
        assert proxy_mode is not None
        graph = proxy_mode.tracer.graph
        before = graph._root.prev  # the last node so far
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            args = (args[0], with_tensors(args[1]), *args[2:])
        elif any(isinstance(a, SymbolicRange) for a in args):
            args = tuple(a.concrete() if isinstance(a, SymbolicRange) else a for a in args)
        out = func(*args, **kwargs)
        made = []
        node = graph._root.prev
        while node is not before:
            made.append(node)
            node = node.prev
        if made:
            self.note_sizes(frame)
            name = getattr(func, "__name__", str(func))
            notes = self.notes(frame)
            self.calls.append(Call(len(self.calls), sequence, notes, made[::-1], name))
        return out

    def refuse(self, func: Any) -> None:
        where = source.current_location
        if func in _DATA:
            raise CaptureError(f"the forward pass reads data: {_DATA[func]}", where(), BRANCH_HINT)
        if func in _AUTOGRAD:
            raise CaptureError(
                f"{_AUTOGRAD[func]} cannot be captured", where(), AUTOGRAD_HINT
            )


@contextmanager
def _autograd_refused() -> Iterator[None]:
    """Make ``autograd.Function.apply``, ``autograd.grad`` and the like raise while tracing.

    The tracer would drop a Function's own backward without a word: the worst kind of wrong.
    """

    def refusal(name: str, hint: str) -> Callable[..., Any]:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise CaptureError(f"{name} cannot be captured", source.current_location(), hint)

        return refuse

    function = torch.autograd.Function
    saved_apply = function.__dict__.get("apply")
    saved = {name: getattr(torch.autograd, name) for name in ("grad", "backward")}
    hint = (
        "its own backward would be lost: write the forward computation in plain operators, or derive "
        "the functions before and after it separately"
    )
    function.apply = refusal("a torch.autograd.Function", hint)  # type: ignore[method-assign,assignment]
    for name in saved:
        setattr(torch.autograd, name, refusal(f"torch.autograd.{name}", AUTOGRAD_HINT))
    try:
        yield
    finally:
        function.apply = saved_apply  # type: ignore[method-assign,assignment]
        for name, original in saved.items():
            setattr(torch.autograd, name, original)


@cache
def composites() -> dict[Any, Callable[..., Any]]:
    """Every ATen operator that torch itself defines by other operators, with that definition."""
    out: dict[Any, Callable[..., Any]] = {}
    for name in torch._C._dispatch_get_all_op_names():
        if not name.startswith("aten::"):
            continue
        if not torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd"):
            continue
        base, _, overload = name[6:].partition(".")
        packet = getattr(torch.ops.aten, base, None)
        found = None if packet is None else getattr(packet, overload or "default", None)
        if found is not None:
            out[found] = found.decompose
    return out


def trace(
    function: Callable[..., Any],
    fakes: list[Any],
    keep: frozenset[Any],
    namespaces: list[dict[str, Any]],
    module_paths: dict[int, str],
    symbolic: bool,
) -> Trace:
    """Run ``function`` on fake tensors and return the graph.

    ``keep`` are composite operators with a rule of their own; all others are decomposed by torch's
    own definition, which is what autograd differentiates through.
    """
    mode: list[CaptureMode] = []

    def run(*args: Any) -> Any:
        recorder = CaptureMode(sys._getframe(0), module_paths)
        mode.append(recorder)
        with recorder:
            return function(*args)

    decompose = {op: how for op, how in composites().items() if op not in keep}
    try:
        with range_replaced(namespaces), _autograd_refused():
            graph = make_fx(
                run,
                tracing_mode="symbolic" if symbolic else "fake",
                pre_dispatch=True,
                decomposition_table=decompose,
                record_stack_traces=False,
                _allow_non_fake_inputs=True,
            )(*fakes)
    except BackhandError:
        raise
    except Exception as error:
        raise _explained(error) from error
    finally:
        for recorder in mode:
            recorder.forget_frames()
    recorder = mode[-1]
    return Trace(graph, recorder.calls, recorder.size_names)


def _explained(error: Exception) -> CaptureError:
    """A torch error during capture, as a sentence about the user's line."""
    where = source.location_of_error(error)
    kind = type(error).__name__
    if "DataDependent" in kind or "GuardOnDataDependent" in kind or kind == "DynamicOutputShapeException":
        return CaptureError("the forward pass depends on the values in a tensor", where, BRANCH_HINT)
    text = str(error).strip().splitlines()
    first = text[0] if text else kind
    return CaptureError(
        f"the forward pass failed on the example inputs: {kind}: {first}",
        where,
        "run it on these inputs outside backhand to see the same error",
    )
