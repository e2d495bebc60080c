"""Running the user's function once, on tensors without data, and writing down what it does.

torch's tracer records the ATen graph before autograd decomposes it. A function mode on top notes
for every call which of the user's statements made it, and refuses what a graph would get wrong.
"""

from __future__ import annotations

import gc
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import CodeType, FrameType
from typing import Any

# The tracer imports most of these at the first capture, for a second or more: better when
# backhand is imported.
import sympy.physics.units  # noqa: F401
import torch
import torch._inductor.compiler_bisector
import torch._inductor.fx_passes.dedupe_symint_uses
import torch._inductor.sizevars
import torch._subclasses.schema_check_mode
import torch.export._trace
import torch.fx.experimental.validator
import torch.fx.passes._tensorify_python_scalars
import torch.utils._pytree as pytree
from torch.fx.experimental.proxy_tensor import get_proxy_mode, get_proxy_slot, make_fx
from torch.overrides import TorchFunctionMode

from ..errors import BackhandError, CaptureError, InternalError, LocatedError, Location
from . import source
from .definitions import DEFINITIONS, FUNCTIONS
from .devices import DeviceReads
from .ranges import SymbolicRange, sizes_understood, with_tensors
from .refuse import BRANCH_HINT, SEED_HINT, Refusals, machinery_refused
from .watch import RandomWatch

# What tells one call of a torch function from all others, in any run of the same code: the
# function, the place of the user's code that led to it, and how many times it was there before.
CallKey = tuple[str, CodeType | None, int, int]


@dataclass(frozen=True)
class FrameNote:
    """One of the user's frames at the moment of a call.

    ``serial`` tells frames apart; ``callee`` is that of the frame it is calling, ``None`` for a
    torch function called directly.
    """

    serial: int
    callee: int | None
    owner: source.Owner
    lasti: int
    function: str
    module: str | None


@dataclass
class Call:
    """One call of a torch function: the user's frames (innermost first) and the graph nodes made.

    ``results`` are the nodes of the tensors it gave back, in order; ``None`` for one that another
    call had made. ``device`` is where it makes tensors: the node of one that lies there, a name, or
    ``None`` for torch's default; ``moves``: whether it asks for that place.
    """

    index: int
    key: CallKey
    frames: tuple[FrameNote, ...]
    nodes: list[torch.fx.Node]
    results: list[torch.fx.Node | None]
    device: torch.fx.Node | str | None = None
    moves: bool = False


@dataclass
class Trace:
    """What one run of the user's function left behind."""

    graph: torch.fx.GraphModule
    calls: list[Call]
    size_names: dict[Any, str] = field(default_factory=dict)
    constant_names: dict[int, str] = field(default_factory=dict)


class CallCounter:
    """Gives every call of a torch function its key."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, CodeType | None, int], int] = {}

    def key(self, func: Any, caller: FrameType) -> CallKey:
        frame: FrameType | None = caller
        while frame is not None and not source.is_user_file(frame.f_code.co_filename):
            frame = frame.f_back
        code, lasti = (frame.f_code, frame.f_lasti) if frame is not None else (None, 0)
        place = (getattr(func, "__name__", ""), code, lasti)
        count = self._seen[place] = self._seen.get(place, 0) + 1
        return (*place, count)


_DATA_GET = torch.Tensor.data.__get__  # type: ignore[attr-defined]
_REQUIRES_GRAD = torch.Tensor.requires_grad.__get__  # type: ignore[attr-defined]
# After one of these the user's code may hold a size in a variable of its own.
_SIZE_READS = frozenset(
    {
        torch.Tensor.shape.__get__,  # type: ignore[attr-defined]
        torch.Tensor.size,
        torch.Tensor.__len__,
        torch.Tensor.numel,
        torch.numel,
    }
)


class CaptureMode(TorchFunctionMode):
    """Notes the user's statement for every torch call, and refuses what a graph cannot hold."""

    def __init__(self, stop: FrameType, module_paths: dict[int, str], refusals: Refusals) -> None:
        super().__init__()
        self.stop = stop
        self.module_paths = module_paths
        self.refusals = refusals
        self.random = RandomWatch()
        self.calls: list[Call] = []
        self.counter = CallCounter()
        self.devices = DeviceReads()
        self.size_names: dict[Any, str] = {}
        self._sizes_read = True
        self._serials: dict[int, int] = {}
        self._frames: list[FrameType] = []
        self._modules: list[str | None] = []

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        proxy_mode = get_proxy_mode()
        if proxy_mode is None:
            return func(*args, **kwargs)  # torch's own arithmetic on sizes (`d**0.5`), not a call
        frame = sys._getframe(1)
        key = self.counter.key(func, frame)
        self.refusals.check(func, frame, args, kwargs)
        # What is made from here on belongs to this call, the tensors of a range included.
        graph = proxy_mode.tracer.graph
        before = graph._root.prev  # the last node so far
        if func == _DATA_GET:
            func, args = torch.Tensor.detach, (args[0],)
        elif func == _REQUIRES_GRAD:
            # Asked by torch's modules, which pick a kernel by it: they are to pick autograd's.
            return args[0].is_floating_point() and torch.is_grad_enabled()
        elif func in _SIZE_READS:
            self._sizes_read = True
        elif func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            args = (args[0], with_tensors(args[1]), *args[2:])
        elif any(isinstance(a, SymbolicRange) for a in args):
            args = tuple(a.concrete() if isinstance(a, SymbolicRange) else a for a in args)
        there: Any
        there, asked = self.devices.of_call(func, args, kwargs)
        if isinstance(there, torch.Tensor):
            there = _node_of(there, proxy_mode.tracer)
        out = _called(_without_data(func), args, kwargs)
        made = []
        node = graph._root.prev
        while node is not before:
            made.append(node)
            node = node.prev
        if made:
            self._record(key, frame, made[::-1], out, proxy_mode.tracer, (there, asked))
        return out

    def _record(
        self,
        key: CallKey,
        frame: FrameType,
        made: list[torch.fx.Node],
        out: Any,
        tracer: Any,
        place: tuple[Any, bool],
    ) -> None:
        frames = source.user_frames(frame, self.stop)
        if self._sizes_read:
            self._note_sizes([f for f, _ in frames])
            self._sizes_read = False
        own = set(made)
        results: list[torch.fx.Node | None] = []
        for tensor in (out,) if isinstance(out, torch.Tensor) else pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                node = _node_of(tensor, tracer)
                results.append(node if node in own else None)
        call = Call(len(self.calls), key, self._notes(frames), made, results, *place)
        self.calls.append(call)
        whose = self.random.drawn()
        if whose:
            where = call.frames[0].owner.where if call.frames else None
            raise self.refusals.keep(RandomWatch.refusal(whose, where))

    def _notes(self, frames: list[tuple[FrameType, FrameType | None]]) -> tuple[FrameNote, ...]:
        out = []
        for frame, callee in frames:
            serial = self._serial(frame)
            calling = None if callee is None else self._serial(callee)
            code = frame.f_code
            owner = source.owner_at(code, frame.f_lasti)
            module = self._modules[serial]
            out.append(FrameNote(serial, calling, owner, frame.f_lasti, code.co_name, module))
        return tuple(out)

    def _serial(self, frame: FrameType) -> int:
        serial = self._serials.get(id(frame))
        if serial is None:
            # The frame is kept, so that its id stays its own for the whole trace.
            serial = self._serials[id(frame)] = len(self._frames)
            self._frames.append(frame)
            method = frame.f_code.co_varnames[:1] == ("self",)
            receiver = frame.f_locals.get("self") if method else None
            path = self.module_paths.get(id(receiver)) if receiver is not None else None
            self._modules.append(path)
        return serial

    def _note_sizes(self, frames: list[FrameType]) -> None:
        """Remember what the user's local variables call symbolic sizes."""
        for frame in frames:
            for name, value in frame.f_locals.items():
                if isinstance(value, torch.SymInt) and name.isidentifier():
                    expr = value.node.expr
                    if expr.is_Symbol:
                        self.size_names.setdefault(expr, name)

    def forget_frames(self) -> None:
        self._frames.clear()


def _called(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call that the user's code makes: an error from here is no fault of backhand's."""
    return func(*args, **kwargs)


def _without_data(func: Any) -> Any:
    try:
        return FUNCTIONS.get(func, func)
    except TypeError:  # not hashable, so not one of them
        return func


def _node_of(tensor: torch.Tensor, tracer: Any) -> torch.fx.Node | None:
    """The graph's node for a tensor that the tracer knows."""
    slot = get_proxy_slot(tensor, tracer, None)
    node: torch.fx.Node | None = getattr(getattr(slot, "proxy", None), "node", None)
    return node


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
    rerun: Callable[[], Any],
) -> Trace:
    """Run ``function`` on fake tensors and return the graph.

    ``keep`` are composite operators with a rule of their own; all others are decomposed by torch's
    own definition, which is what autograd differentiates through. ``rerun`` runs the function on
    the example inputs: when capture fails, it tells an error of the user's own from one of capture.
    """
    mode: list[CaptureMode] = []
    refusals = Refusals()

    def run(*args: Any) -> Any:
        recorder = CaptureMode(sys._getframe(0), module_paths, refusals)
        mode.append(recorder)
        with recorder, recorder.devices:
            return function(*args)

    decompose = {op: how for op, how in composites().items() if op not in keep} | DEFINITIONS
    state = torch.get_rng_state()
    try:
        with _undisturbed(), sizes_understood(namespaces), machinery_refused(refusals):
            graph = make_fx(
                run,
                tracing_mode="symbolic" if symbolic else "fake",
                pre_dispatch=True,
                decomposition_table=decompose,
                record_stack_traces=False,
                _allow_non_fake_inputs=True,
            )(*fakes)
    except BackhandError as error:
        raise refusals.first or error from None
    except Exception as error:
        if refusals.first is not None:
            raise refusals.first from None
        raise _explained(error, rerun) from error
    finally:
        for recorder in mode:
            recorder.forget_frames()
    if refusals.first is not None:
        raise refusals.first
    if not torch.equal(state, torch.get_rng_state()):
        torch.set_rng_state(state)
        raise CaptureError(
            "the forward pass seeds torch's generator, or draws from it outside of any operator",
            None,
            SEED_HINT,
        )
    recorder = mode[-1]
    return Trace(graph, recorder.calls, recorder.size_names)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Autograd on, whatever mode the caller is in, torch's log quiet, oneDNN and the collector off.

    With oneDNN an LSTM layer would be one kernel, which says nothing about what it computes. What
    the collector finds may have a finaliser that switches autograd, as a generator left inside
    no_grad has: the trace would hold that switch.
    """
    collecting = gc.isenabled()
    gc.disable()
    onednn = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    log = logging.getLogger("torch._subclasses.fake_tensor")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch._C._set_mkldnn_enabled(onednn)
        log.setLevel(level)
        if collecting:
            gc.enable()


# Words that say how capture works rather than what is wrong with the user's line.
_INTERNAL = re.compile(
    r"Fake|Proxy|Sym(Int|Float|Bool)|symbolic|\bs\d+\b|\bu\d+\b|dispatch|tracing|meta"
)


def _is_own_fault(error: Exception) -> bool:
    """Whether the error arose in this package's own code, and not in what the user called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    code = None if trace is None else trace.tb_frame.f_code
    return code not in (None, _called.__code__) and source.is_own_file(code.co_filename)


def _explained(error: Exception, rerun: Callable[[], Any]) -> LocatedError:
    """A torch error during capture, as a sentence about the user's line."""
    where = source.location_of_error(error)
    kind = type(error).__name__
    if "DataDependent" in kind or kind == "DynamicOutputShapeException":
        what = "the forward pass depends on the values in a tensor"
        return CaptureError(what, where, BRANCH_HINT)
    if kind == "UncapturedHigherOrderOpError":
        return CaptureError("torch.cond cannot be captured", where, BRANCH_HINT)
    if "dynamo" in str(error):
        hint = "call the function itself, and compile what uses the derived passes"
        return CaptureError("a torch.compile'd function cannot be captured", where, hint)
    if "TorchScript" in str(error):
        hint = "call the plain Python function it was made from"
        return CaptureError("a TorchScript function cannot be captured", where, hint)
    try:
        rerun()
    except Exception as real:
        return CaptureError(
            f"the forward pass fails on the example inputs: {type(real).__name__}: {_first(real)}",
            source.location_of_error(real) or where,
            "run it on these inputs outside backhand to see the same error",
        )
    if _is_own_fault(error):
        return InternalError("capturing this line", error, where)
    reason = _first(error)
    detail = "" if _INTERNAL.search(reason) else f": {kind}: {reason}"
    return CaptureError(
        f"this line cannot be captured{detail}",
        where,
        "it runs on plain tensors, but not on tensors whose values are not known: write it with "
        "torch's operators alone",
    )


def _first(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


__all__ = [
    "Call",
    "CallCounter",
    "CallKey",
    "CaptureMode",
    "FrameNote",
    "Location",
    "Trace",
    "composites",
    "trace",
]
